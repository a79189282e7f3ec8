"""Notebooks run with parameters (papermill): each leaves an executed copy with the tables that it saved beside it."""

from __future__ import annotations

import ast
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
import yaml
from papermill.exceptions import PapermillExecutionError
from pydantic import ConfigDict, TypeAdapter, ValidationError

from lox import paths
from lox.checkpoints.unfinished import whole
from lox.lab import profile as profiles
from lox.lab import stages
from lox.lab.fingerprint import content_hash, file_hash, parse, used_by_source

TYPES = {"str": str, "int": int, "float": float, "bool": bool, "None": None}
# What pages show and notebooks' code does not name.
INGREDIENTS = (
    "data/**/*.*",
    "results/**/*.*",
    "lox/lab/profiles/**/*.*",
    "book/*.mplstyle",
    "requirements.txt",
)
# What a page prints of the code besides what its code computes: docstrings and help, which name no result.
PRINTED = {"reference": ("lox/*.py", "lox/checkpoints/*.py")}
# A kernel works in another folder than the command.
FOLDERS = ("LOX_BASES", "LOX_DATA", "LOX_STAGES", "LOX_EXECUTED")
QUIET = {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error"}  # in kernels
INJECTED = "injected-parameters"  # how papermill tags the cell with the values of this run
HOW_FAST = "workers"  # the parameter that decides no result: processes that make models side by side


@dataclass(frozen=True)
class Parameter:
    """A line ``name: type = value  # meaning`` of a notebook's parameters cell."""

    name: str
    type: str
    default: str
    meaning: str

    def parse(self, text: str) -> Any:
        """The value that ``text`` writes, of this parameter's type; ValueError if it is of another."""
        kind = type_of(parse(self.type, mode="eval").body)
        try:
            value = text if kind is str else yaml.safe_load(text)
            return TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value)
        except (ValidationError, yaml.YAMLError):
            raise ValueError(f"parameter {self.name} is {self.type}, not {text!r}") from None


def type_of(written: ast.expr) -> Any:
    """The type that an annotation writes: a plain one, ``list[…]`` or ``dict[…]``, or several joined by ``|``."""
    if isinstance(written, ast.BinOp) and isinstance(written.op, ast.BitOr):
        return type_of(written.left) | type_of(written.right)
    if isinstance(written, ast.Subscript) and ast.unparse(written.value) == "list":
        return list[type_of(written.slice)]
    if isinstance(written, ast.Subscript) and isinstance(written.slice, ast.Tuple):
        if ast.unparse(written.value) == "dict":
            return dict[tuple(type_of(part) for part in written.slice.elts)]
    name = ast.unparse(written)
    if name not in TYPES:
        raise ValueError(
            f"a parameter's type is made of {', '.join(TYPES)}, list[…], dict[…] and |, not {name}"
        )
    return TYPES[name]


def names() -> list[str]:
    """The notebooks there are."""
    return sorted(path.stem for path in sources().glob("*.md"))


def sources() -> Path:
    """The folder of the notebooks' sources."""
    return paths.project("notebooks")


def read(name: str) -> nbformat.NotebookNode:
    """A notebook's source as a notebook. Raises ValueError, naming the known ones, if there is none."""
    if name not in names():
        raise ValueError(f"unknown notebook {name!r}: the notebooks are {', '.join(names())}")
    notebook = jupytext.read(sources() / f"{name}.md")
    notebook.metadata.kernelspec["language"] = "python"  # papermill asks for it
    return notebook


def parameters(name: str) -> list[Parameter]:
    """The parameters of a notebook, with type, default and meaning."""
    cells = [c for c in read(name).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"notebook {name}: {len(cells)} cells are tagged `parameters`, there must be one")
    line = re.compile(r"(\w+): (.+?) = (.+?)  # (.+)")
    lines = [line.fullmatch(text) for text in cells[0].source.splitlines() if text.strip()]
    if None in lines:
        raise ValueError(f"notebook {name}: a line of parameters is not `name: type = value  # meaning`")
    return [Parameter(*match.groups()) for match in lines]


def saved_tables(name: str) -> list[str]:
    """The names of the tables that a notebook saves, by its calls of ``results.save(frame, "name")``."""
    calls = [node for node in ast.walk(parse(code_of(name))) if isinstance(node, ast.Call)]
    saves = [call for call in calls if ast.unparse(call.func) == "results.save" and len(call.args) == 2]
    return [call.args[1].value for call in saves if isinstance(call.args[1], ast.Constant)]


def code_of(name: str) -> str:
    """The code of a notebook's cells, one under the other."""
    return "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "code")


def executed_folder(profile: str) -> Path:
    """Where the executed notebooks of a profile and their tables are: under LOX_EXECUTED or ``executed``."""
    return Path(os.environ.get("LOX_EXECUTED") or paths.project("executed")).absolute() / profile


def run(name: str, profile: str = "toy", given: Iterable[tuple[str, str]] = (), workers: int = 1) -> Path:
    """Execute a notebook; the executed copy is ``executed/<profile>/<name>.ipynb``, its tables lie beside it.

    ``given`` are pairs of a parameter's name and its value as text; ``workers`` is the number of processes that
    make models. The copy and its tables replace the last ones together, when the run is whole. Raises ValueError
    for an unknown notebook, profile or parameter and for a value of the wrong type, and ChildProcessError, saying
    what failed and where, if a cell does.
    """
    values = checked(name, profile, list(given))
    folder = executed_folder(profile)
    require_writable(folder, stages.root())
    made_from = fingerprint(name, values)
    os.environ.update(
        QUIET | {variable: _absolute(variable) for variable in FOLDERS if os.environ.get(variable)}
    )
    # It cannot read "list[int] | None" and calls such parameters unknown; they are checked above.
    logging.getLogger("papermill").setLevel(logging.ERROR)
    if HOW_FAST in {parameter.name for parameter in parameters(name)}:
        values = {HOW_FAST: workers} | values
    with tempfile.TemporaryDirectory() as scratch:
        try:
            papermill.execute_notebook(
                read(name),
                Path(scratch, f"{name}.ipynb"),
                values,
                resources={
                    "metadata": {"path": scratch}
                },  # the kernel's folder; this process stays where it is
                progress_bar=False,
                kernel_name="python3",
                extra_arguments=["--log-level=CRITICAL"],  # of the kernel: its log lands on the terminal
            )
        except KeyboardInterrupt as interruption:
            # asyncio would print the cell that was interrupted, with its whole traceback, when this process ends
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            interruption.add_note(f"models and replies that were finished are kept in {stages.root()}")
            raise
        except PapermillExecutionError as error:
            failed = folder / f"{name}.failed.ipynb"
            shutil.move(Path(scratch, f"{name}.ipynb"), failed)
            reason = f"cell {error.exec_count}: {error.ename}: {error.evalue}"
            raise ChildProcessError(f"notebook {name} failed in {reason} (see {failed})") from None
        return _published(name, Path(scratch), folder, made_from)


def require_writable(*folders: Path) -> None:
    """Before minutes of work, not after them: what is made can be written; PermissionError where not."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} cannot be written")


def tables(executed: Path) -> list[Path]:
    """The CSV files that an executed notebook saved, beside it."""
    return [executed.parent / name for name in _about(executed).get("tables", {})]


def facts(executed: Path) -> dict:
    """What ``lox.book.results.provenance`` said in an executed notebook."""
    outputs = [o for c in nbformat.read(executed, as_version=4).cells for o in c.get("outputs", [])]
    said = [o.get("metadata", {}).get("text/markdown", {}).get("lox") for o in outputs]
    return next(one for one in reversed(said) if one)


def is_current(name: str, profile: str) -> bool:
    """Whether the executed copy and its tables are whole, and made with default parameters from what is here now."""
    path = executed_folder(profile) / f"{name}.ipynb"
    about = _about(path)
    whole = all(_digest(path.with_name(table)) == digest for table, digest in about.get("tables", {}).items())
    return whole and about.get("made_from") == fingerprint(name, {"profile": profile})


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
    """Hash of all that an executed notebook is made from: its source, the code it uses, data, pins, parameters."""
    patterns = (*INGREDIENTS, *PRINTED.get(name, ()))
    files = [p for pattern in patterns for p in sorted(paths.ROOT.glob(pattern)) if p.is_file()]
    source = (sources() / f"{name}.md").read_text()
    decisive = {parameter: value for parameter, value in values.items() if parameter != HOW_FAST}
    return content_hash(
        [
            source,
            used_by_source(code_of(name)),
            [[str(p.relative_to(paths.ROOT)), _digest(p)] for p in files],
            decisive,
        ]
    )


def _published(name: str, scratch: Path, folder: Path, made_from: str) -> Path:
    """Move a whole run's tables and then its notebook, which vouches for them, to where readers find them."""
    done = nbformat.read(scratch / f"{name}.ipynb", as_version=4)
    saved = sorted(scratch.glob("*.csv"))
    done.metadata.pop("papermill", None)  # with paths of this machine
    for cell in done.cells:
        if INJECTED in cell.metadata.get("tags", []):
            cell.metadata.tags = [*cell.metadata.tags, "hide-input"]
    done.metadata["lox"] = {"made_from": made_from, "tables": {path.name: _digest(path) for path in saved}}
    target = folder / f"{name}.ipynb"
    for gone in set(tables(target)) - {folder / path.name for path in saved}:
        gone.unlink(missing_ok=True)
    for path in saved:
        shutil.move(path, folder / path.name)
    with whole(target, target.with_suffix(".unfinished")) as part:
        nbformat.write(done, part)
    (folder / f"{name}.failed.ipynb").unlink(missing_ok=True)
    return target


def _about(executed: Path) -> dict:
    """What ``run`` noted in an executed notebook; nothing where it is not there or not whole."""
    try:
        return nbformat.read(executed, as_version=4).metadata.get("lox", {})
    except (OSError, ValueError, nbformat.reader.NotJSONError):
        return {}


def _digest(path: Path) -> str | None:
    return file_hash(path) if path.is_file() else None


def _absolute(variable: str) -> str:
    return str(Path(os.environ[variable]).absolute())
