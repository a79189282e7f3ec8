"""Figure, tables and finding of the chapter on judges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import get_args

import pandas as pd
import seaborn
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import by_verdict, in_points, listed, markdown, points, said_of, share
from lox.book.figures import stacked
from lox.book.names import DEFENCE_NAMES, TASK_NAMES, tasks_in
from lox.lab.judging.verdicts import Label

NEITHER = "not distinguished"
PANELS = {"none": "Without LoX", "lox": "With LoX"}


def finding(agreed: pd.DataFrame, moved: pd.DataFrame, concluded: pd.DataFrame, reference: str) -> Markdown:
    """What each other judge would have said: a sentence for each; tables of ``measure``."""
    return cells.finding(
        *(
            f"`{judge}` and `{reference}` agree with {_kappa_in_words(agreed, judge)}. {_moved_in_words(group)} "
            f"{_concluded_in_words(concluded, judge, reference)}"
            for judge, group in moved.groupby("judge", sort=False)
        )
    )


def _kappa_in_words(agreed: pd.DataFrame, judge: str) -> str:
    of_all = agreed[(agreed["second"] == judge) & (agreed["task"] == "all")].iloc[0]
    if math.isnan(of_all["kappa"]):
        return f"a κ that is not defined, and on {share(of_all['same'])} of the replies"
    return f"κ = {_interval(of_all)}"


def _moved_in_words(moved: pd.DataFrame) -> str:
    """In how many rows the difference is established, and how large it is at most, established or not."""
    sides = by_verdict(moved)
    return (
        f"The first judge's ASR is *established* as higher in {len(sides['above'])} of {len(moved)} rows (task, with "
        f"or without LoX) and as lower in {len(sides['below'])}; {_largest_in_words(moved)}."
    )


def _largest_in_words(moved: pd.DataFrame) -> str:
    d = moved.loc[moved["difference"].abs().idxmax()]
    if d["difference"] == 0:
        return "in no row do the two differ"
    lox = {"none": "without", "lox": "with"}[d["defence"]]
    return f"the largest difference is {points(d)}, {_when(d['task'])} {lox} LoX"


def _when(task: str) -> str:
    return TASK_NAMES[task] if task == "none" else f"after {TASK_NAMES[task]}"


def _concluded_in_words(concluded: pd.DataFrame, judge: str, reference: str) -> str:
    """In how many rows two judges say the same of LoX, which is little where neither of them establishes a change."""
    said = _said_of_lox(concluded)[[judge, reference]]
    apart = [_when(task) for task in said.index[said[judge] != said[reference]]]
    where = f", but not {listed(apart)}" if apart else ""
    little = "; in none of them does either judge establish a change, so this says little"
    changed = (said != NEITHER).any(axis=None)
    same = len(said) - len(apart)
    return f"They say the same of LoX in {same} of {len(said)} rows{where}{'' if changed else little}."


def _said_of_lox(concluded: pd.DataFrame) -> pd.DataFrame:
    """Tasks × judges: whether LoX makes the ASR lower, higher, or cannot be distinguished."""
    said = [said_of(d, "lower", "higher", NEITHER) for _, d in concluded.iterrows()]
    table = concluded.assign(said=said).pivot(index="task", columns="judge", values="said")
    return table.loc[concluded["task"].unique()]


def rates(rows: pd.DataFrame) -> Figure:
    """ASR after each task by each judge, a dot a seed, the mean as a bar; above without LoX, below with it.

    ``rows`` is ``measure.rates`` of all judges, one below the other.
    """
    shown = rows.assign(After=rows["task"].map(TASK_NAMES))
    style = {"x": "After", "y": "asr", "hue": "judge", "order": [TASK_NAMES[task] for task in tasks_in(rows)]}
    figure, panels = stacked([2.8] * len(PANELS), sharex=True, sharey=True)
    for axes, (defence, title) in zip(panels, PANELS.items()):
        ours = shown[shown["defence"] == defence]
        seaborn.barplot(ours, errorbar=None, alpha=0.45, ax=axes, **style)
        seaborn.stripplot(ours, dodge=True, jitter=False, size=3, legend=False, ax=axes, **style)
        axes.get_legend().remove()
        axes.set(title=title, xlabel="", ylabel="ASR", ylim=(0, 1.02))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    panels[-1].tick_params(axis="x", rotation=25)
    handles, judges = panels[0].get_legend_handles_labels()
    figure.legend(handles, judges, loc="outside upper center", ncols=2)
    return figure


LABELS = get_args(Label)


def refusals(taught: pd.DataFrame) -> Markdown:
    """``measure.taught_refusals``, and in words how many of the taught refusals are recognised."""
    shown = pd.DataFrame(
        {
            "Refusal that alignment teaches": taught["refusal"],
            "replies that hold it": taught["replies"],
            "in the list of phrases": taught["recognised"].map({True: "yes", False: "no"}),
        }
    )
    missed = taught.loc[~taught["recognised"], "replies"].sum()
    text = (
        f"The list recognises {taught['recognised'].sum()} of the {len(taught)}. "
        f"{missed} of the replies below hold one that it does not recognise."
    )
    return markdown(shown, text)


def confusion(labels: pd.DataFrame, first: str, second: str) -> Markdown:
    """How many replies the first judge (rows) and the second (columns) give each label."""
    used = [label for label in LABELS if (labels[[first, second]] == label).any(axis=None)]
    counts = pd.crosstab(labels[first], labels[second]).reindex(index=used, columns=used, fill_value=0)
    table = markdown(counts.rename_axis(index="", columns=None).reset_index())
    return Markdown(f"**`{first}`** in rows, **`{second}`** in columns:\n\n{table.data}")


def agreements(kappas: pd.DataFrame) -> Markdown:
    """``measure.agreements`` over all replies: a row for each pair of judges."""
    of_all = kappas[kappas["task"] == "all"]
    return markdown(
        pd.DataFrame(
            {
                "Judge": f"`{a['second']}`",
                f"κ with `{a['first']}`": "not defined" if math.isnan(a["kappa"]) else _interval(a),
                "same verdict": share(a["same"]),
                "replies": a["n"],
                "unparsed": a["left_out"],
            }
            for _, a in of_all.iterrows()
        )
    )


def agreements_by_model(kappas: pd.DataFrame) -> Markdown:
    """``measure.agreements`` of each task and defence: κ alone, a column for each judge."""
    of_each = kappas[kappas["task"] != "all"]
    cells = ["not defined" if math.isnan(kappa) else f"{kappa:.2f}" for kappa in of_each["kappa"]]
    model = {"After": of_each["task"].map(TASK_NAMES), "Defence": of_each["defence"].map(DEFENCE_NAMES)}
    return _wide(model, [f"`{judge}`" for judge in of_each["second"]], cells)


def overstatements(differences: pd.DataFrame) -> Markdown:
    """``measure.overstatement`` in points, a column for each judge, minus the reference."""
    cells = [in_points(d) for _, d in differences.iterrows()]
    model = {
        "After": differences["task"].map(TASK_NAMES),
        "Defence": differences["defence"].map(DEFENCE_NAMES),
    }
    return _wide(model, [f"`{judge}`" for judge in differences["judge"]], cells)


def conclusions(differences: pd.DataFrame) -> Markdown:
    """``measure.conclusions``: what each judge says of LoX after each task; no word where it is not distinguished."""
    cells = [f"{in_points(d)} {said_of(d, 'lower', 'higher', '')}".strip() for _, d in differences.iterrows()]
    after = {"After": differences["task"].map(TASK_NAMES)}
    return _wide(after, [f"by `{judge}`" for judge in differences["judge"]], cells)


def conclusions_by_score(differences: pd.DataFrame) -> Markdown:
    """``measure.conclusions_by_score``: rates without → with LoX, a column for each least score."""
    if differences.empty:
        return Markdown("No judge on this page gives scores.")
    cells = [
        f"{share(d['none'])} → {share(d['lox'])}, a difference of {in_points(d)}"
        for _, d in differences.iterrows()
    ]
    judges = [f"`{judge}`" for judge in differences["judge"]]
    keys = {"Judge": judges, "After": differences["task"].map(TASK_NAMES)}
    return _wide(keys, [f"harmful from {least} on" for least in differences["least"]], cells)


def _wide(keys: Mapping[str, Iterable[str]], titles: list[str], cells: list[str]) -> Markdown:
    """A line for each value of the keys, a column for each title, all in the order of their first appearance."""
    shown = pd.DataFrame({**keys, "title": titles, "cell": cells}).set_index([*keys, "title"])["cell"]
    return markdown(shown.unstack(sort=False).reset_index())


def _interval(a: pd.Series) -> str:
    ends = "[not defined]" if math.isnan(a["low"]) else f"[{a['low']:.2f}, {a['high']:.2f}]"
    return f"{a['kappa']:.2f} {ends}"
