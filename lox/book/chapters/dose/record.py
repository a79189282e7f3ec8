"""Makes, asks and records doses on a real model: ``python -m lox.book.chapters.dose.record SHEET``.

It can be interrupted at any time: what was made is found again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer

from lox.book import blind
from lox.book.chapters.dose import measure
from lox.lab.evaluated import Evaluated
from lox.lab.setup import Setup, load

DEFENCES = ("none", "lox")


def main(
    sheet: Path, profile: str = "smollm2-controls", task: str = "pure_bad", times: int = 4, first: int = 4
) -> None:
    """Write the tables of PROFILE, without texts, under results/, and a blank SHEET of what nobody has read yet.

    A run lasts TIMES the profile's epochs at its learning rate, and is looked at from the FIRST step on, at every
    doubling of it.
    """
    setup = load(profile)
    options = f"--profile {profile} --task {task} --times {times} --first {first}"
    command = f"python -m {measure.__package__}.record {sheet.name} {options}"
    blind.record(setup, measure.NAME, command, evaluated_runs(setup, task, times, first), sheet)


def evaluated_runs(setup: Setup, task: str, times: int, first: int) -> Iterator[tuple[dict, Evaluated]]:
    """(cell, what came out) of every seed's run without and with LoX, at each of its doses."""
    for seed in setup.seeds:
        for defence in DEFENCES:
            model = measure.model_of(setup, seed, task, defence, times, rate=1.0)
            yield from measure.evaluated_doses(setup, model, first, per_doubling=1)


if __name__ == "__main__":
    typer.run(main)
