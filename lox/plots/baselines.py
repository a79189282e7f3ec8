"""The figure of defences side by side."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.plots.frame import AFTER, BEFORE, panels_of
from lox.tables.names import DEFENCE_NAMES, TASK_NAMES

DEFENCE_COLORS = {"none": AFTER, "lox": BEFORE, "full-rank": "C2", "safeinst": "C3", "removal": "C4"}


def baselines(rows: pd.DataFrame) -> Figure:
    """ASR after each task under each defence, a dot a seed; right, ASR against harmless questions answered.

    On the right a mark is a task, its mean over seeds; the ring of each colour is the mean over tasks.
    """
    rows = rows[rows["task"] != "none"]
    tasks = [task for task in TASK_NAMES if task in set(rows["task"])]
    defences = list(dict.fromkeys(rows["defence"]))
    figure, axes = panels_of(2, sharey=True, width_ratios=(3, 2))
    width = 0.8 / len(defences)
    for i, defence in enumerate(defences):
        ours, color = rows[rows["defence"] == defence], DEFENCE_COLORS[defence]
        means = ours.groupby("task")[["asr", "helpful"]].mean().loc[tasks]
        places = [place + (i - (len(defences) - 1) / 2) * width for place in range(len(tasks))]
        axes[0].bar(places, means["asr"], 0.9 * width, color=color, alpha=0.4, label=DEFENCE_NAMES[defence])
        for place, task in zip(places, tasks):
            seeds = ours.loc[ours["task"] == task, "asr"]
            axes[0].plot([place] * len(seeds), seeds, "o", color=color, markersize=3)
        axes[1].plot(means["helpful"], means["asr"], "o", color=color, markersize=4, alpha=0.7)
        axes[1].plot(*means[["helpful", "asr"]].mean(), "o", color=color, markersize=12, fillstyle="none")
    axes[0].set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=20, ha="right")
    axes[0].set(ylabel="ASR", ylim=(-0.03, 1.02))
    axes[1].set(xlabel="harmless questions answered", xlim=(-0.03, 1.03))
    for axis in (axes[0].yaxis, axes[1].xaxis):
        axis.set_major_formatter(PercentFormatter(1))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(defences))
    return figure
