"""The two curves that ``lox choose`` decides by, as a figure."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.figures import AFTER, BEFORE, REFERENCE, stacked
from lox.lab.choosing import Measured


def curves(table: pd.DataFrame, measured: Measured) -> Figure:
    """ASR of θ_r over r with the bound of equation 4, and answers lost over α with the budget; what was chosen is
    marked. Bars are 95 % intervals over the prompts of these models. A k that was given has no first curve."""
    ranks, alphas = table[table["alpha"].isna()], table[table["alpha"] > 0]
    panels = [panel for panel, rows in ((_ranks, ranks[1:]), (_alphas, alphas)) if len(rows)]
    figure, axes = stacked([2.6] * max(1, len(panels)), layout="constrained")
    for panel, place in zip(panels or [_ranks], axes):
        panel(place, table, measured)
        place.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def save_figure(table: pd.DataFrame, measured: Measured, path: Path) -> None:
    """``curves`` as a PNG file."""
    curves(table, measured).savefig(path, format="png", dpi=150)


def _ranks(axes: Axes, table: pd.DataFrame, measured: Measured) -> None:
    rows, aligned = table[table["alpha"].isna()], table.loc[table["alpha"] == 0, "asr"].item()
    _with_bars(axes, rows["k"].astype(float), rows, "asr", AFTER)
    axes.axhline(aligned + measured.rho, color=REFERENCE, linestyle="--", linewidth=1)
    axes.annotate("aligned + ρ", (rows["k"].max(), aligned + measured.rho), va="bottom", ha="right")
    axes.set(xlabel="rank r of the alignment update", ylabel="ASR")
    _mark(axes, measured.choice.k, "k")


def _alphas(axes: Axes, table: pd.DataFrame, measured: Measured) -> None:
    rows = table[table["alpha"] > 0]
    _with_bars(axes, rows["alpha"], rows, "loss", BEFORE)
    axes.axhline(measured.budget, color=REFERENCE, linestyle="--", linewidth=1)
    axes.annotate("budget", (rows["alpha"].max(), measured.budget), va="bottom", ha="right")
    axes.set(xlabel="α", ylabel="harmless answers lost")
    _mark(axes, measured.choice.alpha, "α")


def _with_bars(axes: Axes, x: pd.Series, rows: pd.DataFrame, name: str, colour: str) -> None:
    axes.vlines(x, rows[f"{name}_low"], rows[f"{name}_high"], color=colour, linewidth=5, alpha=0.3)
    axes.plot(x, rows[name], "o-", color=colour, linewidth=1)


def _mark(axes: Axes, chosen: float | int | None, name: str) -> None:
    if chosen is not None:
        axes.axvline(chosen, color=REFERENCE, linewidth=1)
        axes.set_title(f"{name} = {chosen:g} chosen", fontsize="medium")
