"""The figure of the chapter on degradation."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.figures import REFERENCE, panels_of


def degradation(points: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Degradation over R_ft / R_align: a colour for each k, area the alignment pairs; right, the paper's.

    Both have columns pairs, k, ratio and degradation; ``points`` seed, low and high (interval of the
    degradation) too. Lines join the means over seeds, size by size.
    """
    figure, panels = panels_of(2, sharey=True, sharex=True)
    for axes, frame, title in ((panels[0], points, "this run"), (panels[1], published, "paper (read off)")):
        for i, (k, group) in enumerate(frame.groupby("k")):
            means = group.groupby("pairs")[["ratio", "degradation"]].mean()
            axes.plot(means["ratio"], means["degradation"], color=f"C{i}", lw=1, alpha=0.6)
            area = 110 * group["pairs"] / frame["pairs"].max()
            style = {"color": f"C{i}", "alpha": 0.7}
            axes.scatter(group["ratio"], group["degradation"], area, label=f"k = {k}", **style)
            if "low" in group:
                axes.vlines(group["ratio"], group["low"], group["high"], lw=0.7, **style)
        axes.set(xlabel="$R_{ft} \\, / \\, R_{align}$", title=title)
        axes.axhline(0, color=REFERENCE, lw=0.8)
        axes.legend(loc="best")
    panels[0].set_ylabel("safety degradation (rise of the ASR)")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    return figure
