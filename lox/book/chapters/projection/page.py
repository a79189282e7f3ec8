"""Figure, tables and finding of the chapter on the projection."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.figure import Figure

from lox.book.cells import finding as box
from lox.book.cells import markdown, share
from lox.book.figures import REFERENCE, stacked

RANDOM = "random"


def finding(matrices: pd.DataFrame, timing: pd.DataFrame, k: int, size: int) -> Markdown:
    """What the tables of ``measure.matrices`` and ``measure.timing`` say, in sentences."""
    mean = matrices[["r_align", "energy", "numbers", "random"]].mean()
    more, n = int((matrices["r_align"] > matrices["random"]).sum()), len(matrices)
    return box(
        f"The top $k = {k}$ directions hold $R_\\text{{align}}$ = {mean['r_align']:.2f} of the norm of an alignment "
        f"update, which is {share(mean['energy'])} of its energy, and take {share(mean['numbers'])} of its numbers "
        f"to write down (mean over the {n} matrices of one model).",
        f"A matrix of random numbers of the same shape holds {mean['random']:.2f} of its norm in its own top $k$. "
        f"The update holds more in {'all' if more == n else more} of {n} matrices.",
        _certificate(timing, k, size),
    )


def _certificate(timing: pd.DataFrame, k: int, size: int) -> str:
    beyond, n = int((timing["measured"] > timing["certified"] + 1e-6).sum()), len(timing)
    kept = "in none of them" if beyond == 0 else f"in {beyond} of them"
    return (
        f"`safety_subspace` finds the top {k} directions of {n} made-up {size} × {size} matrices with a certified "
        f"error of at most {timing['certified'].max():.1g}; the measured error exceeds the certificate {kept}."
    )


def spectrum(spectra: pd.DataFrame) -> Figure:
    """Singular values of the updates, s_i / ‖ΔW‖ over i, a line for each kind of matrix.

    ``spectra`` has columns kind, i, share (s_i / ‖ΔW‖); a line is the mean over layers, its band their
    range. The kind "random" is the dashed reference.
    """
    figure, (axes,) = stacked([4.0])
    named = spectra.assign(kind=spectra["kind"].str.removesuffix("_proj"))
    kinds = list(dict.fromkeys(named["kind"]))
    colors = {kind: REFERENCE if kind == RANDOM else f"C{i}" for i, kind in enumerate(kinds)}
    dashes = {kind: (3, 2) if kind == RANDOM else "" for kind in kinds}
    sns.lineplot(
        named,
        x="i",
        y="share",
        hue="kind",
        style="kind",
        palette=colors,
        dashes=dashes,
        errorbar=("pi", 100),
        err_kws={"alpha": 0.1},
        ax=axes,
    )
    axes.set(xscale="log", yscale="log", xlabel="i", ylabel="$s_i \\, / \\, \\|\\Delta W_{align}\\|$")
    axes.set_ylim(bottom=max(0.7 * spectra["share"].min(), 1e-4 * spectra["share"].max()))
    axes.legend(title=None, ncols=2, loc="lower left")
    return figure


def means_by_kind(table: pd.DataFrame) -> Markdown:
    """The table of ``measure.means_by_kind``, readable."""
    columns = {
        "kind": "kind",
        "r_align": "R_align",
        "energy": "energy, R²",
        "numbers": "numbers",
        "random": "R, random",
    }
    named = table.assign(kind=table["kind"].str.removesuffix("_proj"))
    return markdown(named[[*columns]].rename(columns=columns).round(3))


def timing(table: pd.DataFrame) -> Markdown:
    """The table of ``measure.timing``, with two digits."""
    columns = {
        "spectrum": "spectrum",
        "seconds": "seconds",
        "full": "full SVD",
        "certified": "certified",
        "measured": "measured",
    }
    shown = table[[*columns]].rename(columns=columns)
    return markdown(shown.map(lambda value: f"{value:.2g}" if isinstance(value, float) else value))


def exact(matrices: Mapping[str, np.ndarray]) -> Markdown:
    """Matrices of fractions or integers as formulas, under their names."""
    bodies = {
        name: r" \\ ".join(" & ".join(map(_fraction, row)) for row in matrix)
        for name, matrix in matrices.items()
    }
    formulas = [rf"{name} = \begin{{pmatrix}} {body} \end{{pmatrix}}" for name, body in bodies.items()]
    return Markdown("$$\n" + r" \qquad ".join(formulas) + "\n$$")


def _fraction(value) -> str:
    number = str(value)
    numerator, slash, denominator = number.partition("/")
    return rf"\tfrac{{{numerator}}}{{{denominator}}}" if slash else number
