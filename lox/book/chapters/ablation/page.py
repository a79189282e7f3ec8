"""Figures of the k × α ablation."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.cells import (
    COSTS,
    in_points,
    markdown,
    mean_shares,
    paper_rate,
    per_cent,
    pooled,
    rows_of,
    said_of,
)
from lox.book.figures import grid_of
from lox.book.names import TASK_NAMES

# each choice of k, and the paper's k of the same reading
K_COLORS = {"6 of 4096": "C0", "100 of 4096": "C1", "100": "C1", "500 of 4096": "C2"}


K_COLORS |= {"500": "C2", "6": "C3", "full": "C4", "effective rank": "C5"}


def ablation_before(before: pd.DataFrame) -> Figure:
    """What extrapolation alone does to a model, over α, a line for each choice of k.

    ``before`` has columns choice, seed, alpha and the four shares drawn; a line is the mean over seeds,
    its band their range.
    """
    figure, panels = grid_of(2, 2, sharex=True, sharey=True)
    shown = {
        "helpful": "harmless questions answered",
        "utility": "problems solved (utility)",
        "over_refusal": "harmless questions refused",
        "gibberish": "gibberish to harmful requests",
    }
    for axes, (column, title) in zip(sum(panels, []), shown.items()):
        for choice, rows in before.groupby("choice", sort=False):
            values = rows.groupby("alpha")[column].agg(["mean", "min", "max"])
            axes.plot(values.index, values["mean"], ".-", color=K_COLORS[choice], label=f"k: {choice}")
            axes.fill_between(
                values.index, values["min"], values["max"], color=K_COLORS[choice], alpha=0.1, lw=0
            )
        axes.set_title(title)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    panels[0][0].set_ylim(-0.03, 1.03)
    for axes in panels[1]:
        axes.set_xlabel("α")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def ablation_after(after: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR over α after each task, a line for each choice of k, above ours, below the paper's.

    ``after`` has columns choice, seed, task, alpha and asr: a line is the mean over seeds, a dot a seed.
    """
    tasks = [task for task in TASK_NAMES if task in set(after["task"])]
    figure, panels = grid_of(2, len(tasks), sharex=True, sharey=True)
    for place, task in enumerate(tasks):
        for choice, rows in after[after["task"] == task].groupby("choice", sort=False):
            means = rows.groupby("alpha")["asr"].mean()
            panels[0][place].plot(means.index, means, "-", color=K_COLORS[choice], label=f"k: {choice}")
            panels[0][place].plot(rows["alpha"], rows["asr"], ".", color=K_COLORS[choice], alpha=0.6)
        for k, rows in published[published["task"] == task].groupby("k", sort=False):
            panels[1][place].plot(
                rows["alpha"], rows["asr"], "s:", color=K_COLORS[k], markersize=3, label=f"k: {k}"
            )
        panels[0][place].set_title(f"{TASK_NAMES[task]}, this run")
        panels[1][place].set(title=f"{TASK_NAMES[task]}, paper (read off)", xlabel="α")
    for line in panels:
        line[0].set(ylabel="ASR", ylim=(-0.03, 1.03))
        line[0].yaxis.set_major_formatter(PercentFormatter(1))
        line[0].legend(loc="upper right")
    return figure


def breaking(points: pd.DataFrame, gains: pd.DataFrame, alpha: float) -> Markdown:
    """Where each choice of k breaks, and what it still answers where full rank is broken.

    ``points`` is of ``ablation.breaking_points``; ``gains`` has a paired difference, choice less full rank,
    of the harmless questions answered at ``alpha``, a row for each choice.
    """
    gained = gains.set_index("choice")
    lines = []
    for choice, group in points.groupby("choice", sort=False):
        line = {
            "k": choice,
            "as a number, each seed": ", ".join(map(str, group["k"])),
            "broken first at α, each seed": ", ".join(
                "never" if pd.isna(a) else f"{a:g}" for a in group["breaks_at"]
            ),
            f"answered at α = {alpha:g}, less full rank (points)": (
                in_points(gained.loc[choice]) if choice in gained.index else ""
            ),
        }
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def breaking_in_words(points: pd.DataFrame) -> Markdown:
    """In how many seeds each choice of k breaks later than full rank, sooner, or at the same α."""
    at = points.pivot(index="seed", columns="choice", values="breaks_at").fillna(float("inf"))
    lines = []
    for choice in points["choice"].unique():
        if choice != "full":
            later, sooner = int((at[choice] > at["full"]).sum()), int((at[choice] < at["full"]).sum())
            same = len(at) - later - sooner
            lines.append(
                f"- **k: {choice}** breaks at a larger α than full rank in {later} of {len(at)} seeds, at a "
                f"smaller one in {sooner}, at the same in {same}."
            )
    return Markdown("\n".join(lines))


def ablation_beside_paper(after: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """ASR after each task for each choice of k and each α, ours beside the paper's, with what it costs."""
    lines = []
    for (task, choice, alpha), ours in after.groupby(["task", "choice", "alpha"], sort=False):
        if alpha == 0 and choice != after["choice"].iloc[0]:
            continue  # the same models for every k
        k = choice.split()[0]
        theirs = rows_of(published, task=task, k=k, alpha=alpha)["asr"].dropna()
        lines.append(
            {
                "Task": TASK_NAMES[task],
                "k": choice if alpha else "any",
                "α": f"{alpha:g}",
                "ASR": per_cent(pooled(ours)),
                "paper": "not published" if theirs.empty else per_cent(paper_rate(theirs.iloc[0])),
            }
            | mean_shares(ours, COSTS)
        )
    return markdown(pd.DataFrame(lines))


def low_against_full(differences: pd.DataFrame) -> Markdown:
    """ASR after fine-tuning, full rank less a low rank at the same α, and what its interval allows to say."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[d["task"]],
                "k": d["choice"],
                "α": f"{d['alpha']:g}",
                "ASR, full rank less this (points)": in_points(d),
                "so the lower ASR has": said_of(d, f"k: {d['choice']}", "full rank"),
            }
            for _, d in differences.iterrows()
        )
    )
