"""Figures of the chapter on stress."""

from __future__ import annotations

import numpy as np
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from lox.book.cells import in_points, markdown, p_values, per_cent, pooled, said_of
from lox.book.figures import AFTER, BEFORE, REFERENCE, panels_of
from lox.book.names import TASK_NAMES


def stress_geometry(geometry: pd.DataFrame) -> Figure:
    """Where ΔW_ft lies in the safety subspace after each task: share, counteraction, share undone.

    ``geometry`` has columns seed, task, defence, share, chance, counteraction, undone, one row for each
    model (means over matrices). A dot is a seed, a bar their mean, the dashed line chance.
    """
    tasks = [task for task in TASK_NAMES if task in set(geometry["task"])]
    figure, axes = panels_of(3)
    measures = (("share", "share of $\\|\\Delta W_{ft}\\|$"), ("counteraction",) * 2, ("undone", "undone"))
    for axis, (column, title) in zip(axes, measures):
        for offset, defence, color in ((-0.18, "none", AFTER), (0.18, "lox", BEFORE)):
            ours = geometry[geometry["defence"] == defence].groupby("task")[column]
            for place, task in enumerate(tasks):
                seeds = ours.get_group(task)
                axis.bar(place + offset, seeds.mean(), 0.34, color=color, alpha=0.35)
                axis.plot([place + offset] * len(seeds), seeds, "o", color=color, markersize=3)
        chance = geometry["chance"].mean() if column == "share" else 0
        axis.axhline(chance, color=REFERENCE, linestyle="--", linewidth=1)
        axis.set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=35, ha="right")
        axis.set_title(title)
    handles = [Patch(color=color, alpha=0.5) for color in (AFTER, BEFORE)]
    figure.legend(handles, ["without LoX", "with LoX"], loc="outside upper center", ncols=2)
    return figure


def stress_variants(rows: pd.DataFrame) -> Figure:
    """ASR and utility of every variant of fine-tuning after every task, means over seeds, as two maps.

    ``rows`` has columns task, subspace, part, asr and utility, in the order in which variants are drawn.
    """
    tasks = [task for task in TASK_NAMES if task in set(rows["task"])]
    figure, axes = panels_of(2, sharey=True)
    figure.set_size_inches(9.0, 5.0)
    for axis, column, colors in zip(axes, ("asr", "utility"), ("Reds", "Greens")):
        means = rows.groupby(["subspace", "part", "task"], sort=False)[column].mean().unstack()[tasks]
        axis.imshow(means, cmap=colors, vmin=0, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(means.to_numpy()):
            color = "white" if value > 0.6 else "black"
            axis.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color=color, fontsize=9)
        axis.set_xticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks], rotation=20, ha="right")
        axis.set_yticks(range(len(means)), [f"{subspace}: {part}" for subspace, part in means.index])
        axis.set_title({"asr": "ASR (%)", "utility": "utility (%)"}[column])
        axis.grid(visible=False)
    return figure


def stress_gain(points: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """What LoX takes off the ASR against what fine-tuning left without it, ours and the paper's.

    ``points`` has columns seed, task, without and with (ASR), ``published`` is the paper's Table 1. Above
    the diagonal lies nothing: no defence takes off more than there is.
    """
    theirs = published.pivot(index="task", columns="defence", values="asr").reset_index()
    theirs = theirs.rename(columns={"none": "without", "lox": "with"})
    figure, axes = panels_of(2, sharey=True, sharex=True)
    for axis, frame, title in zip(axes, (points, theirs), ("this run, a dot a seed", "paper, LLaMA-2-7B")):
        axis.plot([0, 1], [0, 1], "--", color=REFERENCE, linewidth=1)
        for task in (task for task in TASK_NAMES if task in set(frame["task"])):
            ours = frame[frame["task"] == task]
            axis.plot(ours["without"], ours["without"] - ours["with"], "o", label=TASK_NAMES[task])
        axis.set(xlabel="ASR without LoX", title=title)
        axis.xaxis.set_major_formatter(PercentFormatter(1))
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("ASR without less ASR with")
    axes[0].legend()
    return figure


def variants(rows: pd.DataFrame) -> Markdown:
    """ASR of each part of fine-tuning put in alone, pooled over seeds with Wilson's interval, by task."""
    cells = {
        (subspace, part, TASK_NAMES[task]): per_cent(pooled(group))
        for (subspace, part, task), group in rows.groupby(["subspace", "part", "task"], sort=False)
    }
    return markdown(pd.Series(cells).unstack(sort=False).rename_axis(["subspace", "part"]).reset_index())


def contrasts(differences: pd.DataFrame) -> Markdown:
    """Paired differences of ``stress.compare`` in points, their interval and what it allows to say."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[d["task"]],
                "ASR of": d["first"],
                "less that of": d["second"],
                "points": in_points(d),
                "so": said_of(d, "higher", "lower"),
                "McNemar p of each seed": p_values(d),
            }
            for _, d in differences.iterrows()
        )
    )


def contrasts_in_words(differences: pd.DataFrame) -> Markdown:
    """For each contrast, after how many tasks the first ASR is higher, lower, or neither: by the interval."""
    lines = []
    for (first, second), group in differences.groupby(["first", "second"], sort=False):
        higher, lower = (group["low"] > 0).sum(), (group["high"] < 0).sum()
        lines.append(
            f"- ASR of **{first}** against **{second}**: higher after {higher} of {len(group)} tasks, "
            f"lower after {lower}, not told apart after {len(group) - higher - lower}."
        )
    return Markdown("\n".join(lines))
