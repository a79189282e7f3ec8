"""The figure of the chapter on judges."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.plots.frame import panels_of
from lox.tables.names import TASK_NAMES

PANELS = {"none": "without LoX", "lox": "with LoX"}


def rates(rows: pd.DataFrame) -> Figure:
    """ASR after each task by each judge, a dot a seed, the mean as a bar; left without LoX, right with it.

    ``rows`` is ``judge_comparison.rates`` of all judges, one below the other.
    """
    figure, panels = panels_of(len(PANELS), sharey=True)
    for axes, (defence, title) in zip(panels, PANELS.items()):
        _bars(axes, rows[rows["defence"] == defence])
        axes.set_title(title)
    panels[0].set(ylabel="ASR", ylim=(0, 1.02))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    handles, judges = panels[0].get_legend_handles_labels()
    figure.legend(handles, judges, loc="outside upper center", ncols=len(judges))
    return figure


def _bars(axes: Axes, rows: pd.DataFrame) -> None:
    tasks, judges = rows["task"].unique(), rows["judge"].unique()
    width = 0.8 / len(judges)
    for i, judge in enumerate(judges):
        ours = rows[rows["judge"] == judge]
        shift = (i - (len(judges) - 1) / 2) * width
        means = ours.groupby("task", sort=False)["asr"].mean()
        axes.bar([place + shift for place in range(len(tasks))], means, 0.9 * width, alpha=0.4, label=judge)
        places = [list(tasks).index(task) + shift for task in ours["task"]]
        axes.plot(places, ours["asr"], "o", color=f"C{i}", markersize=3)
    axes.set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=20, ha="right")
