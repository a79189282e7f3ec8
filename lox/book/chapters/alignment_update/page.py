"""Figures, tables and finding of the chapter on the alignment update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.cells import finding as box
from lox.book.cells import listed, markdown, over_seeds, said_of, with_interval
from lox.book.figures import REFERENCE, stacked
from lox.book.figures import over_seeds as band_over_seeds

RANDOM = "random"


def finding(
    overall: pd.DataFrame, against: pd.DataFrame, update: str, tasks: Sequence[str], k: int
) -> Markdown:
    """What the tables of ``measure.overall`` and ``measure.against`` say of an update, in sentences.

    ``tasks`` are the updates that are fine-tuning's; all others but "random" are other amounts of alignment.
    """
    against = against.set_index("other")
    amounts = [name for name in against.index if name not in (RANDOM, *tasks)]
    sentences = [_chance(overall, against, update, k)]
    for others, what in ((tasks, "fine-tuning's own updates"), (amounts, "other amounts of alignment")):
        if len(others):
            sentences.append(_others(against.loc[list(others)], what))
    return box(*sentences)


def _chance(overall: pd.DataFrame, against: pd.DataFrame, update: str, k: int) -> str:
    means = overall.groupby("update")[["r", "stable_rank"]].mean()
    compared = said_of(against.loc[RANDOM], "more than", "less than", "not distinguished from")
    held, by_chance = means.loc[update], means.loc[RANDOM]
    return (
        f"The update of {_in_prose(update)} holds {held['r']:.2f} of its norm in its own top $k = {k}$ directions, "
        f"{compared} the {by_chance['r']:.2f} of random numbers (difference {with_interval(against.loc[RANDOM], '+')}, "
        f"{int(against.loc[RANDOM, 'seeds'])} seeds); its stable rank is {held['stable_rank']:.1f} "
        f"against {by_chance['stable_rank']:.1f}."
    )


def _others(against: pd.DataFrame, what: str) -> str:
    """Against which other updates the difference's interval lies above 0, below it, or on both sides."""
    groups: dict[str, list[str]] = {}
    for other, difference in against.iterrows():
        where = said_of(
            difference, "more concentrated than", "less concentrated than", "not distinguished from"
        )
        groups.setdefault(where, []).append(f"{_in_prose(other)} ({with_interval(difference, '+')})")
    said = "; ".join(f"{where} {listed(others)}" for where, others in groups.items())
    return f"Against {what}, by the difference of R, it is {said}."


def _in_prose(update: str) -> str:
    return update.replace(", ", " with ")


def concentration(profiles: pd.DataFrame, ordered: bool = False) -> Figure:
    """R in an update's own top k directions over k / min(m, n), a line for each update.

    ``profiles`` has columns update (the line's name), seed, share, r; lines are means over seeds, bands their range.
    The update "random" is the dashed reference. With ``ordered`` the colours go from light to dark.
    """
    figure, (axes,) = stacked([4.0])
    names = [name for name in dict.fromkeys(profiles["update"]) if name != RANDOM]
    colors = sns.color_palette("viridis_r", len(names)) if ordered else [f"C{i}" for i in range(len(names))]
    styles = {name: {"color": color} for name, color in zip(names, colors)}
    for name, style in (styles | {RANDOM: {"color": REFERENCE, "linestyle": "--"}}).items():
        band_over_seeds(axes, profiles[profiles["update"] == name], "r", label=name, **style)
    axes.set(xscale="log", xlabel="k / min(m, n)", ylim=(0, 1.02), ylabel="R in its own top k directions")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right")
    return figure


def spectra_by_kind(spectra: pd.DataFrame, chance: pd.DataFrame) -> Figure:
    """s_i / ‖ΔW‖ over i, a panel for each kind of matrix, a line for each layer, the mean over seeds.

    Both have columns kind, layer, i and share; ``chance``, of random matrices, is the dashed line.
    """
    means = spectra.groupby(["kind", "layer", "i"], sort=False)["share"].mean().reset_index()
    means["kind"] = means["kind"].str.removesuffix("_proj")
    with plt.rc_context({"figure.constrained_layout.use": False}):  # seaborn lays its grids out itself
        grid = sns.relplot(
            means,
            kind="line",
            x="i",
            y="share",
            hue="layer",
            palette="viridis",
            col="kind",
            col_wrap=2,
            height=2.1,
            aspect=1.25,
            errorbar=None,
            linewidth=1.4,
        )
    plt.close(grid.figure)
    for kind, axes in grid.axes_dict.items():
        random = chance[chance["kind"].str.removesuffix("_proj") == kind].groupby("i")["share"].mean()
        axes.plot(random, color=REFERENCE, linestyle="--", lw=1.2)
    grid.set(xscale="log", yscale="log", ylim=(1e-3, 1.1), ylabel=r"$s_i \, / \, \|\Delta W\|$")
    grid.set_titles("{col_name}")
    sns.move_legend(grid, "lower right", bbox_to_anchor=(0.95, 0.05), title="layer (dashed: random)")
    return grid.figure


def summary(overall: pd.DataFrame, k: int) -> Markdown:
    """The table of ``measure.overall``, means over seeds with their range, a row for each update."""
    measures = {"norm": "norm", "stable_rank": "stable rank", "r": f"R, k = {k}"}
    groups = overall.groupby("update", sort=False)
    table = groups[[*measures]].agg(over_seeds).reset_index()
    steps = ["–" if pd.isna(value) else f"{value:.0f}" for value in groups["steps"].first()]
    table.insert(1, "steps", steps)
    return markdown(table.rename(columns=measures))


def kinds(table: pd.DataFrame) -> Markdown:
    """The table of ``measure.kinds``; of the random matrices only the means, whose ranges are narrow."""
    shown = table.assign(kind=table["kind"].str.removesuffix("_proj"))
    for column in shown.columns[shown.columns.str.endswith(", random")]:
        shown[column] = shown[column].str.partition(" ")[0]
    return markdown(
        shown.rename(columns=lambda name: name.replace("stable rank, ", "").replace(" at ", ", "))
    )


def steps_in_words(correlation: float, tasks: int) -> Markdown:
    """How far R goes with the length of training over the fine-tuning tasks."""
    if pd.isna(correlation):
        return Markdown(
            f"With {tasks} fine-tuning tasks there is no correlation of R with the number of steps to give."
        )
    return Markdown(
        f"Over the {tasks} fine-tuning tasks the rank correlation of R with the number of steps is {correlation:+.2f}."
    )


def paper_beside(
    bound: Mapping[str, float], overall: pd.DataFrame, update: str, k: int, width: int
) -> Markdown:
    """R_align and chance, the paper's as a lower bound, beside this run's; a column for each."""
    r = overall.set_index("update")["r"]
    columns = {
        "": ["min(m, n)", "k", "R_align", "chance"],
        "paper, LLaMA-2-7B": ["4096", "6", f"≥ {bound['r_align']:.2f}", f"{bound['chance']:.2f}"],
        "this run": [str(width), str(k), over_seeds(r.loc[[update]]), over_seeds(r.loc[[RANDOM]])],
    }
    return markdown(pd.DataFrame(columns))
