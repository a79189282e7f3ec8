"""What the tests of faults share: each runs one command that meets a fault, and asserts what then happens.

The fixture ``fault`` (tests/conftest.py) asserts exit code, message and what is left on disk. What it asserts is a
line of the page ``book/faults.md``, which ``make faults`` writes; a test whose line is not on the page fails.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lox import cli
from lox.terminal import OneLineErrors, warning_lines

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "book" / "faults.md"
HEAD = ("| What is wrong | Exit code and what is said | Left on disk |", "|:--|:--|:--|")
INTRODUCTION = """# What we tried to break

Written by `make faults` from the tests that it names: every line is a test that makes the fault, runs the
command, and holds its exit code, what it says, and which files are there afterwards that were not there before.
Errors that a user can mend are one line and exit code 2, an interruption is 130, and 0 means that the command
went on and said so. Files that were there are never changed.
"""


@dataclass(frozen=True)
class Line:
    """A row of the page, and the test that shows it."""

    module: str
    test: str
    case: str
    outcome: str
    left: str

    def __str__(self) -> str:
        return f"| {self.case} | {self.outcome} | {self.left} |"


class Fault:
    """Runs a command in the working folder, once in a test, and asserts what it does there."""

    def __init__(self, item: pytest.Function, writing: bool):
        self.item, self.writing, self.line = item, writing, None

    def __call__(
        self,
        *arguments: str,
        says: str | tuple[str, ...],
        exits: int = 2,
        leaves: tuple[str, ...] = (),
        run: Callable[[], Any] | None = None,
        dry_run_too: bool = False,
        lines: int = 1,
        changed: Sequence[str] = (),
    ) -> Any:
        """What ``lox ARGUMENTS``, or ``run``, did: the result, with exit_code (or returncode), stdout, stderr.

        ``says`` are parts of what is said, on stderr in ``lines`` lines; ``leaves`` patterns of what is new on
        disk, a folder standing for all in it; ``changed`` the files that the test itself changes meanwhile.
        """
        assert self.line is None, "one fault a test: it is one line of the page"
        said = (says,) if isinstance(says, str) else says
        if dry_run_too:
            self._happens(run or _lox(*arguments, "--dry-run"), said, exits, (), lines, changed)
        result = self._happens(run or _lox(*arguments), said, exits, leaves, lines, changed)
        self.line = Line(
            module=self.item.path.relative_to(ROOT).as_posix(),
            test=self.item.originalname,
            case=_escaped(self._case()),
            outcome=f"{exits}: ``{_escaped(' … '.join(said))}``"
            if any(said)
            else f"{exits}, and nothing is said",
            left=", ".join(f"`{pattern}`" for pattern in leaves) or "nothing",
        )
        if not self.writing:
            assert str(self.line) in PAGE.read_text().splitlines(), "not on the page: run `make faults`"
        return result

    def _case(self) -> str:
        if hasattr(self.item, "callspec"):
            return self.item.callspec.id
        return self.item.obj.__doc__.split("\n")[0].strip().rstrip(".")

    @staticmethod
    def _happens(run, said, exits, leaves, lines, changed) -> Any:
        before = tree(Path.cwd())
        result = run()
        after = tree(Path.cwd())
        code = result.exit_code if hasattr(result, "exit_code") else result.returncode
        assert code == exits, (code, result.stdout, result.stderr)
        for part in said:
            assert part in (result.stderr if exits else result.stdout + result.stderr), result.stderr
        if exits:
            assert result.stderr.startswith("lox: ") and result.stderr.count("\n") == lines, result.stderr
        new = [path for path in after if path not in before]
        new = [path for path in new if str(Path(path).parent) not in new]
        assert all(any(fnmatch(path, pattern) for pattern in leaves) for path in new), (new, leaves)
        assert all(any(fnmatch(path, pattern) for path in new) for pattern in leaves), (new, leaves)
        kept = {path: content for path, content in before.items() if path not in changed}
        assert {path: after.get(path, "gone") for path in kept} == kept
        return result


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """All that is in a folder: path -> bytes of a file, target of a link, None for anything else."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else (path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def as_command(function: Callable[[], Any]) -> Callable[[], Any]:
    """A function as a command of its own, which says errors and warnings as ``lox`` does."""
    app = typer.Typer(cls=OneLineErrors, pretty_exceptions_enable=False)
    app.callback()(lambda: None)

    @app.command("call")
    def call() -> None:
        with warning_lines(quiet=False):
            function()

    return lambda: CliRunner().invoke(app, ["call"])


def page(lines: list[Line]) -> str:
    """The page: a section for each file of tests, a table for each test."""
    parts = [INTRODUCTION]
    for module in sorted({line.module for line in lines}):
        own = [line for line in lines if line.module == module]
        title = (ROOT / module).read_text().split('"""')[1].split("\n")[0].rstrip(".")
        parts.append(f"## {title}\n")
        for test in dict.fromkeys(line.test for line in own):
            parts.append(f"Shown by `{test}` in `{module}`:\n")
            parts.append("\n".join([*HEAD, *(str(line) for line in own if line.test == test)]) + "\n")
    return "\n".join(parts)


def _lox(*arguments: str) -> Callable[[], Any]:
    return lambda: CliRunner().invoke(cli.app, list(arguments))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
