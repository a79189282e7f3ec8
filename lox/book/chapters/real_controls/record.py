"""Makes, asks and records the chapter's models: ``python -m lox.book.chapters.real_controls.record SHEET NAME``.

It can be interrupted at any time: what was made is found again.
"""

from __future__ import annotations

from pathlib import Path

import typer

from lox.book import blind
from lox.book.chapters.real_controls import measure
from lox.lab.setup import load


def main(sheet: Path, name: str, profile: str = "smollm2-controls") -> None:
    """Write the tables NAME of PROFILE, without texts, under results/, and a blank SHEET of what nobody has read yet.

    NAME is one of ``measure.ASKED``.
    """
    if name not in measure.ASKED:
        raise typer.BadParameter(f"{name!r}: there are {', '.join(measure.ASKED)}", param_hint="NAME")
    setup = load(profile)
    command = f"python -m {measure.__package__}.record {sheet.name} {name} --profile {profile}"
    blind.record(setup, name, command, measure.ASKED[name](setup, setup.seeds), sheet)


if __name__ == "__main__":
    typer.run(main)
