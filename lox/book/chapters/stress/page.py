"""Figures of the chapter on stress; its tables and sentences are in the modules beside."""

from __future__ import annotations

import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.chapters.stress.names import WITH_LOX, variant_name
from lox.book.chapters.stress.tables import without_and_with
from lox.book.figures import AFTER, BEFORE, REFERENCE, stacked
from lox.book.names import TASK_NAMES, attacks_in

MAIN = (
    "all: nothing",
    "all: whole",
    "safety: inside",
    "random: inside, scaled",
    "own: inside",
    "safety: outside",
    "random: outside",
    "own: outside",
)
GEOMETRY = {
    "share": "Share of $\\|\\Delta W_{ft}\\|$ inside the safety subspace",
    "counteraction": "Counteraction inside it",
    "undone": "Share undone of what is stored inside it",
}


def causal_test(means: pd.DataFrame, table: pd.DataFrame) -> Figure:
    """Mean ASR over the tasks of the main variants, with its interval; a dot is a seed.

    ``means`` is of ``causal.variant_means``, ``table`` of ``measure.variant_rows`` without LoX.
    """
    names = _named(means[means["task"] == "all"])
    shown = names.set_index("variant").loc[[variant_name(name) for name in MAIN]].reset_index()
    seeds = _named(table).groupby(["variant", "seed"], sort=False)["asr"].mean().reset_index()
    figure, (axes,) = stacked([4.2])
    colors = ["0.5", AFTER, BEFORE, "C7", "C3", BEFORE, "C7", "C3"]
    order = list(shown["variant"])
    seeds = seeds[seeds["variant"].isin(order)]
    seaborn.stripplot(
        seeds, x="asr", y="variant", order=order, color="0.6", size=4, jitter=False, ax=axes, zorder=1
    )
    for place, (mean, color) in enumerate(zip(shown.itertuples(), colors)):
        ends = [[mean.asr - mean.low], [mean.high - mean.asr]]
        axes.errorbar(mean.asr, place, xerr=ends, fmt="D", color=color, ms=6, lw=2.2, zorder=3)
    axes.axhline(1.5, color=REFERENCE, lw=0.8)
    axes.axhline(4.5, color=REFERENCE, lw=0.8)
    axes.set(xlim=(-0.03, 1.03), xlabel="ASR, mean over the tasks", ylabel="", title="The start plus …")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


def stress_geometry(geometry: pd.DataFrame) -> Figure:
    """Where ΔW_ft lies in the safety subspace after each task: share, counteraction, share undone.

    ``geometry`` has columns seed, task, defence, share, chance, counteraction, undone, one row for each
    model (means over matrices). A dot is a seed, a bar their mean, the dashed line chance.
    """
    shown = geometry.assign(After=geometry["task"].map(TASK_NAMES), LoX=geometry["defence"].map(WITH_LOX))
    order = [TASK_NAMES[task] for task in attacks_in(geometry)]
    figure, panels = stacked([2.4] * len(GEOMETRY), sharex=True)
    style = {
        "x": "After",
        "hue": "LoX",
        "order": order,
        "hue_order": list(WITH_LOX.values()),
        "legend": False,
    }
    palette = {"without LoX": AFTER, "with LoX": BEFORE}
    for axes, (column, title) in zip(panels, GEOMETRY.items()):
        seaborn.barplot(
            shown, y=column, palette=palette, errorbar=None, alpha=0.45, ax=axes, **style | {"legend": True}
        )
        seaborn.stripplot(
            shown, y=column, palette=palette, dodge=True, jitter=False, size=4, ax=axes, **style
        )
        chance = geometry["chance"].mean() if column == "share" else 0
        axes.axhline(chance, color=REFERENCE, linestyle="--", linewidth=1)
        axes.set(title=title, xlabel="", ylabel="")
        handles, labels = axes.get_legend_handles_labels()
        axes.get_legend().remove()
    panels[0].annotate(
        "chance",
        (0.99, geometry["chance"].mean()),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="bottom",
    )
    panels[-1].tick_params(axis="x", rotation=20)
    figure.legend(handles[:2], labels[:2], loc="outside upper center", ncols=2)
    return figure


def stress_variants(table: pd.DataFrame, column: str = "asr") -> Figure:
    """A rate of every variant of fine-tuning after every task, means over seeds in per cent, as a map.

    ``table`` has columns task, subspace, part and the rate, in the order in which variants are drawn.
    """
    tasks = attacks_in(table)
    means = _named(table).groupby(["variant", "task"], sort=False)[column].mean().unstack(sort=False)[tasks]
    figure, (axes,) = stacked([0.34 * len(means) + 1.2])
    seaborn.heatmap(
        100 * means,
        annot=True,
        fmt=".0f",
        cmap={"asr": "Reds"}.get(column, "Greens"),
        vmin=0,
        vmax=100,
        cbar=False,
        linewidths=0.5,
        ax=axes,
    )
    axes.set(xlabel="", ylabel="")
    axes.set_xticklabels([TASK_NAMES[task] for task in tasks], rotation=25, ha="right")
    axes.grid(visible=False)
    return figure


def stress_gain(gains: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """What LoX takes off the ASR against what fine-tuning left without it, ours and the paper's.

    ``gains`` has columns seed, task, without and with (ASR), ``published`` is the paper's Table 1. Above
    the diagonal lies nothing: no defence takes off more than there is.
    """
    figure, panels = stacked([3.2] * 2, sharex=True, sharey=True)
    frames = {"This run, a dot is a seed": gains, "Paper, LLaMA-2-7B": without_and_with(published)}
    for axes, (title, frame) in zip(panels, frames.items()):
        axes.plot([0, 1], [0, 1], "--", color=REFERENCE, linewidth=1)
        for color, task in enumerate(attacks_in(frame)):
            ours = frame[frame["task"] == task]
            taken = ours["without"] - ours["with"]
            axes.plot(ours["without"], taken, "o", color=f"C{color}", label=TASK_NAMES[task])
        axes.set(ylabel="taken off by LoX", title=title)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    panels[1].set_xlabel("ASR without LoX")
    _label_dots(panels[1], frames["Paper, LLaMA-2-7B"])
    panels[0].legend(loc="upper left")
    return figure


def _label_dots(axes: Axes, frame: pd.DataFrame) -> None:
    for _, dot in frame.iterrows():
        place = (dot["without"], dot["without"] - dot["with"])
        axes.annotate(TASK_NAMES[dot["task"]], place, xytext=(6, -10), textcoords="offset points", fontsize=9)


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With a column ``variant``, its name for a reader."""
    return table.assign(variant=[variant_name(f"{s}: {p}") for s, p in zip(table["subspace"], table["part"])])
