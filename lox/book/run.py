"""Notebooks run with parameters (papermill), and the book built from what they made (Jupyter Book)."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError
from pydantic import ConfigDict, TypeAdapter, ValidationError

from lox.lab import profile as profiles
from lox.lab.fingerprint import content_hash
from lox.paths import ROOT

SOURCES = ROOT / "notebooks"
# What a page shows depends on these, whatever its notebook imports.
INGREDIENTS = (
    "lox/**/*.py",
    "lox/**/*.yaml",
    "data/**/*.*",
    "results/**/*.*",
    "book/*.mplstyle",
    "requirements.txt",
)
QUIET = {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error"}  # in kernels
JOBS = 2  # notebooks run at once by ``build``: most of each is work that one core does


@dataclass(frozen=True)
class Parameter:
    """A line ``name: type = value  # meaning`` of a notebook's parameters cell."""

    name: str
    type: str
    default: str
    meaning: str

    def parse(self, text: str) -> Any:
        """The value that ``text`` writes, of this parameter's type; ValueError if it is of another."""
        kind = eval(self.type)  # a type written in one of our own notebooks
        value = text if kind is str else yaml.safe_load(text)
        try:
            return TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError:
            raise ValueError(f"parameter {self.name} is {self.type}, not {text!r}") from None


def names() -> list[str]:
    """The notebooks there are."""
    return sorted(path.stem for path in SOURCES.glob("*.md"))


def read(name: str) -> nbformat.NotebookNode:
    """A notebook's source as a notebook. Raises ValueError, naming the known ones, if there is none."""
    if name not in names():
        raise ValueError(f"unknown notebook {name!r}: the notebooks are {', '.join(names())}")
    notebook = jupytext.read(SOURCES / f"{name}.md")
    notebook.metadata.kernelspec["language"] = "python"  # papermill asks for it
    return notebook


def parameters(name: str) -> list[Parameter]:
    """The parameters of a notebook, with type, default and meaning."""
    cells = [c for c in read(name).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"notebook {name}: {len(cells)} cells are tagged `parameters`, there must be one")
    line = re.compile(r"(\w+): (.+?) = (.+?)  # (.+)")
    found = [line.fullmatch(text) for text in cells[0].source.splitlines() if text.strip()]
    if None in found:
        raise ValueError(f"notebook {name}: a line of parameters is not `name: type = value  # meaning`")
    return [Parameter(*match.groups()) for match in found]


def executed_folder(profile: str) -> Path:
    """Where the executed notebooks of a profile and their tables are: under LOX_EXECUTED or ``executed``."""
    return Path(os.environ.get("LOX_EXECUTED") or ROOT / "executed") / profile


def run(name: str, profile: str = "toy", given: Iterable[tuple[str, str]] = ()) -> Path:
    """Execute a notebook; the executed copy is ``executed/<profile>/<name>.ipynb``.

    ``given`` are pairs of a parameter's name and its value as text. Its tables lie beside it as CSV.
    Raises ValueError for an unknown notebook, profile or parameter and for a value of the wrong type, and
    ChildProcessError, saying what failed and where, if a cell does.
    """
    values = checked(name, profile, list(given))
    folder = executed_folder(profile)
    folder.mkdir(parents=True, exist_ok=True)
    notebook, made_from = read(name), fingerprint(name, values)
    os.environ.update(QUIET)
    # It cannot read "list[int] | None" and calls such parameters unknown; they are checked above.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as scratch:
        unfinished = Path(scratch) / f"{name}.ipynb"
        try:
            papermill.execute_notebook(
                notebook,
                unfinished,
                values,
                cwd=folder,
                progress_bar=False,
                kernel_name="python3",
                extra_arguments=["--log-level=ERROR"],  # of the kernel, whose warnings land on the terminal
            )
        except PapermillExecutionError as error:
            failed = folder / f"{name}.failed.ipynb"
            shutil.move(unfinished, failed)
            reason = f"cell {error.exec_count}: {error.ename}: {error.evalue}"
            raise ChildProcessError(f"notebook {name} failed in {reason} (see {failed})") from None
        done = nbformat.read(unfinished, as_version=4)
    done.metadata["lox"] = {"made_from": made_from, "tables": _tables_of(done)}
    target = folder / f"{name}.ipynb"
    nbformat.write(done, target.with_suffix(".unfinished"))
    target.with_suffix(".unfinished").replace(target)
    (folder / f"{name}.failed.ipynb").unlink(missing_ok=True)
    return target


def tables(executed: Path) -> list[Path]:
    """The CSV files that an executed notebook wrote beside itself."""
    names = nbformat.read(executed, as_version=4).metadata["lox"]["tables"]
    return [executed.parent / name for name in names]


def record(executed: Path, name: str, profile: str, given: Iterable[tuple[str, str]] = ()) -> list[Path]:
    """Keep the tables of a run under ``results/<profile>``, with ``<name>.json``: how they were made.

    ``given`` are the parameters that it was run with. Returns the files. ValueError if it has no tables.
    """
    found, given = tables(executed), list(given)
    if not found:
        raise ValueError(f"notebook {name} makes no tables that could be recorded")
    folder = ROOT / "results" / profile
    folder.mkdir(parents=True, exist_ok=True)
    command = ["lox", "run", name, "--profile", profile, *(word for pair in given for word in ("-p", *pair))]
    made_by = {"command": shlex.join(command), "commit": _commit(), "tables": [path.name for path in found]}
    seeds = dict(given).get("seeds") or str(list(profiles.load(profile).seeds))
    how = folder / f"{name}.json"
    how.write_text(json.dumps(made_by | {"seeds": yaml.safe_load(seeds)} | _facts(executed), indent=2) + "\n")
    return [Path(shutil.copy(path, folder)) for path in found] + [how]


def _facts(executed: Path) -> dict:
    """What ``lox.book.results.provenance`` said in an executed notebook."""
    outputs = [o for c in nbformat.read(executed, as_version=4).cells for o in c.get("outputs", [])]
    return next(
        o["metadata"]["text/markdown"]["lox"]
        for o in reversed(outputs)
        if "lox" in str(o.get("metadata", ""))
    )


def _commit() -> str:
    """The commit of the code, with "-dirty" where files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return found.stdout.strip() or "not under version control"


def is_current(name: str, profile: str) -> bool:
    """Whether the executed copy was made, with default parameters, from all that is here now."""
    path = executed_folder(profile) / f"{name}.ipynb"
    if not path.exists():
        return False
    made_from = nbformat.read(path, as_version=4).metadata.get("lox", {}).get("made_from")
    return made_from == fingerprint(name, {"profile": profile})


def checked(name: str, profile: str, given: list[tuple[str, str]]) -> dict[str, Any]:
    """Parameters given as text, parsed, and the profile; ValueError for what ``run`` would refuse."""
    profiles.load(profile)
    known = {p.name: p for p in parameters(name)}
    for parameter, _ in given:
        if parameter not in known:
            raise ValueError(f"unknown parameter {parameter!r}: {name} has {', '.join(known)}")
    if "profile" in dict(given):
        raise ValueError("the profile is given by --profile, not as a parameter")
    return {"profile": profile} | {parameter: known[parameter].parse(text) for parameter, text in given}


def fingerprint(name: str, values: dict[str, Any]) -> str:
    """Hash of all that an executed notebook is made from: sources, data, pins, values of parameters."""
    paths = [p for pattern in INGREDIENTS for p in sorted(ROOT.glob(pattern)) if p.is_file()]
    return content_hash([[p.name, p.read_text()] for p in [SOURCES / f"{name}.md", *paths]] + [values])


def run_all(waiting: list[str], profile: str, report: Callable[[str], None] = print) -> None:
    """Run several notebooks, ``JOBS`` at once; ChildProcessError, with every failure, if some failed."""
    threads = max(1, (os.cpu_count() or 1) // JOBS)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # two jobs that each take all cores slow each other down
    failures = []
    # Threads, for each only waits for a kernel, and kernels end when this process does.
    with ThreadPoolExecutor(JOBS) as pool:
        jobs = {pool.submit(run, name, profile): name for name in waiting}
        for done, job in enumerate(as_completed(jobs), 1):
            error = job.exception()
            failures += [str(error)] if error else []
            report(f"[{done}/{len(waiting)}] {jobs[job]}{' failed' if error else ''}")
    if failures:
        raise ChildProcessError("\n".join(failures))


def build(profile: str = "toy", report: Callable[[str], None] = print) -> Path:
    """Run every notebook that is not current and build the site; returns its first page."""
    profiles.load(profile)
    waiting = [name for name in names() if not is_current(name, profile)]
    report(f"{len(names()) - len(waiting)} of {len(names())} notebooks are current, {len(waiting)} to run")
    if waiting:
        _prepare(profile, report)
        run_all(waiting, profile, report)
    report("building the site")
    return _build_site(profile)


def _tables_of(executed: nbformat.NotebookNode) -> list[str]:
    """The names of the tables that a notebook's cells saved, from the download links in their outputs."""
    links = re.compile(r"\]\((\w+\.csv)\)")
    outputs = [o for cell in executed.cells for o in cell.get("outputs", []) if "data" in o]
    return [name for o in outputs for name in links.findall(o["data"].get("text/markdown", ""))]


def _prepare(profile: str, report: Callable[[str], None]) -> None:
    """Make what every notebook needs with all cores, before the notebooks share them."""
    from lox.lab import setup

    report("the base model (trained in the run if it is not there yet)")
    setup.load(profile).folder("base")


def _build_site(profile: str) -> Path:
    toc = ROOT / "_build" / "_toc.yml"
    toc.parent.mkdir(exist_ok=True)
    toc.write_text((ROOT / "_toc.yml").read_text().replace("executed/toy/", f"executed/{profile}/"))
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    options = ["--toc", str(toc), "--all", "-W", "-n", "--keep-going", "-q"]
    command = [str(jupyter_book), "build", str(ROOT), *options]
    finished = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if finished.returncode:
        raise ChildProcessError(f"the site was not built:\n{finished.stdout[-4000:]}")
    return ROOT / "_build" / "html" / "index.html"
