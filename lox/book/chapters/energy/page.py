"""Figures, tables and finding of the chapter on energy."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lox.book.cells import finding as box
from lox.book.cells import listed, markdown, over_seeds, said_of, with_interval
from lox.book.figures import AFTER, BEFORE, LLAMA_WIDTH, stacked
from lox.book.figures import over_seeds as band_over_seeds
from lox.book.names import TASK_NAMES

SYMBOLS = {"r_align": "$R_{align}$", "r_ft": "$R_{ft}$"}
INTERACTION = {
    "R_align": "r_align",
    "R_new, fine-tuning's own": "r_new",
    "√(k/m), chance": "chance",
    "R_ft predicted": "predicted",
    "R_ft measured": "r_ft",
    "cosine inside": "cos_inside",
    "cosine outside": "cos_outside",
}


def finding(summary: pd.DataFrame, task: str, k: int) -> Markdown:
    """What the table of ``measure.summary`` says, in sentences."""
    by_task = {name: group.set_index("measure") for name, group in summary.groupby("task", sort=False)}
    return box(
        _fall(by_task[task], task, k), _tasks(by_task), _own(by_task[task], task), _angles(by_task[task])
    )


def _fall(means: pd.DataFrame, task: str, k: int) -> str:
    before, after, ratio = (with_interval(means.loc[name]) for name in ("r_align", "r_ft", "ratio"))
    return (
        f"After {TASK_NAMES[task]}, at $k = {k}$, $R_\\text{{ft}}$ is {after} where $R_\\text{{align}}$ was {before}: "
        f"a ratio of {ratio} ({int(means['seeds'].iloc[0])} seeds)."
    )


def _tasks(by_task: dict[str, pd.DataFrame]) -> str:
    """After which tasks the ratio is below 1, above it, or not distinguished from it."""
    groups: dict[str, list[str]] = {}
    for task, means in by_task.items():
        moved = means.loc["ratio", ["low", "high"]] - 1
        where = said_of(moved, "above 1", "below 1", "not distinguished from 1")
        groups.setdefault(where, []).append(TASK_NAMES[task])
    said = "; ".join(f"{where} after {listed(names)}" for where, names in groups.items())
    return f"By its 95 % interval over seeds, the ratio is {said}."


def _own(means: pd.DataFrame, task: str) -> str:
    chance = means.loc["chance", "mean"]
    compared = said_of(
        means.loc["r_new", ["low", "high"]] - chance, "above", "below", "not distinguished from"
    )
    return (
        f"{TASK_NAMES[task]}'s own update holds {with_interval(means.loc['r_new'])} of its norm in the safety "
        f"subspace, {compared} the {chance:.2f} that chance alone gives."
    )


def _angles(means: pd.DataFrame) -> str:
    """In which direction fine-tuning points, inside the safety subspace and outside."""
    words = "points along", "points against", "is not distinguished from orthogonal to"
    inside, outside = (means.loc[name] for name in ("cos_inside", "cos_outside"))
    return (
        f"Inside the safety subspace fine-tuning {said_of(inside, *words)} the alignment update "
        f"(cosine {with_interval(inside)}); outside, it {said_of(outside, *words)} it "
        f"(cosine {with_interval(outside)})."
    )


def energy_profile(profiles: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """R before and after fine-tuning over k / min(m, n); below, their ratio with the paper's Figure 2.

    ``profiles`` has columns seed, share (k / min(m, n)), r_align and r_ft, means over matrices; lines
    are means over seeds, bands their range. ``published`` has pairs, k and ratio.
    """
    figure, (above, below) = stacked([3.0] * 2, sharex=True)
    for column, label, color in (
        ("r_align", "$R_{align}$, before fine-tuning", BEFORE),
        ("r_ft", "$R_{ft}$, after", AFTER),
    ):
        band_over_seeds(above, profiles, column, label=label, color=color)
    above.set(ylabel="R", title="Share of the norm in the top k directions")
    above.legend(loc="lower right")
    ratios = profiles.assign(ratio=profiles["r_ft"] / profiles["r_align"])
    band_over_seeds(below, ratios, "ratio", label="this run", color=AFTER)
    for shade, (pairs, group) in zip(("0.75", "0.6", "0.4", "0.2"), published.groupby("pairs")):
        label = f"paper, {pairs / 1000:.1f}k pairs"
        below.plot(group["k"] / LLAMA_WIDTH, group["ratio"], "o:", color=shade, lw=1, label=label)
    below.set(title="$R_{ft} \\, / \\, R_{align}$", xlabel="k / min(m, n)", xscale="log")
    below.set_ylim(0, 1.05 * max(1, ratios["ratio"].max()))
    above.set_ylim(0, 1.05)
    below.legend(loc="lower right")
    below.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


def energy_by_kind(energies: pd.DataFrame) -> Figure:
    """R before and after fine-tuning for each kind of matrix, and for each layer.

    ``energies`` has columns seed, kind, layer, r_align and r_ft, a row for each matrix. Above, a bar is the mean
    over seeds and a dot a seed; below, a line is the mean over seeds and its band their range.
    """
    figure, (kinds, layers) = stacked([3.0] * 2, sharey=True)
    colors = dict(zip(SYMBOLS.values(), (BEFORE, AFTER)))
    style = {"y": "R", "hue": "measure", "palette": colors}
    by_kind = _long(energies, "kind")
    by_kind["kind"] = by_kind["kind"].str.removesuffix("_proj")
    sns.barplot(by_kind, x="kind", errorbar=None, alpha=0.5, ax=kinds, **style)
    sns.stripplot(by_kind, x="kind", dodge=True, jitter=False, size=4, legend=False, ax=kinds, **style)
    sns.lineplot(
        _long(energies, "layer"),
        x="layer",
        errorbar=("pi", 100),
        marker="o",
        legend=False,
        ax=layers,
        **style,
    )
    layers.xaxis.set_major_locator(MaxNLocator(integer=True))
    kinds.set(xlabel=None, title="Kinds of matrix")
    layers.set(title="Layers", xlabel="layer", ylim=(0, None))
    kinds.legend(title=None, ncols=2, loc="upper right", bbox_to_anchor=(1, 1.16))
    return figure


def _long(energies: pd.DataFrame, column: str) -> pd.DataFrame:
    """Means over matrices of each seed and each value of ``column``, a row for each measure."""
    means = energies.groupby(["seed", column], sort=False)[[*SYMBOLS]].mean().reset_index()
    named = means.astype({"layer": int}) if column == "layer" else means
    return named.rename(columns=SYMBOLS).melt(["seed", column], var_name="measure", value_name="R")


def kinds(energies: pd.DataFrame) -> Markdown:
    """R_align, R_ft and their ratio of each kind of matrix and of all: means over seeds and their range."""
    measures = {"r_align": "R_align", "r_ft": "R_ft", "ratio": "ratio"}
    of_seeds = energies.groupby(["kind", "seed"], sort=False)[[*measures]].mean()
    table = of_seeds.groupby("kind", sort=False).agg(over_seeds).reset_index()
    table["kind"] = table["kind"].str.removesuffix("_proj")
    table.loc[len(table)] = ["all", *energies.groupby("seed")[[*measures]].mean().agg(over_seeds)]
    return markdown(table.rename(columns=measures))


def interaction(summary: pd.DataFrame, task: str) -> Markdown:
    """Shares and cosines after a task: means over seeds with their interval."""
    means = summary[summary["task"] == task].set_index("measure")
    return markdown(
        pd.DataFrame(
            {"": name, "mean [95 %]": with_interval(means.loc[measure])}
            for name, measure in INTERACTION.items()
        )
    )


def tasks(means: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """R_align, R_ft and ratio after each task, means over seeds and their range, beside the paper's R_ft.

    ``means`` is the table of ``measure.seed_means``, ``published`` the paper's Table 1.
    """
    paper = published.query("defence == 'none'").set_index("task")["r_ft"]
    measures = {"r_align": "R_align", "r_ft": "R_ft", "ratio": "ratio"}
    table = means.groupby("task", sort=False)[[*measures]].agg(over_seeds).reset_index()
    table["paper's R_ft"] = [paper[task] for task in table["task"]]
    table["task"] = table["task"].map(TASK_NAMES)
    return table.rename(columns=measures)


def random_shares(table: pd.DataFrame) -> Markdown:
    """The table of ``measure.random_shares``, readable."""
    shown = {
        "shape": table["shape"],
        "√(k/m)": table["chance"].map("{:.3f}".format),
        "other's subspace": [f"{m:.3f} ± {sd:.3f}" for m, sd in zip(table["other"], table["other_sd"])],
        "own subspace": table["own"].map("{:.3f}".format),
        "√(k/min(m, n))": table["bound"].map("{:.3f}".format),
    }
    return markdown(pd.DataFrame(shown))
