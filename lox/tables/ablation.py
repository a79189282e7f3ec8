"""Which k and which α: where models break, and fine-tuning after each choice."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.tables.cells import (
    COSTS,
    in_points,
    markdown,
    mean_shares,
    paper_rate,
    per_cent,
    pooled,
    rows_of,
    said_of,
)
from lox.tables.names import TASK_NAMES


def breaking(points: pd.DataFrame, gains: pd.DataFrame, alpha: float) -> Markdown:
    """Where each choice of k breaks, and what it still answers where full rank is broken.

    ``points`` is of ``ablation.breaking_points``; ``gains`` has a paired difference, choice less full rank,
    of the harmless questions answered at ``alpha``, a row for each choice.
    """
    gained = gains.set_index("choice")
    lines = []
    for choice, group in points.groupby("choice", sort=False):
        line = {
            "k": choice,
            "as a number, each seed": ", ".join(map(str, group["k"])),
            "broken first at α, each seed": ", ".join(
                "never" if pd.isna(a) else f"{a:g}" for a in group["breaks_at"]
            ),
            f"answered at α = {alpha:g}, less full rank (points)": (
                in_points(gained.loc[choice]) if choice in gained.index else ""
            ),
        }
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def breaking_in_words(points: pd.DataFrame) -> Markdown:
    """In how many seeds each choice of k breaks later than full rank, sooner, or at the same α."""
    at = points.pivot(index="seed", columns="choice", values="breaks_at").fillna(float("inf"))
    lines = []
    for choice in points["choice"].unique():
        if choice != "full":
            later, sooner = int((at[choice] > at["full"]).sum()), int((at[choice] < at["full"]).sum())
            same = len(at) - later - sooner
            lines.append(
                f"- **k: {choice}** breaks at a larger α than full rank in {later} of {len(at)} seeds, at a "
                f"smaller one in {sooner}, at the same in {same}."
            )
    return Markdown("\n".join(lines))


def ablation_beside_paper(after: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """ASR after each task for each choice of k and each α, ours beside the paper's, with what it costs."""
    lines = []
    for (task, choice, alpha), ours in after.groupby(["task", "choice", "alpha"], sort=False):
        if alpha == 0 and choice != after["choice"].iloc[0]:
            continue  # the same models for every k
        k = choice.split()[0]
        theirs = rows_of(published, task=task, k=k, alpha=alpha)["asr"].dropna()
        lines.append(
            {
                "Task": TASK_NAMES[task],
                "k": choice if alpha else "any",
                "α": f"{alpha:g}",
                "ASR": per_cent(pooled(ours)),
                "paper": "not published" if theirs.empty else per_cent(paper_rate(theirs.iloc[0])),
            }
            | mean_shares(ours, COSTS)
        )
    return markdown(pd.DataFrame(lines))


def low_against_full(differences: pd.DataFrame) -> Markdown:
    """ASR after fine-tuning, full rank less a low rank at the same α, and what its interval allows to say."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[d["task"]],
                "k": d["choice"],
                "α": f"{d['alpha']:g}",
                "ASR, full rank less this (points)": in_points(d),
                "so the lower ASR has": said_of(d, f"k: {d['choice']}", "full rank"),
            }
            for _, d in differences.iterrows()
        )
    )
