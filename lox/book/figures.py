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


def stacked(count: int, height: float = 3.0, **options) -> tuple[Figure, list[Axes]]:
    """``count`` panels of one width below each other: narrow enough to be read on a phone."""
    figure, axes = plt.subplots(count, 1, figsize=(5.8, height * count), squeeze=False, **options)
    plt.close(figure)
    return figure, list(axes[:, 0])
