"""Is the safety subspace distinct? Harm beside ability, for each side of one task's fine-tuning."""

from __future__ import annotations

import pandas as pd

from lox.book.chapters.stress.causal import contrast
from lox.book.chapters.stress.measure import INSIDE, NOTHING, OUTSIDE, WHOLE, Variant
from lox.lab.statistics import mean_of_seeds

ABILITIES = ("helpful", "utility")
SIDES = {"inside": INSIDE, "outside": OUTSIDE}


def harm(differences: pd.DataFrame, task: str) -> pd.DataFrame:
    """ASR of each side put in alone minus the start's, after one task: side, difference, low, high, p_holm, seeds."""
    lines = []
    for side, variant in {**SIDES, "whole": WHOLE}.items():
        row = contrast(differences, variant, NOTHING, task=task, defence="none").iloc[0]
        lines.append({"side": side} | row[["difference", "low", "high", "p_holm", "seeds"]].to_dict())
    return pd.DataFrame(lines)


def ability(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """What the whole of fine-tuning can do minus what is left without a side, paired by seed.

    Columns side (that is left out), what ("helpful" or "utility"), difference, low, high, seeds; Student's interval.
    """
    of_task = table[(table["task"] == task) & (table["defence"] == "none")]
    lines = []
    for side, kept in (("inside", OUTSIDE), ("outside", INSIDE)):
        for what in ABILITIES:
            lost = mean_of_seeds(_by_seed(of_task, WHOLE, what) - _by_seed(of_task, kept, what))
            lines.append({"side": side, "what": what} | lost.columns("difference"))
    return pd.DataFrame(lines)


def of_task(table: pd.DataFrame, means: pd.DataFrame, task: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and mean ASR of the variants after one task without a defence, the means under the name "all"."""
    rows = table[(table["task"] == task) & (table["defence"] == "none")]
    return rows, means[means["task"] == task].assign(task="all")


def _by_seed(rows: pd.DataFrame, variant: Variant, column: str) -> pd.Series:
    subspace, part = variant
    return rows[(rows["subspace"] == subspace) & (rows["part"] == part)].set_index("seed")[column]
