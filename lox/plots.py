"""The book's figures: a DataFrame in, a Figure out."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from lox.tables import TASK_NAMES

plt.style.use(Path(__file__).parent.parent / "book" / "lox.mplstyle")

BEFORE, AFTER, REFERENCE = "C0", "C1", "0.45"
LLAMA_WIDTH = 4096  # min(m, n) of every linear layer of LLaMA-2-7B: the paper's k as a share of it


def _panels(count: int, **options) -> tuple[Figure, list[Axes]]:
    figure, axes = plt.subplots(1, count, figsize=(7.0 if count == 1 else 9.0, 3.8), squeeze=False, **options)
    plt.close(figure)  # else a notebook shows it twice: as an open figure and as the cell's value
    return figure, list(axes[0])


# --- projection ------------------------------------------------------------------------------------


def spectrum(spectra: pd.DataFrame) -> Figure:
    """Singular values of the updates, s_i / ‖ΔW‖ over i, a line for each kind of matrix.

    ``spectra`` has columns kind, i, share (s_i / ‖ΔW‖); a line is the mean over layers, its band their
    range. The kind "random" is drawn as a dashed reference.
    """
    figure, (axes,) = _panels(1)
    for kind, group in spectra.groupby("kind", sort=False):
        values = group.groupby("i")["share"].agg(["mean", "min", "max"])
        style = {"color": REFERENCE, "linestyle": "--"} if kind == "random" else {}
        (line,) = axes.plot(values.index, values["mean"], label=kind, **style)
        axes.fill_between(
            values.index, values["min"], values["max"], color=line.get_color(), alpha=0.12, lw=0
        )
    axes.set(xscale="log", yscale="log", xlabel="i", ylabel="$s_i \\, / \\, \\|\\Delta W_{align}\\|$")
    axes.set_ylim(bottom=max(0.7 * spectra["share"].min(), 1e-4 * spectra["share"].max()))
    axes.set_title("Singular values of the alignment update")
    axes.legend(ncols=2)
    return figure


# --- energy ----------------------------------------------------------------------------------------


def energy_profile(profiles: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """R before and after fine-tuning over k / min(m, n); right, their ratio beside the paper's Figure 2.

    ``profiles`` has columns seed, share (k / min(m, n)), r_align and r_ft, means over matrices; lines
    are means over seeds, bands their range. ``published`` has pairs, k and ratio.
    """
    figure, (left, right) = _panels(2)
    for column, label, color in (
        ("r_align", "$R_{align}$, before fine-tuning", BEFORE),
        ("r_ft", "$R_{ft}$, after", AFTER),
    ):
        _over_seeds(left, profiles, column, label=label, color=color)
    left.set(ylabel="R", title="Energy in the top k directions")
    left.legend(loc="upper left")
    ratios = profiles.assign(ratio=profiles["r_ft"] / profiles["r_align"])
    _over_seeds(right, ratios, "ratio", label="this run", color=AFTER)
    for shade, (pairs, group) in zip(("0.75", "0.6", "0.4", "0.2"), published.groupby("pairs")):
        label = f"paper, {pairs / 1000:.1f}k pairs"
        right.plot(group["k"] / LLAMA_WIDTH, group["ratio"], "o:", color=shade, lw=1, label=label)
    right.set_title("$R_{ft} \\, / \\, R_{align}$")
    right.legend(loc="lower right")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="k / min(m, n)", ylim=(0, 1.05))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


def energy_by_kind(energies: pd.DataFrame) -> Figure:
    """R before and after fine-tuning for each kind of matrix and for each layer, a dot for each seed.

    ``energies`` is ``energy_table``'s with a column seed; a dot is a mean over matrices, a bar over seeds.
    """
    figure, panels = _panels(2, sharey=True, gridspec_kw={"width_ratios": (3, 2)})
    for axes, column in zip(panels, ("kind", "layer")):
        means = energies.groupby(["seed", column], sort=False)[["r_align", "r_ft"]].mean().reset_index()
        groups = list(dict.fromkeys(means[column]))
        for measure, label, color, shift in (
            ("r_align", "$R_{align}$", BEFORE, -0.17),
            ("r_ft", "$R_{ft}$", AFTER, 0.17),
        ):
            places = [groups.index(group) + shift for group in means[column]]
            bars = means.groupby(column, sort=False)[measure].mean()
            axes.bar([i + shift for i in range(len(groups))], bars, 0.3, color=color, alpha=0.45, label=label)
            axes.plot(places, means[measure], ".", color=color)
        axes.set_xticks(range(len(groups)), [str(g).removesuffix("_proj") for g in groups])
        axes.set_xlabel(column)
        axes.grid(visible=False, axis="x")
    panels[0].set_ylabel("R")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def _over_seeds(axes: Axes, profiles: pd.DataFrame, column: str, **style) -> None:
    """A column over share: the mean over seeds as a line, their range as a band."""
    values = profiles.groupby("share")[column].agg(["mean", "min", "max"])
    axes.plot(values.index, values["mean"], **style)
    axes.fill_between(values.index, values["min"], values["max"], color=style["color"], alpha=0.2, lw=0)


# --- effective rank and robustness ---------------------------------------------------------------


def robustness(rows: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR after each task without and with LoX, one dot a seed, the mean as a bar, beside the paper's.

    ``rows`` is a result table of the defences none and lox, ``published`` the paper's Table 1.
    """
    tasks = [task for task in TASK_NAMES if task != "none" and task in set(rows["task"])]
    figure, axes = _panels(2, sharey=True, width_ratios=(3, 2))
    for offset, defence, colour in ((-0.18, "none", AFTER), (0.18, "lox", BEFORE)):
        ours = rows[rows["defence"] == defence]
        theirs = published[published["defence"] == defence].set_index("task")["asr"]
        for place, task in enumerate(tasks):
            seeds = ours.loc[ours["task"] == task, "asr"]
            axes[0].bar(place + offset, seeds.mean(), 0.34, color=colour, alpha=0.35)
            axes[0].plot([place + offset] * len(seeds), seeds, "o", color=colour, markersize=4)
            axes[1].bar(place + offset, theirs[task], 0.34, color=colour, alpha=0.35)
    aligned = rows.loc[(rows["task"] == "none") & (rows["defence"] == "none"), "asr"].mean()
    axes[0].axhline(aligned, color="0.4", linestyle=":", linewidth=1)
    for axis, title in zip(axes, (f"this run ({rows['profile'].iloc[0]})", "paper, LLaMA-2-7B")):
        axis.set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=20, ha="right")
        axis.set_title(title)
    axes[0].set_ylabel("ASR")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylim(0, 1.02)
    handles = [Patch(color=colour, alpha=0.5) for colour in (AFTER, BEFORE)]
    axes[1].legend(handles, ["without LoX", "with LoX"], frameon=False)
    return figure


def rank_curves(curves: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR(θ_r) over r: ours, one line a seed with its Wilson band, beside the paper's four models."""
    figure, axes = _panels(2, sharey=True)
    for seed, curve in curves.groupby("seed"):
        (line,) = axes[0].plot(curve["rank"], curve["asr"], "o-", markersize=4, label=f"seed {seed}")
        axes[0].fill_between(
            curve["rank"], curve["asr_low"], curve["asr_high"], alpha=0.12, color=line.get_color()
        )
    for (model, pairs), curve in published.groupby(["model", "pairs"]):
        axes[1].plot(curve["rank"], curve["asr"], "s-", markersize=4, label=f"{model}, {pairs / 1000:.1f}k")
    for axis, title in zip(axes, ("this run", "paper (read off)")):
        axis.set_xlabel("rank r")
        axis.set_title(title)
        axis.legend(frameon=False)
    axes[0].set_ylabel(r"ASR($\theta_r$)")
    axes[0].set_xscale("symlog", linthresh=1, base=2)
    axes[0].set_ylim(-0.02, 1.02)
    return figure
