"""The figure of the five attacks: this run, recorded runs and the paper's side by side."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from lox.plots.frame import AFTER, BEFORE, REFERENCE, panels_of
from lox.tables.cells import rows_of
from lox.tables.names import TASK_NAMES, attacks_in


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
