"""What the figures of several chapters share: style, colours, panels, means over seeds."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lox.paths import project

plt.style.use(project("book", "lox.mplstyle"))


BEFORE, AFTER, REFERENCE = "C0", "C1", "0.45"
LLAMA_WIDTH = 4096  # min(m, n) of every linear layer of LLaMA-2-7B: the paper's k as a share of it


def panels_of(count: int, **options) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels side by side."""
    figure, axes = plt.subplots(1, count, figsize=(7.0 if count == 1 else 9.0, 3.8), squeeze=False, **options)
    plt.close(figure)  # else a notebook shows it twice: as an open figure and as the cell's value
    return figure, list(axes[0])


def grid_of(rows: int, columns: int, **options) -> tuple[Figure, list[list[Axes]]]:
    figure, axes = plt.subplots(rows, columns, figsize=(9.0, 2.9 * rows), squeeze=False, **options)
    plt.close(figure)
    return figure, [list(line) for line in axes]


def over_seeds(axes: Axes, profiles: pd.DataFrame, column: str, **style) -> None:
    """A column over share: the mean over seeds as a line, their range as a band."""
    values = profiles.groupby("share")[column].agg(["mean", "min", "max"])
    axes.plot(values.index, values["mean"], **style)
    axes.fill_between(values.index, values["min"], values["max"], color=style["color"], alpha=0.2, lw=0)


NARROW = 5.6  # inches: a figure of this width is readable on a phone
DEFENCE_COLORS = {
    "none": AFTER,
    "lox": BEFORE,
    "full-rank": "C2",
    "random": "C7",
    "bottom": "C6",
    "longer": "#222222",
    "safeinst": "C3",
    "slower": "#7f6000",
    "removal": "C4",
    "guarded": "C5",
    "proximal": "#8c8c00",
    "safe-lora": "#a03050",
    "resta": "#7a4fb5",
    "safemerge": "#b5651d",
    "wise-ft": "#4f7a28",
    "lox+safeinst": "#0b3d91",
    "lox+resta": "#5b8def",
}


def stacked(heights: list[float], **options) -> tuple[Figure, list[Axes]]:
    """A narrow figure with panels under one another, of these heights in inches."""
    options = {"height_ratios": heights, "figsize": (NARROW, sum(heights)), "squeeze": False} | options
    figure, axes = plt.subplots(len(heights), 1, **options)
    plt.close(figure)
    return figure, list(axes[:, 0])
