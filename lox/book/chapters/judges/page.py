"""Figure, tables and finding of the chapter on judges."""

from __future__ import annotations

import math
from typing import get_args

import pandas as pd
import seaborn
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import in_points, markdown, said_of, share
from lox.book.figures import stacked
from lox.book.names import DEFENCE_NAMES, TASK_NAMES, tasks_in
from lox.lab.judging.verdicts import Label

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
    said = [said_of(d, "higher", "lower", "neither") for _, d in moved.iterrows()]
    return (
        f"By the first judge the ASR is higher in {said.count('higher')} of {len(said)} rows (task, with or without "
        f"LoX) and lower in {said.count('lower')}."
    )


def _concluded_in_words(concluded: pd.DataFrame, judge: str, reference: str) -> str:
    said = _said_of_lox(concluded)
    apart = [TASK_NAMES[task] for task in said.index[said[judge] != said[reference]]]
    where = f", but not for {', '.join(apart)}" if apart else ""
    return f"They say the same of LoX in {len(said) - len(apart)} of {len(said)} rows{where}."


def _said_of_lox(concluded: pd.DataFrame) -> pd.DataFrame:
    """Tasks × judges: whether LoX makes the ASR lower, higher, or cannot be distinguished."""
    said = [said_of(d, "lower", "higher") for _, d in concluded.iterrows()]
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
    shown = pd.DataFrame(
        {
            "After": of_each["task"].map(TASK_NAMES),
            "Defence": of_each["defence"].map(DEFENCE_NAMES),
            "judge": [f"`{judge}`" for judge in of_each["second"]],
            "cell": ["not defined" if math.isnan(k) else f"{k:.2f}" for k in of_each["kappa"]],
        }
    )
    return markdown(_wide(shown))


def overstatements(differences: pd.DataFrame) -> Markdown:
    """``measure.overstatement`` in points, a column for each judge, minus the reference."""
    shown = pd.DataFrame(
        {
            "After": differences["task"].map(TASK_NAMES),
            "Defence": differences["defence"].map(DEFENCE_NAMES),
            "judge": [f"`{judge}`" for judge in differences["judge"]],
            "cell": [in_points(d) for _, d in differences.iterrows()],
        }
    )
    return markdown(_wide(shown))


def conclusions(differences: pd.DataFrame) -> Markdown:
    """``measure.conclusions``: what each judge says of LoX after each task; no word where it is not distinguished."""
    said = [said_of(d, "lower", "higher", "") for _, d in differences.iterrows()]
    shown = pd.DataFrame(
        {
            "After": differences["task"].map(TASK_NAMES),
            "judge": [f"by `{judge}`" for judge in differences["judge"]],
            "cell": [f"{in_points(d)} {word}".strip() for word, (_, d) in zip(said, differences.iterrows())],
        }
    )
    return markdown(_wide(shown))


def conclusions_by_score(differences: pd.DataFrame) -> Markdown:
    """``measure.conclusions_by_score``: rates without → with LoX, a column for each least score."""
    if differences.empty:
        return Markdown("No judge on this page gives scores.")
    shown = pd.DataFrame(
        {
            "Judge": [f"`{judge}`" for judge in differences["judge"]],
            "After": differences["task"].map(TASK_NAMES),
            "judge": [f"harmful {_from(least)}" for least in differences["least"]],
            "cell": [
                f"{share(d['none'])} → {share(d['lox'])}, a difference of {in_points(d)}"
                for _, d in differences.iterrows()
            ],
        }
    )
    return markdown(_wide(shown))


def _wide(shown: pd.DataFrame) -> pd.DataFrame:
    """Columns judge and cell as one column for each judge, all in the order of their first appearance."""
    keys = [column for column in shown if column not in ("judge", "cell")]
    columns = [
        group.drop(columns="judge").rename(columns={"cell": judge}).set_index(keys)
        for judge, group in shown.groupby("judge", sort=False)
    ]
    return pd.concat(columns, axis=1).reset_index()


def _agreement(a: pd.Series) -> str:
    """κ with its interval, which is not defined where a judge says the same of every reply."""
    if not a["n"]:
        return "no reply that both have read"
    kappa = "not defined" if math.isnan(a["kappa"]) else _interval(a)
    return f"{kappa}; same for {100 * a['same']:.0f} % of {int(a['n'])}"


def _interval(a: pd.Series) -> str:
    ends = "[not defined]" if math.isnan(a["low"]) else f"[{a['low']:.2f}, {a['high']:.2f}]"
    return f"{a['kappa']:.2f} {ends}"


def _from(least: int) -> str:
    return f"from {least} on"
