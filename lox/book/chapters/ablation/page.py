"""Figures, tables and finding of the k × α ablation."""

from __future__ import annotations

import html
import json

import pandas as pd
import seaborn
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import (
    counted,
    in_points,
    markdown,
    over_seeds,
    paper_rate,
    per_cent,
    points,
    rows_of,
    said_of,
    share,
)
from lox.book.figures import NARROW, grid_of, stacked
from lox.book.names import TASK_NAMES, attacks_in

# each choice of k, and the paper's k of the same reading
K_COLORS = {"6 of 4096": "C0", "100 of 4096": "C1", "100": "C1", "500 of 4096": "C2"}
K_COLORS |= {"500": "C2", "6": "C3", "full": "C4", "effective rank": "C5"}
BEFORE = {
    "helpful": "Harmless questions answered",
    "utility": "Utility",
    "gibberish": "Gibberish in reply to harmful requests",
}


def choice_name(choice: str | int, ks: list | None = None) -> str:
    """A choice of k for a reader, with what it comes to where ``ks`` gives each seed's.

    Read from a file, a column with no other choices than numbers has them as numbers.
    """
    choice = str(choice)
    words = {"full": "full rank"}.get(choice) or (choice if " " in choice else f"k = {choice}")
    numbers = list(dict.fromkeys(map(str, ks or [])))
    told = choice.isdigit() or choice == "full" or not numbers
    return words if told else f"{words} (k = {', '.join(numbers)})"


def finding(
    before: pd.DataFrame, points_: pd.DataFrame, gains: pd.DataFrame, differences: pd.DataFrame
) -> Markdown:
    """What the grid says of where models break, and of what protects; tables as ``measure`` makes them."""
    return cells.finding(
        _where_full_breaks(before, points_),
        _gain(rows_of(gains, choice=gains["choice"].iloc[0]), points_),
        _protection(differences),
        _low_or_full(differences),
    )


def _where_full_breaks(before: pd.DataFrame, points_: pd.DataFrame) -> str:
    rows = rows_of(points_, choice="full")
    full, by = rows["breaks_at"], rows["broken_by"].value_counts()
    largest = before["alpha"].max()
    broken = full.dropna()
    if len(broken) == len(full) and not broken.any():
        return "The aligned model of every seed counts as broken already, so nothing can be said of extrapolation."
    if broken.empty:
        return f"Full rank breaks the model of no seed, up to α = {largest:g}."
    at = f"α = {broken.min():g}" if broken.nunique() == 1 else f"α from {broken.min():g} to {broken.max():g}"
    low = points_[points_["choice"] != "full"].pivot(index="seed", columns="choice", values="breaks_at")
    at_full = rows.set_index("seed")["breaks_at"].reindex(low.index)
    later = low.fillna(float("inf")).gt(at_full.fillna(float("inf")), axis=0).sum()
    words = "; ".join(f"{choice_name(c)}: {later[c]} of {len(low)}" for c in low)
    return (
        f"Full rank breaks the model in {counted(len(broken), len(full), 'seeds')}, at {at}: "
        f"{cells.listed(f'by {what} in {number}' for what, number in by.items())}. "
        f"Seeds in which low rank breaks at a larger α than full rank: {words}."
    )


def _gain(gains: pd.DataFrame, points_: pd.DataFrame) -> str:
    """What one choice of k answers, and can do, where full rank is broken."""
    answers, utility = (rows_of(gains, what=what).iloc[0] for what in ("answers", "utility"))
    choice = answers["choice"]
    name = choice_name(choice, list(rows_of(points_, choice=choice)["k"]))
    number = said_of(answers, "more than", "fewer than", "not distinguished in number from")
    level = said_of(utility, "higher than", "lower than", "not distinguished from")
    return (
        f"At α = {answers['alpha']:g}, the harmless questions that {name} answers are {number} those that full rank "
        f"answers ({points(answers)}), and its utility is {level} full rank's ({points(utility)})."
    )


def _protection(differences: pd.DataFrame) -> str:
    protects = differences[differences["first"] == "none"]
    said = [said_of(d, "lower", "higher") for _, d in protects.iterrows()]
    return (
        f"After fine-tuning, the ASR is below that without a defence at "
        f"{counted(said.count('lower'), len(said), 'points')} of the grid (task, k, α) and above it at "
        f"{said.count('higher')}; the others are not distinguished."
    )


def _low_or_full(differences: pd.DataFrame) -> str:
    compared = differences[differences["first"] == "full-rank"]
    said = [said_of(d, "low", "full") for _, d in compared.iterrows()]
    return (
        f"Of {len(said)} comparisons at the same α, low rank has the lower ASR in {said.count('low')}, full rank in "
        f"{said.count('full')}; {said.count('not distinguished')} are not distinguished."
    )


def ablation_before(before: pd.DataFrame) -> Figure:
    """What extrapolation alone does to a model, over α, a line for each choice of k.

    ``before`` has columns choice, seed, k, alpha and the shares drawn; a line is the mean over seeds, its band
    their range.
    """
    figure, panels = stacked([2.4] * len(BEFORE), sharex=True)
    names = {c: choice_name(c, list(rows["k"])) for c, rows in before.groupby("choice", sort=False)}
    colors = {name: K_COLORS.get(str(choice), "C7") for choice, name in names.items()}
    lines = before.assign(k=before["choice"].map(names)).reset_index(drop=True)
    for axes, (column, title) in zip(panels, BEFORE.items()):
        seaborn.lineplot(
            lines, x="alpha", y=column, hue="k", palette=colors, errorbar=("pi", 100), marker=".", ax=axes
        )
        axes.get_legend().remove()
        axes.set(title=title, ylabel="", ylim=(-0.03, 1.03))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    panels[-1].set_xlabel("α")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def ablation_after(after: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR over α after each task, a line for each choice of k: left ours, right the paper's.

    ``after`` has columns choice, seed, task, alpha and asr: a line is the mean over seeds, a dot a seed.
    """
    tasks = attacks_in(after)
    figure, panels = grid_of(len(tasks), 2, sharex=True, sharey=True)
    figure.set_size_inches(NARROW, 2.3 * len(tasks) + 0.8)
    for task, (ours, theirs) in zip(tasks, panels):
        for choice, rows in after[after["task"] == task].groupby("choice", sort=False):
            style = {"color": K_COLORS.get(str(choice), "C7")}
            ours.plot(rows.groupby("alpha")["asr"].mean(), label=choice_name(choice), **style)
            ours.plot(rows["alpha"], rows["asr"], ".", alpha=0.6, **style)
        for k, rows in published[published["task"] == task].groupby("k", sort=False):
            theirs.plot(
                rows["alpha"], rows["asr"], "s:", color=K_COLORS[k], markersize=3, label=f"paper's {k}"
            )
        ours.set(title=TASK_NAMES[task], ylabel="ASR", ylim=(-0.03, 1.03))
        theirs.set_title("paper, read off")
        ours.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in panels[-1]:
        axes.set_xlabel("α")
    lines = [axes.get_legend_handles_labels() for axes in panels[0]]
    figure.legend(*(a + b for a, b in zip(*lines)), loc="outside lower center", ncols=2)
    return figure


def explorable(before: pd.DataFrame, after: pd.DataFrame) -> HTML:
    """Sliders over the grid's means over seeds: ASR and harmless answers, before and after fine-tuning."""
    tasks = [{"name": TASK_NAMES["none"].capitalize(), "choices": _lines_of(before)}]
    tasks += [
        {"name": f"After {TASK_NAMES[t]}", "choices": _lines_of(rows_of(after, task=t))}
        for t in attacks_in(after)
    ]
    grid = json.dumps({"seeds": int(after["seed"].nunique()), "tasks": tasks})
    return HTML(
        f'<div data-explorable="ablation" data-grid="{html.escape(grid)}">This drawing needs JavaScript.</div>\n'
        '<script src="../../_static/explorables.js"></script>'
    )


def _lines_of(rows: pd.DataFrame) -> list[dict]:
    """For each choice of k its points: α, and the means over seeds where every seed has a model there."""
    lines = []
    for choice, group in rows.groupby("choice", sort=False):
        by_alpha = group.groupby("alpha")
        means = by_alpha[["asr", "helpful"]].mean()[by_alpha.size() == group["seed"].nunique()]
        name = choice_name(choice, list(group["k"]))
        lines.append({"name": name, "points": means.reset_index().round(4).to_dict("records")})
    return lines


def breaking(points_: pd.DataFrame, gains: pd.DataFrame) -> Markdown:
    """Where each choice of k breaks, and what it still answers and can do where full rank is broken.

    ``points_`` is of ``measure.breaking_points``, ``gains`` of ``measure.gains``.
    """
    titles = {"answers": "answered", "utility": "utility"}
    alpha = gains["alpha"].iloc[0]
    lines = []
    for choice, group in points_.groupby("choice", sort=False):
        breaks = ", ".join("never" if pd.isna(a) else f"{a:g}" for a in group["breaks_at"])
        line = {"Choice": choice_name(choice, list(group["k"])), "broken first at α, each seed": breaks}
        gained = rows_of(gains, choice=choice).set_index("what")
        for what, title in titles.items():
            here = in_points(gained.loc[what]) if what in gained.index else ""
            line[f"{title} at α = {alpha:g}, minus full rank (points)"] = here
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def ablation_beside_paper(
    after: pd.DataFrame, published: pd.DataFrame, means: pd.DataFrame | None = None
) -> Markdown:
    """ASR after each task for each choice of k and each α, ours beside the paper's, with harmless answers.

    ``means``, of ``measure.after_means``, has the intervals of ours; without it ours is the mean over seeds with
    their range.
    """
    lines = []
    for (task, choice, alpha), ours in after.groupby(["task", "choice", "alpha"], sort=False):
        if alpha == 0 and choice != after["choice"].iloc[0]:
            continue  # the same models for every k
        line = {"Task": TASK_NAMES[task], "k, α": f"{choice}, {alpha:g}" if alpha else "no defence"}
        line["ASR"] = over_seeds(100 * ours["asr"], 0)
        if means is not None:
            mean = rows_of(means, task=task, choice=choice, alpha=alpha).iloc[0]
            line["ASR"] = per_cent(mean["asr"], mean["low"], mean["high"])
        theirs = rows_of(published, task=task, k=str(choice).split()[0], alpha=alpha)["asr"].dropna()
        line["paper's ASR"] = "–" if theirs.empty else paper_rate(theirs.iloc[0])
        lines.append(line | {"helpful": share(ours["helpful"].mean())})
    return markdown(pd.DataFrame(lines))


def low_against_full(differences: pd.DataFrame) -> Markdown:
    """ASR after fine-tuning, full rank minus a low rank at the same α, and what may be said of it.

    A table that holds other differences too is read where ``first`` is full rank.
    """
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[d["task"]],
                "k": d["choice"],
                "α": f"{d['alpha']:g}",
                "full rank minus k (points)": in_points(d),
                "lower ASR": said_of(d, choice_name(d["choice"]), "full rank"),
            }
            for _, d in differences[differences["first"] == "full-rank"].iterrows()
        )
    )
