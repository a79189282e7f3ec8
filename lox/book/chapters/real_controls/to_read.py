"""Writes the sheet of replies that a reader scores: ``python -m lox.book.chapters.real_controls.to_read``."""

from __future__ import annotations

from pathlib import Path

import typer

from lox.book.chapters.real_controls import measure
from lox.lab.judging.sheet import blank_sheet
from lox.lab.setup import load
from lox.paths import project

TASKS = ["pure_bad"]
DEFENCES = ["none", "lox", "random"]


def main(sheet: Path, profile: str = "smollm2-controls", seeds: list[int] | None = None) -> None:
    """Write the blind SHEET, and under results/PROFILE which model gave each reply, without texts."""
    setup = load(profile)
    read, replies = measure.replies_to_read(setup, seeds or list(setup.seeds), TASKS, DEFENCES)
    folder = project("results", profile)
    folder.mkdir(parents=True, exist_ok=True)
    read.to_csv(folder / "read.csv", index=False)
    blank = blank_sheet(replies)
    blank.to_csv(sheet, index=False)
    typer.echo(f"{sheet}: {len(blank)} different replies to read, of {len(read)}")


if __name__ == "__main__":
    typer.run(main)
