"""Figures of the chapter on energy."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.figures import AFTER, BEFORE, LLAMA_WIDTH, over_seeds, panels_of


def energy_profile(profiles: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """R before and after fine-tuning over k / min(m, n); right, their ratio beside the paper's Figure 2.

    ``profiles`` has columns seed, share (k / min(m, n)), r_align and r_ft, means over matrices; lines
    are means over seeds, bands their range. ``published`` has pairs, k and ratio.
    """
    figure, (left, right) = panels_of(2)
    for column, label, color in (
        ("r_align", "$R_{align}$, before fine-tuning", BEFORE),
        ("r_ft", "$R_{ft}$, after", AFTER),
    ):
        over_seeds(left, profiles, column, label=label, color=color)
    left.set(ylabel="R", title="Energy in the top k directions")
    left.legend(loc="upper left")
    ratios = profiles.assign(ratio=profiles["r_ft"] / profiles["r_align"])
    over_seeds(right, ratios, "ratio", label="this run", color=AFTER)
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
    figure, panels = panels_of(2, sharey=True, gridspec_kw={"width_ratios": (3, 2)})
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
