"""The tables of the chapter on judges."""

from __future__ import annotations

import math

import pandas as pd
from IPython.display import Markdown

from lox.judges import Label
from lox.tables import DEFENCE_NAMES, TASK_NAMES, markdown

LABELS = Label.__args__
ALL = {"all": "all replies"}


def refusals(found: pd.DataFrame) -> Markdown:
    """``judge_comparison.taught_refusals``, and in words how many of the taught refusals are recognised."""
    shown = pd.DataFrame(
        {
            "Refusal that alignment teaches": found["refusal"],
            "replies that hold it": found["replies"],
            "in the list of phrases": found["recognised"].map({True: "yes", False: "no"}),
        }
    )
    missed = found.loc[~found["recognised"], "replies"].sum()
    text = (
        f"The list recognises {found['recognised'].sum()} of the {len(found)}. "
        f"{missed} of the replies below hold one that it does not recognise."
    )
    return Markdown(f"{shown.to_markdown(index=False)}\n\n{text}")


def confusion(labels: pd.DataFrame, first: str, second: str) -> Markdown:
    """How many replies the first judge (rows) and the second (columns) give each label."""
    used = [label for label in LABELS if (labels[[first, second]] == label).any(axis=None)]
    counts = pd.crosstab(labels[first], labels[second]).reindex(index=used, columns=used, fill_value=0)
    counts = counts.rename(columns=lambda label: f"`{second}`: {label}")
    return markdown(counts.rename_axis(f"`{first}`").reset_index())


def agreements(found: pd.DataFrame) -> Markdown:
    """``judge_comparison.agreements`` of one or more pairs of judges."""
    return markdown(
        pd.DataFrame(
            {
                "Judges": f"`{a['first']}` and `{a['second']}`",
                "After": (TASK_NAMES | ALL)[a["task"]],
                "Defence": (DEFENCE_NAMES | ALL)[a["defence"]],
                "κ": _kappa(a),
                "same verdict": f"{100 * a['same']:.0f} %" if a["n"] else "none",
                "n": a["n"],
                "left out": a["left_out"],
            }
            for _, a in found.iterrows()
        )
    )


def overstatements(found: pd.DataFrame) -> Markdown:
    """``judge_comparison.overstatement`` in points, a column for each judge."""
    shown = found.assign(
        after=found["task"].map(TASK_NAMES),
        defence=found["defence"].map(DEFENCE_NAMES),
        points=[_points(d) for _, d in found.iterrows()],
        judge=[f"`{d['judge']}` less `{d['reference']}` (points)" for _, d in found.iterrows()],
    )
    wide = shown.pivot(index=["after", "defence"], columns="judge", values="points")
    order = [list(dict.fromkeys(zip(shown["after"], shown["defence"]))), list(dict.fromkeys(shown["judge"]))]
    wide = wide.reindex(index=pd.MultiIndex.from_tuples(order[0], names=["After", "Defence"]))
    return markdown(wide[order[1]].reset_index())


def overstatements_in_words(found: pd.DataFrame) -> Markdown:
    """In how many rows each judge's ASR is above the reference's, and below, by the interval."""
    lines = []
    for (judge, reference), group in found.groupby(["judge", "reference"], sort=False):
        above, below = int((group["low"] > 0).sum()), int((group["high"] < 0).sum())
        lines.append(
            f"- `{judge}` gives a higher ASR than `{reference}` in {above} of {len(group)} rows, "
            f"a lower one in {below}; the differences run from {_signed(group['difference'].min())} to "
            f"{_signed(group['difference'].max())} points."
        )
    return Markdown("\n".join(lines))


def conclusions(found: pd.DataFrame) -> Markdown:
    """``judge_comparison.conclusions``: what each judge says of LoX after each task."""
    shown = pd.DataFrame(
        {
            "After": found["task"].map(TASK_NAMES),
            "judge": [f"by `{judge}`" for judge in found["judge"]],
            "said": [f"{_points(d)}: {_said(d)}" for _, d in found.iterrows()],
        }
    )
    wide = shown.pivot(index="After", columns="judge", values="said")
    return markdown(wide.loc[shown["After"].unique(), shown["judge"].unique()].reset_index())


def conclusions_in_words(found: pd.DataFrame, reference: str) -> Markdown:
    """In how many rows each other judge says of LoX what ``reference`` says, and where it does not."""
    shown = found.assign(said=[_said(d) for _, d in found.iterrows()])
    said = shown.pivot(index="task", columns="judge", values="said").loc[found["task"].unique()]
    lines = []
    for judge in found["judge"].unique():
        if judge != reference:
            apart = [TASK_NAMES[task] for task in said.index[said[judge] != said[reference]]]
            where = f"; it does not for: {', '.join(apart)}" if apart else ""
            count = f"{len(said) - len(apart)} of {len(said)} rows"
            lines.append(f"- `{judge}` says of LoX what `{reference}` says in {count}{where}.")
    return Markdown("\n".join(lines))


def _kappa(a: pd.Series) -> str:
    """κ with its interval; not defined where a judge says the same of every reply."""
    if math.isnan(a["kappa"]):
        return "not defined"
    return f"{a['kappa']:.2f} [{a['low']:.2f}, {a['high']:.2f}]"


def _said(d: pd.Series) -> str:
    return "lower" if d["low"] > 0 else "higher" if d["high"] < 0 else "not told apart"


def _points(d: pd.Series) -> str:
    return f"{100 * d['difference']:.0f} [{100 * d['low']:.0f}, {100 * d['high']:.0f}]"


def _signed(share: float) -> str:
    return f"{100 * share:+.0f}"
