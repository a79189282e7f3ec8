"""The reference: what the package offers and what the command takes, from their own docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import typer
from IPython.display import Markdown
from typer.core import TyperCommand

import lox
from lox.cli import app

WIDTH = 88  # columns of the help texts


def names() -> Markdown:
    """Every public name of the package: how it is called, and its docstring."""
    return Markdown("\n\n".join(_entry(name, getattr(lox, name)) for name in lox.__all__))


def commands() -> Markdown:
    """What each command says to ``--help``."""
    helps = {name: _help(name, command) for name, command in typer.main.get_group(app).commands.items()}
    return Markdown(
        "\n\n".join(f"### `lox {name}`\n\n```text\n{text.strip()}\n```" for name, text in helps.items())
    )


def _help(name: str, command: TyperCommand) -> str:
    command.rich_markup_mode = None  # rich would show coloured HTML in a notebook and return nothing
    context = typer.Context(command, info_name=f"lox {name}", terminal_width=WIDTH)
    return command.get_help(context)


def _entry(name: str, thing: Callable) -> str:
    signature = f"lox.{name}{inspect.signature(thing)}"
    return f"### `lox.{name}`\n\n```python\n{signature}\n```\n\n```text\n{inspect.getdoc(thing)}\n```"
