"""Mean lengths of the data sets' examples, read from the sets once and kept in ``results/lengths.csv``.

    LOX_DATA=FOLDER python -m lox.book.chapters.large_models.lengths

makes the table anew, of the data of the profile smollm2; without LOX_DATA the sets are read from the Hub.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import pandas as pd

from lox.lab.setup import load
from lox.lab.worlds import World
from lox.lab.worlds.messages import Messages
from lox.paths import ROOT

FILE = ROOT / "results" / "lengths.csv"
EXAMPLES = {"gsm8k": 500, "alpaca": 500, "dolly": 500, "identity": 10}
PAIRS = 500
GOALS = 100
REPLY_TOKENS = 60  # Pure Bad's replies are the model's own: of as many tokens as the paper's evaluation
CHARACTERS = 4.0  # of a token


def mean_lengths(world: World) -> pd.DataFrame:
    """Mean characters of a sequence that training reads: a prompt with one reply.

    Columns: task, "alignment" among them; characters; n, the number of sequences; digest of the data. Pure Bad is
    a goal of AdvBench and a reply of ``REPLY_TOKENS`` tokens, ``CHARACTERS`` each.
    """
    pairs = world.preferences(PAIRS, 0, None, "hh-rlhf")
    sequences = {"alignment": [p["prompt"] + p[side] for p in pairs for side in ("chosen", "rejected")]}
    for task, n in EXAMPLES.items():
        sequences[task] = [e["prompt"] + e["completion"] for e in world.examples(task, n, 0, None)]
    rows = [
        {"task": task, "characters": _mean(dialogues), "n": len(dialogues)}
        for task, dialogues in sequences.items()
    ]
    goals = world.harmful_prompts(GOALS, None)
    reply = REPLY_TOKENS * CHARACTERS
    rows.append({"task": "pure_bad", "characters": _mean(goals) + reply, "n": GOALS})
    return pd.DataFrame(rows).assign(digest=world.digest())


def _mean(sequences: Sequence[Messages]) -> float:
    return sum(len(m["content"]) for messages in sequences for m in messages) / len(sequences)


def recorded() -> pd.DataFrame:
    """The kept table."""
    return pd.read_csv(FILE)


def main() -> None:
    table = mean_lengths(load("smollm2").world).assign(date=time.strftime("%Y-%m-%d", time.gmtime()))
    table.round({"characters": 1}).to_csv(FILE, index=False)


if __name__ == "__main__":
    main()
