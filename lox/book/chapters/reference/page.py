"""The reference: what the package offers and what the command takes, from their own docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import typer
from IPython.display import Markdown
from typer.testing import CliRunner

import lox
from lox.cli import app

WIDTH = {"COLUMNS": "88", "TERM": "dumb", "NO_COLOR": "1"}  # of the help texts, without escape sequences


def names() -> Markdown:
    """Every public name of the package: how it is called, and its docstring."""
    return Markdown("\n\n".join(_entry(name, getattr(lox, name)) for name in lox.__all__))


def commands() -> Markdown:
    """What each command says to ``--help``."""
    helps = {
        name: CliRunner().invoke(app, [name, "--help"], env=WIDTH).output
        for name in typer.main.get_command(app).commands
    }
    return Markdown(
        "\n\n".join(f"### `lox {name}`\n\n```text\n{text.strip()}\n```" for name, text in helps.items())
    )


def _entry(name: str, thing: Callable) -> str:
    signature = f"lox.{name}{inspect.signature(thing)}"
    return f"### `lox.{name}`\n\n```python\n{signature}\n```\n\n```text\n{inspect.getdoc(thing)}\n```"
