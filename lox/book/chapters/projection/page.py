"""Figures of the chapter on the projection."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from lox.book.figures import REFERENCE, panels_of


def spectrum(spectra: pd.DataFrame) -> Figure:
    """Singular values of the updates, s_i / ‖ΔW‖ over i, a line for each kind of matrix.

    ``spectra`` has columns kind, i, share (s_i / ‖ΔW‖); a line is the mean over layers, its band their
    range. The kind "random" is drawn as a dashed reference.
    """
    figure, (axes,) = panels_of(1)
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
