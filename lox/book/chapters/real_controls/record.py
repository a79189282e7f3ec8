"""Makes, asks and records the chapter's models: ``python -m lox.book.chapters.real_controls.record SHEET``.

It can be interrupted at any time: what was made is found again.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import typer

from lox.book.chapters.real_controls import measure
from lox.book.record import record_tables
from lox.lab.judging.sheet import blank_sheet
from lox.lab.setup import load


def main(sheet: Path, profile: str = "smollm2-controls") -> None:
    """Write the blind SHEET of replies to read, and the tables of PROFILE, without texts, under results/."""
    setup = load(profile)
    made = []
    for cell, evaluated in measure.asked(setup, setup.seeds):
        typer.echo(" ".join(map(str, cell.values())))
        made.append(measure.told(cell, evaluated))
    rows, labels, replies_of_each = zip(*made)
    replies = sum(replies_of_each, [])
    tables = {"real_controls": pd.DataFrame(rows), "real_controls_labels": pd.concat(labels)}
    command = f"python -m {measure.__package__}.record {sheet.name}"
    for path in record_tables(setup, "real_controls", command, tables):
        typer.echo(path)
    blank = blank_sheet(replies)
    blank.to_csv(sheet, index=False)
    typer.echo(f"{sheet}: {len(blank)} different replies to read, of {len(replies)}")


if __name__ == "__main__":
    typer.run(main)
