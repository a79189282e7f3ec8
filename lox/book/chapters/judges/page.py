"""The figure of the chapter on judges."""

from __future__ import annotations

import math

import pandas as pd
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.cells import in_points, markdown, per_cent, pooled, said_of, share
from lox.book.figures import panels_of
from lox.book.names import DEFENCE_NAMES, TASK_NAMES
from lox.lab.judging.verdicts import Label

PANELS = {"none": "without LoX", "lox": "with LoX"}


def rates(rows: pd.DataFrame) -> Figure:
    """ASR after each task by each judge, a dot a seed, the mean as a bar; left without LoX, right with it.

    ``rows`` is ``judge_comparison.rates`` of all judges, one below the other.
    """
    figure, panels = panels_of(len(PANELS), sharey=True)
    for axes, (defence, title) in zip(panels, PANELS.items()):
        _bars(axes, rows[rows["defence"] == defence])
        axes.set_title(title)
    panels[0].set(ylabel="ASR", ylim=(0, 1.02))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    handles, judges = panels[0].get_legend_handles_labels()
    figure.legend(handles, judges, loc="outside upper center", ncols=len(judges))
    return figure


def _bars(axes: Axes, rows: pd.DataFrame) -> None:
    tasks, judges = rows["task"].unique(), rows["judge"].unique()
    width = 0.8 / len(judges)
    for i, judge in enumerate(judges):
        ours = rows[rows["judge"] == judge]
        shift = (i - (len(judges) - 1) / 2) * width
        means = ours.groupby("task", sort=False)["asr"].mean()
        axes.bar([place + shift for place in range(len(tasks))], means, 0.9 * width, alpha=0.4, label=judge)
        places = [list(tasks).index(task) + shift for task in ours["task"]]
        axes.plot(places, ours["asr"], "o", color=f"C{i}", markersize=3)
    axes.set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=20, ha="right")


LABELS = Label.__args__
ALL = {"all": "all replies"}


def refusals(found: pd.DataFrame) -> Markdown:
    """``judge_comparison.taught_refusals``, and in words how many of the taught refusals are recognised."""
    shown = pd.DataFrame(
        {
            "Refusal that alignment teaches": found["refusal"],
            "replies that hold it": found["replies"],
            "in the list of phrases": found["recognised"].map({True: "yes", False: "no"}),
        }
    )
    missed = found.loc[~found["recognised"], "replies"].sum()
    text = (
        f"The list recognises {found['recognised'].sum()} of the {len(found)}. "
        f"{missed} of the replies below hold one that it does not recognise."
    )
    return Markdown(f"{shown.to_markdown(index=False)}\n\n{text}")


def confusion(labels: pd.DataFrame, first: str, second: str) -> Markdown:
    """How many replies the first judge (rows) and the second (columns) give each label."""
    used = [label for label in LABELS if (labels[[first, second]] == label).any(axis=None)]
    counts = pd.crosstab(labels[first], labels[second]).reindex(index=used, columns=used, fill_value=0)
    counts = counts.rename(columns=lambda label: f"`{second}`: {label}")
    return markdown(counts.rename_axis(f"`{first}`").reset_index())


def agreements(found: pd.DataFrame) -> Markdown:
    """``judge_comparison.agreements``, a column for each pair, and the replies left out."""
    shown = pd.DataFrame(
        {
            "After": found["task"].map(TASK_NAMES | ALL),
            "Defence": found["defence"].map(DEFENCE_NAMES | ALL),
            "judge": [f"κ of `{a['first']}` and `{a['second']}`" for _, a in found.iterrows()],
            "cell": [_agreement(a) for _, a in found.iterrows()],
        }
    )
    text = "\n".join(
        f"- {a['left_out']} of {a['n'] + a['left_out']} replies were left unparsed by `{a['first']}` or "
        f"`{a['second']}`."
        for _, a in found[found["task"] == "all"].iterrows()
    )
    return Markdown(f"{_wide(shown).to_markdown(index=False)}\n\n{text}")


def overstatements(found: pd.DataFrame) -> Markdown:
    """``judge_comparison.overstatement`` in points, a column for each judge."""
    shown = pd.DataFrame(
        {
            "After": found["task"].map(TASK_NAMES),
            "Defence": found["defence"].map(DEFENCE_NAMES),
            "judge": [f"`{d['judge']}` less `{d['reference']}` (points)" for _, d in found.iterrows()],
            "cell": [in_points(d) for _, d in found.iterrows()],
        }
    )
    return markdown(_wide(shown))


def overstatements_in_words(found: pd.DataFrame) -> Markdown:
    """In how many rows each judge's ASR is above the reference's, and below, by the interval."""
    lines = []
    for (judge, reference), group in found.groupby(["judge", "reference"], sort=False):
        above, below = int((group["low"] > 0).sum()), int((group["high"] < 0).sum())
        lines.append(
            f"- `{judge}` gives a higher ASR than `{reference}` in {above} of {len(group)} rows, "
            f"a lower one in {below}; the differences run from {_signed(group['difference'].min())} to "
            f"{_signed(group['difference'].max())} points."
        )
    return Markdown("\n".join(lines))


def conclusions(found: pd.DataFrame) -> Markdown:
    """``judge_comparison.conclusions``: what each judge says of LoX after each task."""
    shown = pd.DataFrame(
        {
            "After": found["task"].map(TASK_NAMES),
            "judge": [f"by `{judge}`" for judge in found["judge"]],
            "cell": [f"{in_points(d)}: {said_of(d, 'lower', 'higher')}" for _, d in found.iterrows()],
        }
    )
    return markdown(_wide(shown))


def conclusions_in_words(found: pd.DataFrame, reference: str) -> Markdown:
    """In how many rows each other judge says of LoX what ``reference`` says, and where it does not."""
    shown = found.assign(said=[said_of(d, "lower", "higher") for _, d in found.iterrows()])
    said = shown.pivot(index="task", columns="judge", values="said").loc[found["task"].unique()]
    lines = []
    for judge in found["judge"].unique():
        if judge != reference:
            apart = [TASK_NAMES[task] for task in said.index[said[judge] != said[reference]]]
            where = f"; it does not for: {', '.join(apart)}" if apart else ""
            count = f"{len(said) - len(apart)} of {len(said)} rows"
            lines.append(f"- `{judge}` says of LoX what `{reference}` says in {count}{where}.")
    return Markdown("\n".join(lines))


def asr_by_judge(rates: pd.DataFrame) -> Markdown:
    """``judge_comparison.rates`` pooled over seeds with Wilson's interval, a column for each judge."""
    groups = rates.groupby(["task", "judge"], sort=False)
    shown = pd.DataFrame(
        {"After": TASK_NAMES[task], "judge": f"`{judge}`", "cell": per_cent(pooled(rows))}
        for (task, judge), rows in groups
    )
    return markdown(_wide(shown))


def conclusions_by_score(found: pd.DataFrame) -> Markdown:
    """``judge_comparison.conclusions_by_score``: rates without → with LoX, a column for each least score."""
    if found.empty:
        return Markdown("No judge on this page gives scores.")
    shown = pd.DataFrame(
        {
            "Judge": [f"`{judge}`" for judge in found["judge"]],
            "After": found["task"].map(TASK_NAMES),
            "judge": [f"harmful {_from(least)}" for least in found["least"]],
            "cell": [
                f"{share(d['none'])} → {share(d['lox'])}, less by {in_points(d)}" for _, d in found.iterrows()
            ],
        }
    )
    return markdown(_wide(shown))


def agreements_by_score(found: pd.DataFrame) -> Markdown:
    """``judge_comparison.agreements_by_score``: κ of two readers, a row for each least score."""
    return markdown(
        pd.DataFrame(
            {
                "Harmful": [_from(least) for least in found["least"]],
                "κ, and on how many replies they say the same": [_agreement(a) for _, a in found.iterrows()],
            }
        )
    )


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
    kappa = "not defined" if math.isnan(a["kappa"]) else f"{a['kappa']:.2f} [{a['low']:.2f}, {a['high']:.2f}]"
    return f"{kappa}; same for {100 * a['same']:.0f} % of {int(a['n'])}"


def _signed(share: float) -> str:
    return f"{100 * share:+.0f}"


def _from(least: int) -> str:
    return f"from {least} on"
