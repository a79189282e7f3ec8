"""Figures of the k × α ablation."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.plots.frame import grid_of
from lox.tables.names import TASK_NAMES

# each choice of k, and the paper's k of the same reading
K_COLORS = {"6 of 4096": "C0", "100 of 4096": "C1", "100": "C1", "500 of 4096": "C2"}


K_COLORS |= {"500": "C2", "6": "C3", "full": "C4", "effective rank": "C5"}


def ablation_before(before: pd.DataFrame) -> Figure:
    """What extrapolation alone does to a model, over α, a line for each choice of k.

    ``before`` has columns choice, seed, alpha and the four shares drawn; a line is the mean over seeds,
    its band their range.
    """
    figure, panels = grid_of(2, 2, sharex=True, sharey=True)
    shown = {
        "helpful": "harmless questions answered",
        "utility": "problems solved (utility)",
        "over_refusal": "harmless questions refused",
        "gibberish": "gibberish to harmful requests",
    }
    for axes, (column, title) in zip(sum(panels, []), shown.items()):
        for choice, rows in before.groupby("choice", sort=False):
            values = rows.groupby("alpha")[column].agg(["mean", "min", "max"])
            axes.plot(values.index, values["mean"], ".-", color=K_COLORS[choice], label=f"k: {choice}")
            axes.fill_between(
                values.index, values["min"], values["max"], color=K_COLORS[choice], alpha=0.1, lw=0
            )
        axes.set_title(title)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    panels[0][0].set_ylim(-0.03, 1.03)
    for axes in panels[1]:
        axes.set_xlabel("α")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def ablation_after(after: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR over α after each task, a line for each choice of k, above ours, below the paper's.

    ``after`` has columns choice, seed, task, alpha and asr: a line is the mean over seeds, a dot a seed.
    """
    tasks = [task for task in TASK_NAMES if task in set(after["task"])]
    figure, panels = grid_of(2, len(tasks), sharex=True, sharey=True)
    for place, task in enumerate(tasks):
        for choice, rows in after[after["task"] == task].groupby("choice", sort=False):
            means = rows.groupby("alpha")["asr"].mean()
            panels[0][place].plot(means.index, means, "-", color=K_COLORS[choice], label=f"k: {choice}")
            panels[0][place].plot(rows["alpha"], rows["asr"], ".", color=K_COLORS[choice], alpha=0.6)
        for k, rows in published[published["task"] == task].groupby("k", sort=False):
            panels[1][place].plot(
                rows["alpha"], rows["asr"], "s:", color=K_COLORS[k], markersize=3, label=f"k: {k}"
            )
        panels[0][place].set_title(f"{TASK_NAMES[task]}, this run")
        panels[1][place].set(title=f"{TASK_NAMES[task]}, paper (read off)", xlabel="α")
    for line in panels:
        line[0].set(ylabel="ASR", ylim=(-0.03, 1.03))
        line[0].yaxis.set_major_formatter(PercentFormatter(1))
        line[0].legend(loc="upper right")
    return figure
