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
from itertools import pairwise
from pathlib import Path

import nbformat
import typer
from nbformat import NotebookNode

from lox.book import cells, run, site
from lox.book.myst import MYST, body_of, directive, tokens_of
from lox.paths import ROOT

DECKS = ("projection", "energy", "effective_rank", "robustness", "stress")
SOURCES = ("book", "data", "results")  # what the site's pages read beside the executed notebooks
PROSE = ("paragraph_open", "bullet_list_open", "ordered_list_open", "dl_open")
DISPLAYED = ("math_block", "math_block_label", "amsmath")  # tokens of formulas that are no directives
MATHJAX = "tex-svg.js"  # draws formulas by itself, fonts included

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


def without_solutions(text: str) -> str:
    """Markdown without its ``{solution}`` directives, those in lists and in other directives too.

    ValueError for one in two halves, ``{solution-start}`` … ``{solution-end}``, with what is between in other cells.
    """
    lines = text.splitlines(keepends=True)
    for above, token in reversed(list(tokens_of(text))):
        first, end = token.map or (0, 0)
        if directive(token).startswith("solution-"):
            raise ValueError(f"{token.info}: a handout leaves out only what is one {{solution}}")
        if directive(token) == "solution":
            del lines[above + first : above + end]
    return "".join(lines)


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
    """Notebooks of the table of contents that were not executed."""
    folder = run.executed_folder(profile)
    return [name for name in site.notebooks() if not (folder / f"{name}.ipynb").exists()]


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
            opening += [content for kind, content in outputs if kind == "finding"]
            slides += [content for kind, content in outputs if kind == "figure"]
            continue
        for tag, heading, body in _sections(without_solutions(cell.source)):
            if tag == "h1":
                title = MYST.renderInline(heading)
            elif not heading.startswith(("Exercises", "How this page")) and (content := _essence(body)):
                slides.append(f"<h2>{MYST.renderInline(heading)}</h2>{content}")
    return [f"<h1>{title}</h1>{''.join(opening)}", *slides]


def _sections(text: str) -> Iterator[tuple[str, str, str]]:
    """(h1 or h2, heading, what stands below it) of a Markdown cell."""
    lines = text.splitlines()
    headings = [
        (token, inline.content)
        for token, inline in pairwise(MYST.parse(text))
        if token.type == "heading_open" and token.tag in ("h1", "h2") and token.map
    ]
    ends = [*(token.map[0] for token, _ in headings[1:]), len(lines)]
    for (token, heading), end in zip(headings, ends):
        yield token.tag, heading, "\n".join(lines[token.map[1] : end])


def _essence(body: str) -> str:
    """The first paragraph or list and the displayed equations of a section, as HTML."""
    lines = body.splitlines()
    prose = [
        "\n".join(lines[slice(*token.map)])
        for token in MYST.parse(body)
        if token.type in PROSE and token.level == 0 and token.map
    ]
    shown = [MYST.render(re.sub(r":$", ".", text)) for text in prose if not text.startswith("**You")][:1]
    equations = [
        body_of(token)
        for _, token in tokens_of(body)
        if directive(token) == "math" or token.type in DISPLAYED
    ]
    return "".join([*shown, *(f"<p>\\[{html.escape(equation)}\\]</p>" for equation in equations)])


def _outputs(cell: NotebookNode) -> Iterator[tuple[str, str]]:
    """("figure" or "finding", HTML) of a code cell's outputs."""
    caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data["image/png"].strip()}">'
            yield "figure", f"<figure>{image}<figcaption>{MYST.render(caption)}</figcaption></figure>"
        elif (text := data.get("text/markdown", "")).startswith(cells.FINDING):
            yield "finding", f"<div class=finding>{MYST.render(body_of(MYST.parse(text)[0]))}</div>"


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
