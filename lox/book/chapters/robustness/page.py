"""The figure of the five attacks: this run, recorded runs and the paper's side by side."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from lox.book.cells import (
    in_points,
    markdown,
    mean_shares,
    p_values,
    paper_rate,
    per_cent,
    pooled,
    rows_of,
)
from lox.book.figures import AFTER, BEFORE, REFERENCE, panels_of
from lox.book.names import DEFENCE_NAMES, TASK_NAMES, attacks_in


def worlds(found: Mapping[str, pd.DataFrame]) -> Figure:
    """ASR after each task without and with LoX, a panel for each world: one dot a row, the mean as a bar.

    Tables have columns task, defence, asr; rows of the task "none" give the dotted line.
    """
    tasks = attacks_in(next(iter(found.values())))
    figure, axes = panels_of(len(found), sharey=True)
    for axis, (name, rows) in zip(axes, found.items()):
        for offset, defence, colour in ((-0.18, "none", AFTER), (0.18, "lox", BEFORE)):
            for place, task in enumerate(tasks):
                asr = rows_of(rows, task=task, defence=defence)["asr"]
                axis.bar(place + offset, asr.mean(), 0.34, color=colour, alpha=0.35)
                axis.plot([place + offset] * len(asr), asr, "o", color=colour, markersize=4)
        aligned = rows_of(rows, task="none", defence="none")["asr"]
        if len(aligned):
            axis.axhline(aligned.mean(), color=REFERENCE, linestyle=":", linewidth=1)
        axis.set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=30, ha="right")
        axis.set_title(name)
    axes[0].set_ylabel("ASR")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylim(0, 1.02)
    handles = [Patch(color=colour, alpha=0.5) for colour in (AFTER, BEFORE)]
    axes[-1].legend(handles, ["without LoX", "with LoX"], frameon=False)
    return figure


COSTS_AND_ASR = {
    "Utility": "utility",
    "Helpful": "helpful",
    "Over-refusal": "over_refusal",
    "ASR": "asr",
    "Gibberish": "gibberish",
}


def beside_paper(rows: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """ASR and R_ft after each task, without and with LoX, ours beside the paper's Table 1."""
    lines = []
    for task in attacks_in(rows):
        line = {"Task": TASK_NAMES[task]}
        for defence, name in (("none", "without"), ("lox", "with")):
            ours = rows_of(rows, task=task, defence=defence)
            theirs = rows_of(published, task=task, defence=defence).iloc[0]
            line[f"ASR {name}"] = per_cent(pooled(ours))
            line[f"paper, {name}"] = per_cent(paper_rate(theirs["asr"]))
            line[f"R_ft {name}"] = f"{ours['r_ft'].mean():.2f}"
            line[f"paper's R_ft, {name}"] = f"{theirs['r_ft']:.2f}"
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def paired(differences: pd.DataFrame) -> Markdown:
    """Paired differences of ``measurement.compare`` in points, with interval and each seed's p."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[d["task"]],
                f"ASR, {DEFENCE_NAMES[d['first']]} less {DEFENCE_NAMES[d['second']]} (points)": in_points(d),
                "McNemar p of each seed": p_values(d),
            }
            for _, d in differences.iterrows()
        )
    )


def costs(rows: pd.DataFrame) -> Markdown:
    """Utility, over-refusal and gibberish for each task and defence, means over seeds."""
    return markdown(
        pd.DataFrame(
            {"Task": TASK_NAMES[task], "Defence": DEFENCE_NAMES[defence]}
            | mean_shares(rows_of(rows, task=task, defence=defence), COSTS_AND_ASR)
            for task in ["none", *attacks_in(rows)]
            for defence in rows["defence"].unique()
        )
    )
