"""How fast whoever trains a LoRA learns on a real model: ``python -m lox.book.chapters.attackers.trials``.

On a profile's selection seeds, without LoX. The rule: the rate after which the ASR is nearest that after full
fine-tuning, so that both attack alike hard.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import typer

from lox.book.chapters.attackers.real import fine_tuned
from lox.book.record import record_tables
from lox.lab.rows import head, rates
from lox.lab.setup import Setup, load

NAME = "attacker_trials"
FULL = "full"  # the one whom the others are held to
RATES = {FULL: (1.0,), "lora-8": (10.0, 20.0, 40.0)}  # multiples of the task's


def tried(setup: Setup, seeds: Iterable[int]) -> pd.DataFrame:
    """A row for each seed, attacker and rate: the rates of its replies after the attack on the aligned model."""
    return pd.DataFrame(
        head(setup)
        | {"seed": seed, "attacker": attacker, "rate": rate}
        | rates(fine_tuned(setup, attacker, seed, "none", rate))
        for seed in seeds
        for attacker, of_attacker in RATES.items()
        for rate in of_attacker
    )


def means(trials: pd.DataFrame) -> pd.DataFrame:
    """asr, helpful and utility over seeds, a row for each attacker and rate, in the order of the trials."""
    grouped = trials.groupby(["attacker", "rate"], sort=False)
    return grouped[["asr", "helpful", "utility"]].mean().reset_index()


def chosen(trials: pd.DataFrame) -> dict[str, float]:
    """Attacker -> the rate that the rule chooses, the slower of two that are equally near."""
    of_each = means(trials).set_index("attacker")
    aim = of_each.loc[FULL, "asr"]
    others = of_each.drop(FULL).assign(apart=lambda table: (table["asr"] - aim).abs())
    nearest = others.sort_values(["apart", "rate"]).groupby("attacker").head(1)
    return nearest["rate"].to_dict()


def main(profile: str = "smollm2-controls") -> None:
    """Write the trials of PROFILE, on its selection seeds, under results/, and say what the rule chooses."""
    setup = load(profile)
    seeds = setup.profile.selection_seeds
    command = f"python -m {__spec__.name} --profile {profile}"
    table = tried(setup, seeds)
    for path in record_tables(setup, NAME, command, {NAME: table}, seeds):
        typer.echo(path)
    typer.echo(chosen(table))


if __name__ == "__main__":
    typer.run(main)
