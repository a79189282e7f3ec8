"""Figures and tables of the chapter on stress."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import seaborn
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.cells import (
    in_points,
    markdown,
    over_seeds,
    per_cent,
    rows_of,
    said_with_others,
    share,
)
from lox.book.chapters.stress.names import TASKS, WITH_LOX, variant_name
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


# --- figures ------------------------------------------------------------------------------------------


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
    frames = {"This run, a dot is a seed": gains, "Paper, LLaMA-2-7B": _published(published)}
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


def _published(table1: pd.DataFrame) -> pd.DataFrame:
    theirs = table1.pivot(index="task", columns="defence", values="asr").reset_index()
    return theirs.rename(columns={"none": "without", "lox": "with"})


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With a column ``variant``, its name for a reader."""
    return table.assign(variant=[variant_name(f"{s}: {p}") for s, p in zip(table["subspace"], table["part"])])


# --- tables -------------------------------------------------------------------------------------------


def variants(table: pd.DataFrame, means: pd.DataFrame | None = None) -> Markdown:
    """Rates of each part of fine-tuning put in alone, averaged over tasks and seeds.

    ``means`` (``causal.variant_means``) has the interval of the ASR; without it, it is that of the seeds' range.
    """
    lines = []
    for (subspace, part), group in table.groupby(["subspace", "part"], sort=False):
        cell = over_seeds(100 * group.groupby("seed")["asr"].mean(), 0)
        if means is not None:
            mean = rows_of(means, task="all", subspace=subspace, part=part).iloc[0]
            cell = per_cent(mean["asr"], mean["low"], mean["high"])
        lines.append(
            {"The start plus": variant_name(f"{subspace}: {part}"), "ASR": cell}
            | {name: share(group[name].mean()) for name in ("gibberish", "helpful", "utility")}
        )
    return markdown(pd.DataFrame(lines))


def contrasts(differences: pd.DataFrame) -> Markdown:
    """Paired differences of ASR in points, with what may be said of each."""
    return markdown(
        pd.DataFrame(
            {
                "After": TASKS[d["task"]],
                "ASR of": variant_name(d["first"]),
                "minus that of": variant_name(d["second"]),
                "points": in_points(d),
                "so": said_with_others(d, "higher", "lower"),
            }
            for _, d in differences.iterrows()
        )
    )


def damage(shares: pd.DataFrame) -> Markdown:
    """``causal.damage``: the damage, what of it is gone without the inside, and the ratio."""
    columns = ("difference", "low", "high")
    return markdown(
        pd.DataFrame(
            {"After": TASKS[d["task"]]}
            | {
                title: in_points(pd.Series({column: d[f"{name}_{column}"] for column in columns}))
                for title, name in (("damage (points)", "damage"), ("gone without the inside", "gone"))
            }
            | {"share of the damage": "no damage" if math.isnan(d["share"]) else share(d["share"])}
            for _, d in shares.iterrows()
        )
    )


def controls(geometry: pd.DataFrame) -> Markdown:
    """Share, counteraction and overlap of each subspace without LoX, means over tasks and seeds."""
    names = {"safety": "safety subspace", "random": "random", "bottom": "bottom", "own": "own top directions"}
    groups = rows_of(geometry, defence="none").groupby("subspace", sort=False)
    return markdown(
        pd.DataFrame(
            {"Subspace": names[subspace]}
            | {
                column: f"{group[column].mean():.3f}"
                for column in ("share", "chance", "counteraction", "overlap")
            }
            for subspace, group in groups
        )
    )


def harmful_data(geometry: pd.DataFrame) -> Markdown:
    """The geometry of Pure Bad beside that of the other tasks, mean over seeds with their range."""
    safety = rows_of(geometry, subspace="safety", defence="none")
    data = safety["task"].eq("pure_bad").map({True: "Pure Bad", False: "the other tasks"})
    by_seed = safety.groupby([data.rename("Data"), "seed"])[["share", "counteraction", "undone"]].mean()
    return markdown(
        pd.DataFrame(
            {"Data": kind} | {column: over_seeds(group[column]) for column in group}
            for kind, group in by_seed.groupby("Data", sort=False)
        )
    )


def with_and_without(geometry: pd.DataFrame) -> Markdown:
    """The three numbers of the safety subspace without and with LoX, mean over seeds with their range."""
    safety = rows_of(geometry, subspace="safety")
    return markdown(
        pd.DataFrame(
            {"After": TASK_NAMES[task], "LoX": WITH_LOX[defence].removesuffix(" LoX")}
            | {m: over_seeds(group[m]) for m in ("share", "counteraction", "undone")}
            for (task, defence), group in safety.groupby(["task", "defence"], sort=False)
        )
    )


def gains_beside_paper(gains: pd.DataFrame, table1: pd.DataFrame) -> Markdown:
    """ASR without LoX, and the share of that ASR that LoX takes off, ours beside the paper's."""
    sides = {
        "": gains.groupby("task")[["without", "with"]].mean(),
        "paper: ": _published(table1).set_index("task"),
    }
    return markdown(
        pd.DataFrame(
            {"After": TASK_NAMES[task]}
            | {
                f"{side}{title}": cell
                for side, frame in sides.items()
                for title, cell in _gain(frame.loc[task]).items()
            }
            for task in attacks_in(gains)
        )
    )


def _gain(asr: pd.Series) -> dict[str, str]:
    taken = asr["without"] - asr["with"]
    part = share(taken / asr["without"]) if asr["without"] else "–"
    return {"ASR without": share(asr["without"]), "share of it taken off": part}


def correlations(found: pd.DataFrame) -> Markdown:
    """``causal.rank_correlations``: ρ of each seed, and in how many tasks it ranks."""
    lines = []
    for (place, effect), group in found.groupby(["geometry", "effect"], sort=False):
        rho = ["–" if np.isnan(r) else f"{r:.2f}" for r in group["rho"]]
        lines.append({"Ranks of": place, "and of": effect, "ρ, each seed": ", ".join(rho)})
    text = "A dash stands where too few tasks did damage, or all the same, so that there is nothing to rank."
    return markdown(pd.DataFrame(lines), text if found["rho"].isna().any() else "")
