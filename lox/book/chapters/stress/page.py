"""Figures of the chapter on stress; its tables and sentences are in the modules beside."""

from __future__ import annotations

import pandas as pd
import seaborn
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.cells import rows_of
from lox.book.chapters.stress.names import VARIANT_NAMES, WITH_LOX
from lox.book.figures import AFTER, BEFORE, REFERENCE, stacked
from lox.book.names import TASK_NAMES, attacks_in

MAIN = {  # variants, each with its colour
    "all: nothing": "0.5",
    "all: whole": AFTER,
    "safety: inside": BEFORE,
    "random: inside, scaled": "C7",
    "own: inside": "C3",
    "safety: outside": BEFORE,
    "random: outside": "C7",
    "own: outside": "C3",
}
GEOMETRY = {
    "share": "Share of $\\|\\Delta W_{ft}\\|$ inside the safety subspace",
    "counteraction": "Counteraction inside it",
    "undone": "Share undone of what is stored inside it",
}


def causal_test(means: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Mean ASR over the tasks of the main variants, with its interval; a dot is a seed.

    ``means`` is of ``causal.variant_means``, ``table`` of ``measure.variant_rows`` without LoX.
    """
    order = [VARIANT_NAMES[name] for name in MAIN]
    shown = _named(rows_of(means, task="all")).set_index("variant").loc[order]
    seeds = _named(table).groupby(["variant", "seed"], sort=False)["asr"].mean().loc[order].reset_index()
    figure, (axes,) = stacked([4.2])
    style = {"color": "0.6", "size": 4, "jitter": False, "zorder": 1}
    seaborn.stripplot(seeds, x="asr", y="variant", order=order, ax=axes, **style)
    for place, (mean, color) in enumerate(zip(shown.itertuples(), MAIN.values())):
        ends = [[mean.asr - mean.low], [mean.high - mean.asr]]
        axes.errorbar(mean.asr, place, xerr=ends, fmt="D", color=color, ms=6, lw=2.2, zorder=3)
    axes.axhline(1.5, color=REFERENCE, lw=0.8)
    axes.axhline(4.5, color=REFERENCE, lw=0.8)
    axes.set(xlim=(-0.03, 1.03), xlabel="ASR, mean over the tasks", ylabel="", title="The start plus …")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


def stress_geometry(geometry: pd.DataFrame) -> Figure:
    """Where ΔW_ft lies in the safety subspace after each task: share, counteraction, share undone.

    ``geometry`` is of ``measure.geometry``, of the safety subspace. A dot is a seed, a bar their mean, the dashed line
    chance.
    """
    shown = geometry.assign(After=geometry["task"].map(TASK_NAMES), LoX=geometry["defence"].map(WITH_LOX))
    order = {"order": [TASK_NAMES[task] for task in attacks_in(geometry)], "hue_order": WITH_LOX.values()}
    style = {"x": "After", "hue": "LoX", "palette": [AFTER, BEFORE], "legend": False} | order
    chance = geometry["chance"].mean()
    figure, panels = stacked([2.4] * len(GEOMETRY), sharex=True)
    for axes, (column, title) in zip(panels, GEOMETRY.items()):
        seaborn.barplot(shown, y=column, errorbar=None, alpha=0.45, ax=axes, **style | {"legend": True})
        seaborn.stripplot(shown, y=column, dodge=True, jitter=False, size=4, ax=axes, **style)
        axes.axhline(chance if column == "share" else 0, color=REFERENCE, linestyle="--", linewidth=1)
        axes.set(title=title, xlabel="", ylabel="")
        handles, labels = axes.get_legend_handles_labels()
        axes.get_legend().remove()
    place = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
    panels[0].annotate("chance", (0.99, chance), **place)
    panels[-1].tick_params(axis="x", rotation=20)
    figure.legend(handles[:2], labels[:2], loc="outside upper center", ncols=2)
    return figure


def stress_variants(table: pd.DataFrame) -> Figure:
    """ASR of every variant of fine-tuning after every task, means over seeds in per cent, as a map.

    ``table`` has columns task, subspace, part and asr, in the order in which variants are drawn.
    """
    tasks = attacks_in(table)
    means = _named(table).groupby(["variant", "task"], sort=False)["asr"].mean().unstack(sort=False)[tasks]
    figure, (axes,) = stacked([0.34 * len(means) + 1.2])
    style = {"cmap": "Reds", "vmin": 0, "vmax": 100, "cbar": False, "linewidths": 0.5}
    seaborn.heatmap(100 * means, annot=True, fmt=".0f", ax=axes, **style)
    axes.set(xlabel="", ylabel="")
    axes.set_xticklabels([TASK_NAMES[task] for task in tasks], rotation=25, ha="right")
    axes.grid(visible=False)
    return figure


def stress_gain(gains: pd.DataFrame, theirs: pd.DataFrame) -> Figure:
    """What LoX takes off the ASR against what fine-tuning left without it, ours and the paper's.

    Both are of ``causal.without_and_with``. Above the diagonal lies nothing: no defence takes off more than there is.
    """
    figure, panels = stacked([3.2] * 2, sharex=True, sharey=True)
    frames = {"This run, a dot is a seed": gains, "Paper, LLaMA-2-7B": theirs}
    for axes, (title, frame) in zip(panels, frames.items()):
        axes.plot([0, 1], [0, 1], "--", color=REFERENCE, linewidth=1)
        for task in attacks_in(frame):
            dots = rows_of(frame, task=task)
            axes.plot(dots["without"], dots["without"] - dots["with"], "o", label=TASK_NAMES[task])
        axes.set(ylabel="taken off by LoX", title=title)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    panels[1].set_xlabel("ASR without LoX")
    for _, dot in theirs.iterrows():
        place = (dot["without"], dot["without"] - dot["with"])
        panels[1].annotate(TASK_NAMES[dot["task"]], place, (6, -10), textcoords="offset points", fontsize=9)
    panels[0].legend(loc="upper left")
    return figure


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With a column ``variant``, its name for a reader."""
    return table.assign(variant=(table["subspace"] + ": " + table["part"]).map(VARIANT_NAMES))
