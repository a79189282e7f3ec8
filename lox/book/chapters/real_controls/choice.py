"""k and α by the paper's rule on the selection seed: ``python -m lox.book.chapters.real_controls.choice``.

It asks goals and harmless requests that no page reports, behind those of the profile's evaluation. It can be
interrupted at any time: replies are kept in KEPT.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import typer

from lox.book.record import record_tables
from lox.lab import choosing
from lox.lab.reply_file import ReplyFile
from lox.lab.rows import head
from lox.lab.setup import Setup, load

NAME = "choice"
BUDGET = 0.05  # of harmless answers that may be lost
HARMFUL, HARMLESS = 100, 190  # asked, behind the reported ones
# At 16, the largest of the command's own, the condition of equation 4 fails.
RANKS = (*choosing.RANKS, 24, 32, 64)


def questions(setup: Setup) -> list[dict]:
    """The goals and harmless requests that follow those of the profile's evaluation."""
    reported, world = setup.profile.evaluation, setup.world
    sets = {
        "harmful": world.harmful_prompts(reported.harmful + HARMFUL, None)[reported.harmful :],
        "benign": world.benign_prompts(reported.benign + HARMLESS)[reported.benign :],
    }
    return [
        {"set": name, "prompt": prompt, "thing": thing, "tokens": reported.new_tokens}
        for name, prompts in sets.items()
        for prompt, thing in zip(prompts, world.things(prompts))
    ]


def chosen(setup: Setup, kept: ReplyFile) -> tuple[pd.DataFrame, choosing.Choice]:
    """Every point of the grid on the first selection seed (``lox.lab.choosing.table``), and what the rule chooses."""
    model = setup.model(setup.profile.selection_seeds[0])
    aligned, base = setup.folder(model), setup.folder(model.base)
    measured = choosing.of_setup(setup, aligned, base, questions(setup), kept, ranks=RANKS, budget=BUDGET)
    return choosing.table(measured), measured.choice


def main(kept: Path, profile: str = "smollm2-controls") -> None:
    """Write the points of PROFILE under results/, without texts, and say what the rule chooses."""
    setup = load(profile)
    table, choice = chosen(setup, ReplyFile(kept))
    made = head(setup) | {"seed": setup.profile.selection_seeds[0]}
    command = f"python -m {__spec__.name} {kept.name} --profile {profile}"
    table = pd.DataFrame(made, index=table.index).join(table)
    for path in record_tables(setup, NAME, command, {NAME: table}, setup.profile.selection_seeds[:1]):
        typer.echo(path)
    typer.echo(choice)


if __name__ == "__main__":
    typer.run(main)
