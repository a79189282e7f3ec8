"""Defences as points: how often the model is harmful, against how much it no longer answers."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.figures import DEFENCE_COLORS, stacked
from lox.book.names import DEFENCE_NAMES

HEIGHT = 4.4  # inches
APART = 0.055  # of the axis: two names are no nearer
LINE = {"arrowstyle": "-", "lw": 0.7, "shrinkA": 1, "shrinkB": 4, "relpos": (0, 0.5)}  # from a name


def trade(means: pd.DataFrame, seeds: pd.DataFrame, unanswered: str, asr: str) -> Figure:
    """ASR against benign prompts not answered: a large point a defence with its intervals, a small dot one seed.

    ``means`` has the columns defence, asr and unanswered, the last two with _low and _high; ``unanswered`` and
    ``asr`` are what the axes are called. Names stand in a column beside the axes, joined to their points.
    """
    figure, (axes,) = stacked([HEIGHT])
    sns.scatterplot(
        seeds,
        x="unanswered",
        y="asr",
        hue="defence",
        palette=DEFENCE_COLORS,
        s=16,
        alpha=0.5,
        legend=False,
        ax=axes,
    )
    for _, m in means.iterrows():
        color = DEFENCE_COLORS[m["defence"]]
        axes.hlines(m["asr"], m["unanswered_low"], m["unanswered_high"], color=color, lw=1, alpha=0.5)
        axes.vlines(m["unanswered"], m["asr_low"], m["asr_high"], color=color, lw=1, alpha=0.5)
        axes.plot(m["unanswered"], m["asr"], "D", ms=7, color=color)
    far = max(0.2, means["unanswered_high"].max(), seeds["unanswered"].max())
    axes.set(xlabel=unanswered, ylabel=asr, xlim=(-0.03 * far, 1.03 * far), ylim=(-0.03, 1.03))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    _name(axes, means.sort_values("asr"))
    return figure


def _name(axes: Axes, means: pd.DataFrame) -> None:
    for place, (_, m) in zip(spread(means["asr"].tolist(), APART), means.iterrows()):
        color = DEFENCE_COLORS[m["defence"]]
        axes.annotate(
            DEFENCE_NAMES[m["defence"]],
            (m["unanswered"], m["asr"]),
            xytext=(1.06, place),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            color=color,
            arrowprops=LINE | {"color": color},
        )


def spread(places: list[float], apart: float) -> list[float]:
    """Rising places between 0 and 1, moved as little as a simple rule can so that neighbours are ``apart``.

    Who is too near is moved up, and who is moved above 1 moves all below down again.
    """
    places = list(places)
    for below, place in pairwise(range(len(places))):
        places[place] = max(places[place], places[below] + apart)
    if places:
        places[-1] = min(places[-1], 1.0)
    for place, above in reversed(list(pairwise(range(len(places))))):
        places[place] = min(places[place], places[above] - apart)
    return places
