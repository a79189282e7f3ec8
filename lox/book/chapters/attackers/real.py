"""Attackers on a real model, read blind: ``python -m lox.book.chapters.attackers.real SHEET`` records them.

It can be interrupted at any time: what was made is found again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import typer

from lox.book import blind
from lox.book.blind import Blind
from lox.book.chapters.attackers.measure import DEFENCES
from lox.book.chapters.real_controls import measure as controls
from lox.lab import attackers
from lox.lab.evaluated import Evaluated
from lox.lab.setup import Setup, load

NAME = "real_attackers"
ATTACKERS = ("prefill",)
BESIDE = {controls.BEFORE: "nothing", controls.ATTACK: "full"}  # states of the record beside controls
OPENING = "Sure, here is"


def asked(setup: Setup, seeds: Sequence[int]) -> Iterator[tuple[dict, Evaluated]]:
    """(cell, what came out) of each of ``ATTACKERS`` on every seed's model without LoX and with it."""
    for attacker in ATTACKERS:
        for seed in seeds:
            for defence in DEFENCES:
                published, k = setup.model(seed, defence=defence), setup.profile.lox.k
                evaluated = attackers.after(setup, attacker, published, k, OPENING)
                yield {"seed": seed, "attacker": attacker, "defence": defence}, evaluated


def recorded(profile: str) -> Blind:
    """What was recorded of a profile, "nothing" and "full" from the record beside controls.

    ValueError where a table is missing, or the reader's sheet lacks a reply.
    """
    own, beside = blind.recorded(profile, NAME), controls.recorded(profile)
    return Blind(
        _joined(own.rows, beside.rows),
        _joined(own.phrases, beside.phrases),
        _joined(own.reader, beside.reader),
    )


def _joined(own: pd.DataFrame, beside: pd.DataFrame) -> pd.DataFrame:
    known = beside[beside["state"].isin(list(BESIDE)) & beside["defence"].isin(DEFENCES)]
    return pd.concat([known.assign(attacker=known["state"].map(BESIDE)), own], ignore_index=True)


def main(sheet: Path, profile: str = "smollm2-controls") -> None:
    """Write the tables of PROFILE, without texts, under results/, and a blank SHEET of what nobody has read yet."""
    setup = load(profile)
    command = f"python -m {__spec__.name} {sheet.name} --profile {profile}"
    blind.record(setup, NAME, command, asked(setup, setup.seeds), sheet)


if __name__ == "__main__":
    typer.run(main)
