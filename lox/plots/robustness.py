"""The figure of the five attacks."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from lox.plots.frame import AFTER, BEFORE, panels_of
from lox.tables.names import TASK_NAMES


def robustness(rows: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR after each task without and with LoX, one dot a seed, the mean as a bar, beside the paper's.

    ``rows`` is a result table of the defences none and lox, ``published`` the paper's Table 1.
    """
    tasks = [task for task in TASK_NAMES if task != "none" and task in set(rows["task"])]
    figure, axes = panels_of(2, sharey=True, width_ratios=(3, 2))
    for offset, defence, colour in ((-0.18, "none", AFTER), (0.18, "lox", BEFORE)):
        ours = rows[rows["defence"] == defence]
        theirs = published[published["defence"] == defence].set_index("task")["asr"]
        for place, task in enumerate(tasks):
            seeds = ours.loc[ours["task"] == task, "asr"]
            axes[0].bar(place + offset, seeds.mean(), 0.34, color=colour, alpha=0.35)
            axes[0].plot([place + offset] * len(seeds), seeds, "o", color=colour, markersize=4)
            axes[1].bar(place + offset, theirs[task], 0.34, color=colour, alpha=0.35)
    aligned = rows.loc[(rows["task"] == "none") & (rows["defence"] == "none"), "asr"].mean()
    axes[0].axhline(aligned, color="0.4", linestyle=":", linewidth=1)
    for axis, title in zip(axes, (f"this run ({rows['profile'].iloc[0]})", "paper, LLaMA-2-7B")):
        axis.set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=20, ha="right")
        axis.set_title(title)
    axes[0].set_ylabel("ASR")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylim(0, 1.02)
    handles = [Patch(color=colour, alpha=0.5) for colour in (AFTER, BEFORE)]
    axes[1].legend(handles, ["without LoX", "with LoX"], frameon=False)
    return figure
