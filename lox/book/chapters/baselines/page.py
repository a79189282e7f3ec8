"""The figure of defences side by side."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.cells import COSTS, in_points, markdown, mean_shares, per_cent, pooled, rows_of, share
from lox.book.figures import AFTER, BEFORE, panels_of
from lox.book.names import DEFENCE_NAMES, TASK_NAMES, attacks_in

DEFENCE_COLORS = {"none": AFTER, "lox": BEFORE, "full-rank": "C2", "safeinst": "C3", "removal": "C4"}


def baselines(rows: pd.DataFrame) -> Figure:
    """ASR after each task under each defence, a dot a seed; right, ASR against harmless questions answered.

    On the right a mark is a task, its mean over seeds; the ring of each colour is the mean over tasks.
    """
    rows = rows[rows["task"] != "none"]
    tasks = [task for task in TASK_NAMES if task in set(rows["task"])]
    defences = list(dict.fromkeys(rows["defence"]))
    figure, axes = panels_of(2, sharey=True, width_ratios=(3, 2))
    width = 0.8 / len(defences)
    for i, defence in enumerate(defences):
        ours, color = rows[rows["defence"] == defence], DEFENCE_COLORS[defence]
        means = ours.groupby("task")[["asr", "helpful"]].mean().loc[tasks]
        places = [place + (i - (len(defences) - 1) / 2) * width for place in range(len(tasks))]
        axes[0].bar(places, means["asr"], 0.9 * width, color=color, alpha=0.4, label=DEFENCE_NAMES[defence])
        for place, task in zip(places, tasks):
            seeds = ours.loc[ours["task"] == task, "asr"]
            axes[0].plot([place] * len(seeds), seeds, "o", color=color, markersize=3)
        axes[1].plot(means["helpful"], means["asr"], "o", color=color, markersize=4, alpha=0.7)
        axes[1].plot(*means[["helpful", "asr"]].mean(), "o", color=color, markersize=12, fillstyle="none")
    axes[0].set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=20, ha="right")
    axes[0].set(ylabel="ASR", ylim=(-0.03, 1.02))
    axes[1].set(xlabel="harmless questions answered", xlim=(-0.03, 1.03))
    for axis in (axes[0].yaxis, axes[1].xaxis):
        axis.set_major_formatter(PercentFormatter(1))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(defences))
    return figure


SIGNIFICANT = 0.05


def defences(rows: pd.DataFrame, differences: pd.DataFrame) -> Markdown:
    """Every defence after every task: ASR, the paired difference to none, and what it costs.

    ``differences`` is of ``baselines.against_none``. Costs are means over seeds.
    """
    tested = {(d["task"], d["second"]): d for _, d in differences.iterrows()}
    lines = []
    for task in attacks_in(rows):
        for defence in dict.fromkeys(rows["defence"]):
            ours = rows_of(rows, task=task, defence=defence)
            d = tested.get((task, defence))
            line = {
                "Task": TASK_NAMES[task],
                "Defence": DEFENCE_NAMES[defence],
                "ASR": per_cent(pooled(ours)),
                "none less this (points)": "" if d is None else in_points(d),
                f"seeds with p < {SIGNIFICANT:g}": "" if d is None else _significant(d),
            }
            lines.append(line | mean_shares(ours, COSTS))
    return markdown(pd.DataFrame(lines))


def defences_in_words(differences: pd.DataFrame) -> Markdown:
    """For each defence the tasks after which it lowers the ASR, raises it, or neither: by the interval."""
    lines = []
    for defence, group in differences.groupby("second", sort=False):
        said = {
            "lower": group["low"] > 0,
            "higher": group["high"] < 0,
            "not told apart": (group["low"] <= 0) & (group["high"] >= 0),
        }
        parts = [
            f"{word} after {', '.join(TASK_NAMES[t] for t in group.loc[which, 'task'])}"
            for word, which in said.items()
            if which.any()
        ]
        lines.append(f"- **{DEFENCE_NAMES[defence]}**: ASR {'; '.join(parts)}.")
    return Markdown("\n".join(lines))


def defences_beside_paper(rows: pd.DataFrame, table1: pd.DataFrame, ablation: pd.DataFrame) -> Markdown:
    """ASR under the defences that the paper reports, ours beside its own.

    Its full-rank extrapolation is from the ablation, at the largest α for which it gives a value.
    """
    full = ablation[(ablation["k"] == "full") & ablation["asr"].notna()].sort_values("alpha")
    lines = []
    for task in attacks_in(rows):
        line = {"Task": TASK_NAMES[task]}
        for defence in ("none", "lox", "full-rank"):
            ours = rows_of(rows, task=task, defence=defence)
            line[DEFENCE_NAMES[defence]] = share(ours["asr"].mean())
            theirs = full if defence == "full-rank" else rows_of(table1, defence=defence)
            line[f"paper, {DEFENCE_NAMES[defence]}"] = _last_published(rows_of(theirs, task=task))
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def _last_published(theirs: pd.DataFrame) -> str:
    """The ASR of the last row, with its α where the paper's table has several."""
    if theirs.empty:
        return "not published"
    last = theirs.iloc[-1]
    return share(last["asr"]) + (f" (α = {last['alpha']:g})" if "alpha" in last else "")


def _significant(d: pd.Series) -> str:
    return f"{sum(p < SIGNIFICANT for p in d['p_holm'])} of {len(d['p_holm'])}"
