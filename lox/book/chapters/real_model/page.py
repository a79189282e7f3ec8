"""Figures of the chapter on a real language model; its tables and sentences are in the modules beside."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.cells import rows_of
from lox.book.chapters.real_model.tables import PARTS, TASKS
from lox.book.chapters.real_model.words import finding
from lox.book.figures import AFTER, BEFORE, LLAMA_WIDTH, REFERENCE, stacked
from lox.book.names import TASK_NAMES, tasks_in

__all__ = ["attack_success", "energy_ratio", "finding", "grid", "parts", "rank_curves"]

OFFSET = {"textcoords": "offset points"}
SIDES = {"none": ("without LoX", AFTER), "lox": ("with LoX", BEFORE)}


def attack_success(success: pd.DataFrame, unaligned: pd.DataFrame) -> Figure:
    """ASR after each task, without and with LoX: mean and interval, a small dot for each seed; dotted, the base model.

    ``success`` is ``measure.attack_success``'s of a judge, ``unaligned`` ``unaligned.success``'s of all.
    """
    base = rows_of(unaligned, judge=success["judge"].iloc[0])["asr"].item()
    tasks = [task for task in TASKS if task in set(success["task"])]
    figure, (axes,) = _panels(0.62 * len(tasks) + 1.0)
    for shift, (defence, (label, colour)) in zip((-0.17, 0.17), SIDES.items()):
        ours = rows_of(success, defence=defence).set_index("task").loc[tasks]
        places = [place + shift for place in range(len(tasks))]
        axes.hlines(places, ours["low"], ours["high"], color=colour, linewidth=5, alpha=0.3)
        axes.plot(ours["asr"], places, "o", color=colour, markersize=7, label=label)
        for place, each in zip(places, ours["each"]):
            axes.plot(each, [place] * len(each), ".", color=colour, markersize=4, alpha=0.8)
    axes.set_yticks(range(len(tasks)), [TASKS[task] for task in tasks])
    axes.axvline(base, color=REFERENCE, linestyle=":", linewidth=1.5, label="unaligned")
    right = min(1.02, 1.1 * max(base, success["high"].max()))
    axes.set(ylim=(len(tasks) - 0.5, -0.5), xlim=(-0.02 * right, right), xlabel="ASR")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def rank_curves(curves: pd.DataFrame, published: pd.DataFrame, aligned: float) -> Figure:
    """ASR(θ_r) over r: recorded, a line a seed, and the paper's models dotted; dashed, all of the update."""
    figure, (axes,) = _panels(3.6)
    sns.lineplot(curves, x="rank", y="asr", units="seed", estimator=None, marker="o", color=BEFORE, ax=axes)
    for _, curve in published.groupby(["model", "pairs"]):
        axes.plot(curve["rank"], curve["asr"], "s:", color=REFERENCE, markersize=3, linewidth=1)
    axes.axhline(aligned, color=BEFORE, linestyle="--", linewidth=1)
    second = curves[curves["rank"] == sorted(curves["rank"].unique())[1]]
    axes.annotate("this model", (second["rank"].iloc[0], second["asr"].max()), (6, 6), color=BEFORE, **OFFSET)
    axes.annotate(
        "paper, 7B models", (published["rank"].max(), 0), (0, 6), ha="right", color=REFERENCE, **OFFSET
    )
    axes.set(xlabel="rank r", ylabel=r"ASR($\theta_r$)", ylim=(-0.02, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def energy_ratio(profiles: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """R_ft / R_align after GSM8K over k / min(m, n), with the paper's Figure 2; band: range of seeds."""
    figure, (axes,) = _panels(3.6)
    ratios = profiles.assign(ratio=profiles["r_ft"] / profiles["r_align"])
    sns.lineplot(ratios, x="share", y="ratio", errorbar=("pi", 100), color=AFTER, ax=axes)
    sizes = sorted(published["pairs"].unique())
    for pairs, group in published.groupby("pairs"):
        at = group["k"] / LLAMA_WIDTH
        axes.plot(at, group["ratio"], "s:", color=REFERENCE, markersize=3, linewidth=1)
        if pairs in (sizes[0], sizes[-1]):
            place = (at.iloc[0], group["ratio"].iloc[0])
            axes.annotate(
                f"paper, {pairs / 1000:.1f}k pairs", place, (0, -14), fontsize=8, color=REFERENCE, **OFFSET
            )
    smallest = ratios.loc[ratios["share"] == ratios["share"].min()]
    axes.annotate(
        "this model", (smallest["share"].iloc[0], smallest["ratio"].mean()), (0, 8), color=AFTER, **OFFSET
    )
    axes.set(xscale="log", xlabel="k / min(m, n)", ylabel=r"$R_{ft} \,/\, R_{align}$", ylim=(0, 1.05))
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    return figure


def parts(rows: pd.DataFrame) -> Figure:
    """ASR of the start without a defence plus one part of ΔW_ft: a bar is the mean over seeds, a dot one seed."""
    ours = rows_of(rows, defence="none")
    named = ours.assign(name=(ours["subspace"] + ": " + ours["part"]).map(PARTS)).dropna(subset="name")
    order = [name for name in PARTS.values() if name in set(named["name"])]
    figure, (axes,) = _panels(0.36 * len(order) + 0.9)
    options = {"x": "asr", "y": "name", "order": order, "ax": axes}
    sns.barplot(named, **options, errorbar=None, color=AFTER, alpha=0.35)
    sns.stripplot(named, **options, color=AFTER, jitter=False, size=4)
    nothing = rows_of(ours, subspace="all", part="nothing")["asr"].mean()
    axes.axvline(nothing, color=REFERENCE, linestyle=":", linewidth=1)
    axes.set(xlabel="ASR, by phrases", ylabel="", xlim=(0, None))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


def grid(rows: pd.DataFrame) -> Figure:
    """ASR over α after each task, a line for each k: mean over seeds, a dot a seed; tasks one below the other."""
    tasks = tasks_in(rows)
    named = rows.assign(choice=[c if c == "full" else f"k = {c}" for c in rows["choice"].astype(str)])
    figure, panels = _panels(*[2.5] * len(tasks))
    for axes, task in zip(panels, tasks):
        ours, common = rows_of(named, task=task), {"x": "alpha", "y": "asr", "hue": "choice", "ax": axes}
        sns.lineplot(ours, **common, errorbar=None, legend=task == tasks[0])
        sns.scatterplot(ours, **common, legend=False, s=18)
        axes.set(title=f"after {TASK_NAMES[task]}", ylabel="ASR, by phrases", xlabel="α", ylim=(0, 1))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0].legend(title="", frameon=False)
    return figure


def _panels(*heights: float) -> tuple[Figure, list[Axes]]:
    return stacked([*heights], figsize=(6.4, sum(heights)), sharex=True, sharey=True)
