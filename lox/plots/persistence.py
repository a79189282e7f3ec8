"""The figure of the chapter on persistence."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.plots.frame import AFTER, BEFORE, grid_of
from lox.tables.names import DEFENCE_NAMES, TASK_NAMES


def persistence(rows: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR and utility after each epoch without and with LoX, beside the paper's ASR; a line of panels a task.

    ``rows`` has columns seed, task, lr, defence, epoch, asr and utility: a line is the mean over seeds,
    its band their range. The smaller learning rate is drawn solid, the larger dashed.
    """
    tasks = [task for task in TASK_NAMES if task in set(rows["task"])]
    figure, panels = grid_of(len(tasks), 3, sharey=True)
    for line, task in zip(panels, tasks):
        for axes, data, column, title in (
            (line[0], rows, "asr", "ASR, this run"),
            (line[1], rows, "utility", "utility, this run"),
            (line[2], published, "asr", "ASR, paper (read off)"),
        ):
            _epochs(axes, data[data["task"] == task], column)
            axes.set_title(f"{TASK_NAMES[task]}: {title}")
        for axes in line[1:]:  # the first panel has the second's lines
            axes.legend(loc="best", fontsize=7.5)
        line[0].set_ylim(-0.03, 1.03)
        line[0].yaxis.set_major_formatter(PercentFormatter(1))
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    return figure


def _epochs(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    for style, lr in zip(("-", "--"), sorted(rows["lr"].unique())):
        for defence, color in (("none", AFTER), ("lox", BEFORE)):
            chosen = rows[(rows["lr"] == lr) & (rows["defence"] == defence)]
            values = chosen.groupby("epoch")[column].agg(["mean", "min", "max"])
            label = f"{DEFENCE_NAMES[defence]}, lr {lr:g}"
            axes.plot(values.index, values["mean"], style, color=color, label=label)
            axes.fill_between(values.index, values["min"], values["max"], color=color, alpha=0.12, lw=0)
