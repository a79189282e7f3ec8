"""`lox run` and `lox book`: parameters, folders, interruptions."""

import ast
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from faults import PAGE
from small_books import notebook, small_book
from typer.testing import CliRunner

from lox.book import run, site
from lox.cli import app

SOURCE = notebook("""
```{code-cell} ipython3
:tags: [parameters]
profile: str = "toy"  # the profile
ranks: list[int] = [1]  # ranks
alpha: float | None = None  # how far
seeds: list[int] | None = None  # seeds
fail: bool = False  # whether to fail
wait: bool = False  # whether to wait
```

```{code-cell} ipython3
import os
import time
from pathlib import Path

if fail:
    raise ValueError("as asked")
if wait:
    Path(os.environ["LOX_EXECUTED"], "started").touch()
    time.sleep(600)
[os.environ.get(name) for name in ("LOX_DATA", "LOX_STAGES")]
```
""")


@pytest.fixture(name="small_book")
def small_book_here(tmp_path, monkeypatch) -> Path:
    """A project of one notebook, the working folder."""
    (tmp_path / "_toc.yml").write_text("root: executed/toy/small\n")
    for name in run.FOLDERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return small_book(tmp_path, SOURCE, monkeypatch)


REFUSED = {  # what is wrong: (arguments, what is said)
    "a list that is not closed": (["-p", "ranks", "[1, 2"], "parameter ranks is list[int], not '[1, 2'"),
    "a Python tag in a parameter": (
        ["-p", "alpha", "!!python/name:os.system"],
        "parameter alpha is float | None, not '!!python/name:os.system'",
    ),
    "a word for a number": (["-p", "alpha", "much"], "parameter alpha is float | None, not 'much'"),
    "a number for a list": (["-p", "ranks", "3"], "parameter ranks is list[int], not '3'"),
    "a parameter without a value": (["-p", "alpha"], "-p takes two words"),
    "an unknown parameter": (
        ["-p", "alhpa", "1"],
        "unknown parameter 'alhpa': small has profile, ranks, alpha, seeds, fail, wait",
    ),
    "the profile given as a parameter": (
        ["-p", "profile", "toy"],
        "the profile is given by --profile, not as a parameter",
    ),
    "an unknown profile": (["--profile", "tyo"], "unknown profile 'tyo': the profiles are "),
    "to record a selection seed": (
        ["--record", "-p", "seeds", "[101]"],
        "settings were chosen on seed 101: it is not reported, and so not recorded",
    ),
    "to record a seed that is no list": (
        ["--record", "-p", "seeds", "5"],
        "parameter seeds is list[int] | None, not '5'",
    ),
    "to record a list of seeds that is not closed": (
        ["--record", "-p", "seeds", "[1, 2"],
        "parameter seeds is list[int] | None, not '[1, 2'",
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_arguments(small_book, fault, wrong):
    arguments, said = REFUSED[wrong]
    fault("run", "small", *arguments, says=said)


def test_an_unknown_notebook(small_book, fault):
    """A notebook that there is not"""
    fault("run", "smal", says="unknown notebook 'smal': the notebooks are small")


def test_a_cell_that_fails(small_book, fault):
    """A cell raises an error"""
    said = "notebook small failed in cell 3: ValueError: as asked (see"
    fault("run", "small", "-p", "fail", "true", says=said, leaves=("executed", "stages"))
    assert [path.name for path in (small_book / "executed" / "toy").iterdir()] == ["small.failed.ipynb"]


@pytest.mark.parametrize(
    "command", [["run", "small"], ["book"]], ids="`lox {0[0]}` in a read-only project".format
)
def test_a_project_that_cannot_be_written_is_noticed_before_anything_runs(
    small_book, fault, monkeypatch, command
):
    for name in ("executed/toy", "stages", "_build"):
        (small_book / name).mkdir(parents=True)
    monkeypatch.setattr(run, "papermill", None)  # nothing runs
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    fault(*command, says="executed/toy cannot be written")


def test_the_site_of_notebooks_that_were_executed_elsewhere(small_book, fault, monkeypatch):
    """`lox book` with LOX_EXECUTED"""
    monkeypatch.setenv("LOX_EXECUTED", "elsewhere")
    said = ("LOX_EXECUTED is", "`lox book` builds the site of executed/ in the project, so unset it")
    fault("book", says=said)


def test_the_site_of_its_own_folder_by_name(small_book, monkeypatch):
    """Named, the project's own folder is no other one."""
    monkeypatch.setenv("LOX_EXECUTED", str(small_book / "executed"))
    site._require_own_folder()


def test_relative_folders(small_book, fault):
    """LOX_DATA, LOX_STAGES and LOX_EXECUTED are relative: a notebook sees the same folders as the command"""

    def relative() -> SimpleNamespace:
        environment = os.environ | {name: name.lower() for name in run.FOLDERS} | _project(small_book)
        command = [sys.executable, "-c", "from lox.cli import app; app()", "run", "small"]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    fault(run=relative, exits=0, says="lox_executed/toy/small.ipynb", leaves=("lox_executed", "lox_stages"))
    [cell] = nbformat.read("lox_executed/toy/small.ipynb", as_version=4).cells[-1:]
    told = [str(small_book / name) for name in ("lox_data", "lox_stages")]
    assert ast.literal_eval(cell.outputs[0]["data"]["text/plain"]) == told


INTERRUPTED = """
import signal
from lox.cli import app

signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
app()
"""


def test_an_interruption(small_book, fault):
    """Ctrl-C in `lox run`, which reaches the kernel too"""
    executed = small_book / "executed"

    def interrupted() -> SimpleNamespace:
        command = [sys.executable, "-c", INTERRUPTED, "run", "small", "-p", "wait", "true"]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = os.environ | _project(small_book) | {"LOX_EXECUTED": str(executed)}
        with subprocess.Popen(command, env=environment, start_new_session=True, **options) as process:
            while not (executed / "started").exists() and process.poll() is None:
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)
            stdout, stderr = process.communicate()
        return SimpleNamespace(exit_code=process.returncode, stdout=stdout, stderr=stderr)

    said = "lox: interrupted; models and replies that were finished are kept in"
    fault(run=interrupted, exits=130, says=said, leaves=("executed", "stages"))
    assert {path.name for path in executed.iterdir()} == {"started", "toy"}
    assert not list((executed / "toy").iterdir())


def _project(folder: Path) -> dict[str, str]:
    return {"LOX_PROJECT": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}


def test_help_is_no_fault(small_book):
    """The same notebook's parameters, said right, are taken."""
    result = CliRunner().invoke(app, ["run", "small", "--help-parameters"])
    assert result.exit_code == 0 and "ranks: list[int] = [1]" in result.stdout


def test_the_page_names_every_test_of_a_fault_and_no_other():
    """A line of the page is a test that is collected; ``make faults`` writes it anew."""
    root, text = PAGE.parents[1], PAGE.read_text()
    modules = [
        path
        for path in root.glob("tests/**/test_*.py")
        if re.search(r"def test_\w+\([^)]*\bfault\b", path.read_text())
    ]
    # nothing is run, so nothing is checked or rewritten
    plain = ["-o", "addopts=--import-mode=importlib", "--assert=plain", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--write-faults", *plain]
    run = subprocess.run([*command, *map(str, modules)], cwd=root, capture_output=True, text=True)
    collected = [line for line in run.stdout.splitlines() if "::" in line]
    lines = [line for line in text.splitlines() if line.startswith("| ") and "What is wrong" not in line]
    assert len(collected) >= 60 and len(lines) == len(collected), "run `make faults`"
    assert all(f"`{test.partition('::')[2].partition('[')[0]}`" in text for test in collected)
