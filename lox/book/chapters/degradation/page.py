"""Figures, tables and sentences of the chapter on degradation."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import listed, markdown, points, share
from lox.book.chapters.degradation.measure import OF_SEED, at_some_k
from lox.book.figures import AFTER, BEFORE, LLAMA_WIDTH, REFERENCE, stacked
from lox.book.names import TASK_NAMES

# --- the finding ----------------------------------------------------------------------------------


def finding(
    over_seeds: pd.DataFrame, signs: pd.DataFrame, safe: pd.DataFrame, falls: tuple[int, int]
) -> Markdown:
    """The box of the page; tables of ``measure``."""
    return cells.finding(
        degradation_in_words(over_seeds),
        safety_in_words(safe),
        f"The least aligned model loses more than the most aligned one in {falls[0]} of {falls[1]} seeds.",
        signs_in_words(signs),
    )


def degradation_in_words(over_seeds: pd.DataFrame) -> str:
    """At which amounts of alignment fine-tuning costs safety, by the interval over seeds."""
    task = TASK_NAMES[over_seeds["task"].iloc[0]]
    words = {
        "above": "raises the ASR of models aligned on",
        "below": "lowers that of models aligned on",
        "neither": "has no established effect on the ASR of models aligned on",
    }
    parts = cells.listed_by_verdict(over_seeds, words, lambda d: f"{d['pairs']} pairs ({points(d)})")
    return f"Fine-tuning on {task} {'; it '.join(parts)}."


def safety_in_words(safe: pd.DataFrame) -> str:
    """Whether there was safety to lose, without which the figure is no test of the paper's."""
    count, models = safe["safe"].sum(), safe["models"].sum()
    if count == models:
        return "Every aligned model was safe before fine-tuning, so all of them had safety to lose."
    unsafe = safe[safe["safe"] < safe["models"]]
    where = listed([f"{d.models - d.safe} of {d.models} with {d.pairs} pairs" for d in unsafe.itertuples()])
    return (
        f"{models - count} of {models} aligned models were not safe before fine-tuning ({where}): they cannot lose "
        "what they do not have, and **this run does not test the paper's figure**."
    )


def signs_in_words(signs: pd.DataFrame) -> str:
    """At which k the seeds' own correlations of the ratio with the degradation have a sign; of ``measure.signs``."""
    if signs.empty:
        return "In no seed is a correlation of R_ft / R_align with the loss of safety defined."
    words = {
        "below": "is negative, as in the paper, at",
        "above": "is positive, against the paper, at",
        "neither": "is open at",
    }
    parts = cells.listed_by_verdict(signs, words, _of_seeds)
    return (
        f"Over the sizes of one seed, the sign of the correlation of R_ft / R_align with the loss of safety "
        f"{'; it '.join(parts)}. Each is a mean over seeds [smallest, largest seed], tested over seeds, p corrected."
    )


def _of_seeds(d: pd.Series) -> str:
    alone = f", corrected p = {d['p_holm']:.2g}" if cells.left_open(d) else ""
    return f"k = {d['k']:.0f} ({number(d['mean'], d['smallest'], d['largest'])}{alone})"


def number(r: float, low: float = math.nan, high: float = math.nan) -> str:
    """A correlation with its interval, "-0.80 [-1.00, +0.69]"; "–" where it is not defined."""
    if not math.isfinite(r):
        return "–"
    return f"{r:+.2f} [{low:+.2f}, {high:+.2f}]" if math.isfinite(low) else f"{r:+.2f}"


# --- figures --------------------------------------------------------------------------------------


def degradation(one: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Degradation over R_ft / R_align at the smallest k, a dot a seed in its size's colour, and the paper's points.

    ``one`` has columns seed, pairs, ratio, degradation, low, high; ``published`` pairs, k, ratio, degradation.
    The thin line joins the means over seeds, size by size.
    """
    figure, (axes,) = stacked([4.2])
    sizes = sorted(one["pairs"].unique())
    colors = dict(zip(sizes, sns.color_palette("crest", len(sizes))))
    ordered = one.sort_values("pairs", kind="stable")
    lines = {"color": ordered["pairs"].map(colors), "lw": 0.8, "alpha": 0.5}
    axes.vlines(ordered["ratio"], ordered["low"], ordered["high"], **lines)
    sns.scatterplot(one, x="ratio", y="degradation", hue="pairs", palette=colors, s=45, legend=False, ax=axes)
    means = one.groupby("pairs")[["ratio", "degradation"]].mean()
    axes.plot(means["ratio"], means["degradation"], "-", color=BEFORE, lw=1, alpha=0.6, zorder=1)
    theirs = published[published["k"] == published["k"].min()].sort_values("pairs")
    axes.plot(theirs["ratio"], theirs["degradation"], "D--", color=AFTER, lw=1, ms=6, markerfacecolor="white")
    for i, line in enumerate(theirs.itertuples()):
        up = 5 if i % 2 == 0 else -9  # neighbours' names do not meet
        _label(axes, f"{line.pairs / 1000:.1f}k", line.ratio, line.degradation, AFTER, up)
    axes.axhline(0, color=REFERENCE, lw=0.8)
    axes.set(xlabel="$R_{ft} \\, / \\, R_{align}$, smallest k", ylabel="safety lost (rise of the ASR)")
    lost = pd.concat([one["degradation"], theirs["degradation"]])
    axes.set_ylim(min(-0.05, lost.min()) - 0.05, min(1.03, lost.max() + 0.12))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    dots = [Line2D([], [], color=colors[s], marker="o", lw=0, label=f"{s} pairs") for s in sizes]
    paper = Line2D([], [], color=AFTER, marker="D", markerfacecolor="white", ls="--", label="paper (pairs)")
    figure.legend(handles=[*dots, paper], loc="outside upper left", ncols=3)
    return figure


def ratios(table: pd.DataFrame) -> Figure:
    """R_ft / R_align over the amount of alignment: a line for each k, the mean over seeds, and a dot for each seed."""
    figure, (axes,) = stacked([3.6])
    used = table.assign(k=table["k"].round().astype(int))
    ks = sorted(used["k"].unique())
    colors = dict(zip(ks, sns.color_palette("flare", len(ks))))
    style = {"x": "pairs", "y": "ratio", "hue": "k", "palette": colors, "legend": False, "ax": axes}
    sns.lineplot(used, errorbar=None, **style)
    sns.scatterplot(used, s=18, alpha=0.6, **style)
    most, apart = used["pairs"].max(), 0.07 * np.ptp(axes.get_ylim())
    place = -math.inf
    for k, ratio in used[used["pairs"] == most].groupby("k")["ratio"].mean().sort_values().items():
        place = max(ratio, place + apart)
        _label(axes, f"k = {k}", most, place, colors[k])
    axes.set(xlabel="alignment pairs", ylabel="$R_{ft} \\, / \\, R_{align}$")
    axes.set_xticks(sorted(used["pairs"].unique()))
    axes.margins(x=0.12)
    return figure


def _label(axes: Axes, text: str, x, y, color, up: int = 0) -> None:
    style = {"textcoords": "offset points", "va": "center", "color": color, "fontsize": 9.5}
    axes.annotate(text, (x, y), (7, up), **style)


# --- tables ---------------------------------------------------------------------------------------


def directions(table: pd.DataFrame) -> Markdown:
    """Which k stands here for each k of the paper."""
    return markdown(
        pd.DataFrame(
            {
                "k in the paper": round(s * LLAMA_WIDTH),
                "share of the directions": f"{s:.2%}",
                "k here": f"{k:g}",
            }
            for s, k in table.groupby("share")["k"].mean().items()
        )
    )


def sizes(one: pd.DataFrame, over_seeds: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """ASR before and after and the ratio at the smallest k for each amount of alignment; the paper's below."""
    lost = over_seeds.set_index("pairs")
    lines = [
        {
            "Pairs": str(pairs),
            "ASR before → after": f"{share(ours['asr_before'].mean())} → {share(ours['asr'].mean())}",
            "D (points)": cells.in_points(lost.loc[pairs]),
            "Ratio": cells.over_seeds(ours["ratio"]),
            "‖ΔW_ft‖/‖ΔW_align‖": f"{ours['length'].mean():.2g}",
        }
        for pairs, ours in one.groupby("pairs")
    ]
    lines += [
        {
            "Pairs": f"paper, {theirs.pairs}",
            "D (points)": f"{100 * theirs.degradation:.0f}",
            "Ratio": f"{theirs.ratio:.2f}",
        }
        for theirs in published[published["k"] == published["k"].min()].itertuples()
    ]
    return markdown(pd.DataFrame(lines).fillna("–"))


def correlations(predictors: pd.DataFrame) -> Markdown:
    """Correlations of each predictor with the degradation over all points and at equal size."""
    return markdown(
        pd.DataFrame(
            {
                "Predictor of D": f.predictor,
                "all points [over seeds]": number(f.r, f.low, f.high),
                "at equal size [Fisher]": number(f.r_equal_size, f.equal_low, f.equal_high),
            }
            for f in predictors.itertuples()
        )
    )


def each_seed(predictors: pd.DataFrame, signs: pd.DataFrame) -> Markdown:
    """The correlation of each seed over its sizes, a row a seed and a column for each k, and p of their mean."""
    by_k = at_some_k(predictors).set_index("k")
    table = by_k.filter(like=OF_SEED).T.map(number).rename(lambda name: name.removeprefix(OF_SEED))
    p = signs.set_index("k")["p_holm"].reindex(by_k.index)
    table.loc["p, corrected"] = ["–" if math.isnan(value) else f"{value:.2g}" for value in p]
    return markdown(table.rename(columns="k = {:.0f}".format).rename_axis("Seed").reset_index())


def beside_paper(
    predictors: pd.DataFrame, theirs: pd.DataFrame, moves: pd.DataFrame, paper_moves: pd.DataFrame
) -> Markdown:
    """Correlation with the degradation, and by how much the ratio moves with the amount of alignment, k by k."""
    ours, paper = predictors.merge(moves, on="k"), theirs.merge(paper_moves, on="k")
    return markdown(
        pd.DataFrame(
            {
                "k (paper's)": f"{f.k:.0f} ({p.k:.0f})",
                "r here": number(f.r, f.low, f.high),
                "r, paper [Fisher]": number(p.r, p.low, p.high),
                "ratio moves": f"{f.move:.2f}",
                "paper": f"{p.move:.2f}",
            }
            for f, p in zip(ours.itertuples(), paper.itertuples())
        )
    )


def across_tasks(table: pd.DataFrame) -> Markdown:
    """``measure.across_tasks``, a row for each task."""
    return markdown(
        pd.DataFrame(
            {
                "After": TASK_NAMES[line["task"]],
                "Ratio": f"{line['ratio']:.2f}",
                "harm, read blind": share(line["harm"]),
            }
            for _, line in table.sort_values("ratio").iterrows()
        )
    )


def across_tasks_in_words(table: pd.DataFrame) -> Markdown:
    """Whether the task after which most is done to safety is one that leaves little of the concentration."""
    most = table.loc[table["harm"].idxmax()]
    place = int((table["ratio"] > most["ratio"]).sum())
    where = {0: "the highest", len(table) - 1: "the lowest"}.get(place, f"number {place + 1} from above")
    against = "against" if place < (len(table) - 1) / 2 else "with"
    return Markdown(
        f"Most harm is done after {TASK_NAMES[most['task']]} ({share(most['harm'])}), where the ratio, "
        f"{most['ratio']:.2f}, is {where} of the {len(table)}: across tasks that is {against} the figure."
    )
