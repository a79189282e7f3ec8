"""Attackers on a real model, read blind: ``python -m lox.book.chapters.attackers.real SHEET NAME`` records some.

It can be interrupted at any time: what was made is found again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from lox.book import blind
from lox.book.blind import Blind
from lox.book.chapters.attackers.measure import DEFENCES
from lox.book.chapters.real_controls import measure as controls
from lox.lab import attackers
from lox.lab.evaluated import Evaluated
from lox.lab.evaluation import evaluate
from lox.lab.setup import Setup, load

# Of who trains, as a multiple of the task's: 2e-4, at which LoRAs are commonly trained (Dettmers et al., 2023)
RATES = {"lora-8": 40.0}
ASKED = {  # by the name of what is recorded of them
    "real_attackers": ("prefill",),
    "real_lora": ("lora-8",),
}
BESIDE = {controls.BEFORE: "nothing", controls.ATTACK: "full"}  # states of the record beside controls
OPENING = "Sure, here is"


def asked(setup: Setup, name: str, seeds: Sequence[int]) -> Iterator[tuple[dict, Evaluated]]:
    """(cell, what came out) of each attacker of ``ASKED[name]`` on every seed's model without LoX and with it."""
    for attacker in ASKED[name]:
        for seed in seeds:
            for defence in DEFENCES:
                cell = {"seed": seed, "attacker": attacker, "defence": defence}
                yield cell, _attacked(setup, attacker, seed, defence)


def _attacked(setup: Setup, attacker: str, seed: int, defence: str) -> Evaluated:
    if attacker in RATES:
        return fine_tuned(setup, attacker, seed, defence, RATES[attacker])
    published = setup.model(seed, defence=defence)
    return attackers.after(setup, attacker, published, setup.profile.lox.k, OPENING)


def fine_tuned(setup: Setup, attacker: str, seed: int, defence: str, rate: float) -> Evaluated:
    """What comes out of a model after ``controls.ATTACK``, as an attacker trains, at ``rate`` times its rate."""
    lr = rate * setup.attack(controls.ATTACK).lr
    model = setup.model(seed, controls.ATTACK, defence, lr=lr)
    end = setup.steps(model)
    return evaluate(setup, attackers.course(setup, model, attacker, setup.profile.lox.k, [end])[end])


def recorded(profile: str) -> Blind:
    """What was recorded of a profile, "nothing" and "full" from the record beside controls.

    ValueError where a table is missing, or the reader's sheet lacks a reply.
    """
    own = [blind.recorded(profile, name) for name in ASKED]
    beside = controls.recorded(profile)
    return Blind(
        *(
            _joined(getattr(beside, field), *(getattr(record, field) for record in own))
            for field in ("rows", "phrases", "reader")
        )
    )


def _joined(beside: pd.DataFrame, *own: pd.DataFrame) -> pd.DataFrame:
    known = beside[beside["state"].isin(list(BESIDE)) & beside["defence"].isin(DEFENCES)]
    return pd.concat([known.assign(attacker=known["state"].map(BESIDE)), *own], ignore_index=True)


def main(
    sheet: Path,
    name: str,
    profile: str = "smollm2-controls",
    seed: Annotated[list[int] | None, typer.Option(help="Some of the reported seeds; else all.")] = None,
) -> None:
    """Write the tables NAME of PROFILE, without texts, under results/, and a blank SHEET of what nobody has read yet.

    NAME is one of ``ASKED``.
    """
    if name not in ASKED:
        raise typer.BadParameter(f"{name!r}: there are {', '.join(ASKED)}", param_hint="NAME")
    setup = load(profile)
    if unknown := set(seed or ()) - set(setup.seeds):
        raise typer.BadParameter(f"{min(unknown)} is no reported seed of {profile}", param_hint="--seed")
    named = [f"--seed {number}" for number in seed or ()]
    command = " ".join([f"python -m {__spec__.name} {sheet.name} {name} --profile {profile}", *named])
    seeds = seed or setup.seeds
    blind.record(setup, name, command, asked(setup, name, seeds), sheet, seeds)


if __name__ == "__main__":
    typer.run(main)
