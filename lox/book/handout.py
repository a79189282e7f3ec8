"""For the class: the book without its solutions, and slides of chapters, both from what ``lox book`` executed.

    python -m lox.book.handout handout
    python -m lox.book.handout slides

The handout is the site again, its solutions left out. A deck is one HTML file that needs no network: for each
section its first paragraph and its equations, then a slide for each figure.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import files as installed
from importlib.resources import files
from pathlib import Path

import nbformat
import typer
import yaml
from markdown_it import MarkdownIt
from nbformat import NotebookNode

from lox.book import cells, run
from lox.paths import ROOT

DECKS = ("projection", "energy", "effective_rank", "robustness", "stress")
SOURCES = ("book", "data", "results")  # what the site's pages read beside the executed notebooks
SOLUTION = re.compile(r"^(?P<fence>`{3,}|:{3,})\{solution(?:-start)?\}.*?^(?P=fence)[ \t]*$\n?", re.M | re.S)
MATHJAX = "tex-svg.js"  # draws formulas by itself, fonts included

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


def without_solutions(text: str) -> str:
    """Markdown without its ``{solution}`` blocks."""
    return SOLUTION.sub("", text)


def executed(name: str, profile: str) -> NotebookNode:
    """An executed notebook; FileNotFoundError, saying what makes it, where there is none."""
    path = run.executed_folder(profile) / f"{name}.ipynb"
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: `lox book --profile {profile}` makes it")
    return nbformat.read(path, as_version=4)


# --- the handout ----------------------------------------------------------------------------------


def handout_sources(profile: str, folder: Path) -> Path:
    """The site's sources in ``folder``, notebooks without solutions; returns it. What was there is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name)
    target = folder / "executed" / profile
    shutil.copytree(run.executed_folder(profile), target)
    for path in target.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = without_solutions(cell.source)
        nbformat.write(notebook, path)
    shutil.copy(ROOT / "_config.yml", folder)
    toc = (ROOT / "_toc.yml").read_text().replace("executed/toy/", f"executed/{profile}/")
    (folder / "_toc.yml").write_text(toc)
    return folder


def missing(profile: str) -> list[str]:
    """Chapters of the table of contents that were not executed."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [Path(c["file"]) for part in toc["parts"] for c in part["chapters"]]
    names = [path.name for path in chapters if path.parts[0] == "executed"]
    return [name for name in names if not (run.executed_folder(profile) / f"{name}.ipynb").exists()]


@app.command()
def handout(profile: str = "toy") -> None:
    """The book without solutions, as a site that can be printed."""
    if lacking := missing(profile):
        raise SystemExit(f"not executed yet: {', '.join(lacking)}; `lox book --profile {profile}` does it")
    folder = handout_sources(profile, ROOT / "_build" / "handout")
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(folder), "--all", "-q"]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit("the handout was not built: see the lines above")
    typer.echo(f"The handout: file://{folder / '_build' / 'html' / 'index.html'}")


# --- slides ---------------------------------------------------------------------------------------


def slides_of(notebook: NotebookNode) -> list[str]:
    """The slides of a chapter, each as HTML: title with the finding, then sections and figures in their order."""
    title, opening, slides = "", [], []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs = list(_outputs(cell))
            boxes = [content for kind, content in outputs if kind == "finding"]
            opening += boxes
            slides += [content for kind, content in outputs if kind == "figure"]
            continue
        for heading, body in _sections(cell.source):
            if heading.startswith("# "):
                title = _plain(heading.removeprefix("# "))
            elif heading.startswith("## ") and not heading.startswith(("## Exercises", "## How this page")):
                content = _essence(body)
                slides += (
                    [f"<h2>{html.escape(_plain(heading.removeprefix('## ')))}</h2>{content}"]
                    if content
                    else []
                )
    return [f"<h1>{html.escape(title)}</h1>{''.join(opening)}", *slides]


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """(heading, what stands below it) of a Markdown cell; exercises and other directives are left out."""
    text = without_solutions(text)
    parts = re.split(r"^(#{1,2} .*)$", text, flags=re.M)
    yield from zip(parts[1::2], parts[2::2])


def _essence(body: str) -> str:
    """The first paragraph and the displayed equations of a section, as HTML."""
    equations = re.findall(r"```\{math\}\n(?::label:[^\n]*\n+)?(.*?)```|^\$\$(.*?)\$\$", body, re.M | re.S)
    prose = re.sub(r"^(`{3,}|:{3,})\{.*?^\1[ \t]*$|^\$\$.*?\$\$.*?$|^\(.*\)=$", "", body, flags=re.M | re.S)
    paragraphs = [
        p.strip()
        for p in prose.split("\n\n")
        if p.strip() and not p.strip().startswith(("|", "```", "**You"))
    ]
    shown = _markdown(re.sub(r":$", ".", paragraphs[0])) if paragraphs else ""
    return shown + "".join(f"<p>\\[{html.escape((a or b).strip())}\\]</p>" for a, b in equations)


def _outputs(cell: NotebookNode) -> Iterator[tuple[str, str]]:
    """("figure" or "finding", HTML) of a code cell's outputs."""
    caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data["image/png"].strip()}">'
            yield "figure", f"<figure>{image}<figcaption>{_markdown(caption)}</figcaption></figure>"
        elif (text := data.get("text/markdown", "")).startswith(cells.FINDING):
            yield (
                "finding",
                f"<div class=finding>{_markdown(text.split('important', 1)[1].rpartition(':::')[0])}</div>",
            )


def _plain(text: str) -> str:
    """Text without the book's roles: pages by their name, figures as "the figure", the other references left out."""
    text = re.sub(r"\{numref\}`[^`]*`", "the figure", text)
    text = re.sub(r"\s*\{(?:cite:?\w*|eq|ref)\}`[^`]*`", "", text)
    text = re.sub(r"\{\w+\}`([^`]*)`", lambda m: m[1].split("<")[0].strip().replace("_", " "), text)
    return re.sub(r"\s*\(\s*\)", "", text)


def _markdown(text: str) -> str:
    """Markdown as HTML; formulas stay as they are, for MathJax."""
    formulas: list[str] = []

    def keep(match: re.Match) -> str:
        formulas.append(f"\\({html.escape(match[1])}\\)")
        return f"\x00{len(formulas) - 1}\x00"

    kept = re.sub(r"(?<!\\)\$([^$\n]+(?:\n[^$\n]+)*?)\$", keep, _plain(text))
    made = MarkdownIt("commonmark").enable("table").render(kept)
    return re.sub("\x00(\\d+)\x00|\ufffd(\\d+)\ufffd", lambda m: formulas[int(m[1] or m[2])], made)


def deck(name: str, profile: str) -> str:
    """A chapter's slides as one HTML page; arrow keys, space, swipes and clicks turn them, printing shows all."""
    slides = "\n".join(f"<section>{slide}</section>" for slide in slides_of(executed(name, profile)))
    page = files("lox.book").joinpath("slides.html").read_text(encoding="utf-8")
    return page.replace("{{title}}", html.escape(name.replace("_", " "))).replace("{{slides}}", slides)


@app.command()
def slides(profile: str = "toy") -> None:
    """A deck for each core chapter."""
    folder = ROOT / "_build" / "slides"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(_mathjax(), folder / MATHJAX)
    for name in DECKS:
        (folder / f"{name}.html").write_text(deck(name, profile), encoding="utf-8")
        typer.echo(f"file://{folder / f'{name}.html'}")


def _mathjax() -> Path:
    """MathJax in one file, of the package that brings it to the site."""
    paths = [path for path in installed("sphinx-mathjax-offline") or [] if path.name == MATHJAX]
    if not paths:
        raise FileNotFoundError(f"sphinx-mathjax-offline has no {MATHJAX}")
    return Path(paths[0].locate())


if __name__ == "__main__":
    app()
