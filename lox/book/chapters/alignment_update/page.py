"""Figures of the chapter on the alignment update."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.figures import REFERENCE, over_seeds, panels_of


def spectra_by_kind(spectra: pd.DataFrame, chance: pd.DataFrame) -> Figure:
    """s_i / ‖ΔW‖ over i, a panel for each kind of matrix, a line for each layer, the mean over seeds.

    Both have columns kind, layer, i and share; ``chance``, of random matrices, is the dashed line.
    """
    kinds = list(dict.fromkeys(spectra["kind"]))
    columns = -(-(len(kinds) + 1) // 2)
    figure, grid = plt.subplots(2, columns, figsize=(9.0, 5.0), sharex=True, sharey=True)
    plt.close(figure)
    layers = sorted(spectra["layer"].unique())
    colors = plt.get_cmap()([0.9 * i / max(1, len(layers) - 1) for i in range(len(layers))])
    for axes, kind in zip(grid.flat, kinds):
        lines = spectra[spectra["kind"] == kind].groupby(["layer", "i"])["share"].mean()
        for layer, color in zip(layers, colors):
            if layer in lines:
                axes.plot(lines[layer], color=color, lw=1.4, label=f"layer {layer}")
        random = chance[chance["kind"] == kind].groupby("i")["share"].mean()
        axes.plot(random, color=REFERENCE, linestyle="--", label="random")
        axes.set(xscale="log", yscale="log", title=kind, ylim=(1e-3, 1.1))
    for axes in grid.flat[len(kinds) :]:
        axes.axis("off")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="lower right", ncols=1 + len(layers) // 8)
    figure.supxlabel("i")
    figure.supylabel("$s_i \\, / \\, \\|\\Delta W\\|$")
    return figure


def concentration(updates: pd.DataFrame, sizes: pd.DataFrame) -> Figure:
    """R in an update's own top k directions over k / min(m, n): kinds of update; amounts of alignment.

    Both have columns update (the line's name), seed, share, r; lines are means over seeds, bands their
    range. The update "random" is drawn as a dashed reference.
    """
    figure, panels = panels_of(2, sharey=True)
    titles = ("Alignment, fine-tuning, chance", "The amount of alignment")
    for axes, frame, title in zip(panels, (updates, sizes), titles):
        names = [name for name in dict.fromkeys(frame["update"]) if name != "random"]
        shades = plt.get_cmap()([0.85 * (1 - i / len(names)) for i in range(len(names))])
        colors = shades if axes is panels[1] else [f"C{i}" for i in range(len(names))]
        styles = {name: {"color": color} for name, color in zip(names, colors)}
        for name, style in (styles | {"random": {"color": REFERENCE, "linestyle": "--"}}).items():
            over_seeds(axes, frame[frame["update"] == name], "r", label=name, **style)
        axes.set(xscale="log", xlabel="k / min(m, n)", ylim=(0, 1.02), title=title)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(loc="lower right")
    panels[0].set_ylabel("R in its own top k directions")
    return figure
