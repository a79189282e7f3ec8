"""Makes, asks and records the chapter's models: ``python -m lox.book.chapters.real_controls.record SHEET``.

It can be interrupted at any time: what was made is found again.
"""

from __future__ import annotations

from pathlib import Path

import typer

from lox.book import blind
from lox.book.chapters.real_controls import measure
from lox.lab.setup import load


def main(sheet: Path, profile: str = "smollm2-controls") -> None:
    """Write the tables of PROFILE, without texts, under results/, and a blank SHEET of what nobody has read yet."""
    setup = load(profile)
    command = f"python -m {measure.__package__}.record {sheet.name}"
    blind.record(setup, measure.NAME, command, measure.asked(setup, setup.seeds), sheet)


if __name__ == "__main__":
    typer.run(main)
