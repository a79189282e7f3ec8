"""The figure of the chapter on persistence."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.cells import in_points, markdown, rows_of, said_of
from lox.book.figures import AFTER, BEFORE, grid_of
from lox.book.names import DEFENCE_NAMES, TASK_NAMES


def persistence(rows: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """ASR and utility after each epoch without and with LoX, beside the paper's ASR; a line of panels a task.

    ``rows`` has columns seed, task, lr, defence, epoch, asr and utility: a line is the mean over seeds,
    its band their range. The smaller learning rate is drawn solid, the larger dashed.
    """
    tasks = [task for task in TASK_NAMES if task in set(rows["task"])]
    figure, panels = grid_of(len(tasks), 3, sharey=True)
    for line, task in zip(panels, tasks):
        for axes, data, column, title in (
            (line[0], rows, "asr", "ASR, this run"),
            (line[1], rows, "utility", "utility, this run"),
            (line[2], published, "asr", "ASR, paper (read off)"),
        ):
            _epochs(axes, data[data["task"] == task], column)
            axes.set_title(f"{TASK_NAMES[task]}: {title}")
        for axes in line[1:]:  # the first panel has the second's lines
            axes.legend(loc="best", fontsize=7.5)
        line[0].set_ylim(-0.03, 1.03)
        line[0].yaxis.set_major_formatter(PercentFormatter(1))
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    return figure


def _epochs(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    for style, lr in zip(("-", "--"), sorted(rows["lr"].unique())):
        for defence, color in (("none", AFTER), ("lox", BEFORE)):
            chosen = rows[(rows["lr"] == lr) & (rows["defence"] == defence)]
            values = chosen.groupby("epoch")[column].agg(["mean", "min", "max"])
            label = f"{DEFENCE_NAMES[defence]}, lr {lr:g}"
            axes.plot(values.index, values["mean"], style, color=color, label=label)
            axes.fill_between(values.index, values["min"], values["max"], color=color, alpha=0.12, lw=0)


def gains_beside_paper(differences: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """What LoX takes off the ASR after some epochs, in points, beside what it does in the paper.

    ``differences`` has a paired difference, none less lox, for each task, lr and epoch, and rate_rank, the
    place of its lr among the task's (0 the smallest), by which the paper's learning rates are matched.
    """
    lines = []
    for _, d in differences.iterrows():
        theirs = rows_of(published, task=d["task"], epoch=d["epoch"])
        lr = sorted(theirs["lr"].unique())[d["rate_rank"]] if len(theirs) else None
        asr = rows_of(theirs, lr=lr).set_index("defence")["asr"]
        lines.append(
            {
                "Task": TASK_NAMES[d["task"]],
                "lr": f"{d['lr']:g}",
                "Epoch": d["epoch"],
                "ASR, none less LoX (points)": in_points(d),
                "lower ASR": said_of(d, "LoX", "none"),
                "paper's lr": f"{lr:g}" if len(asr) else "",
                "paper (points, no pairs published)": (
                    f"{100 * (asr['none'] - asr['lox']):.0f}" if len(asr) else "not published"
                ),
            }
        )
    return markdown(pd.DataFrame(lines))


def persistence_in_words(differences: pd.DataFrame, growth: pd.DataFrame) -> Markdown:
    """At which epochs LoX has the lower ASR, by the interval, and whether its own ASR grows with more epochs.

    ``growth`` has, for each task and lr, the paired difference of LoX's ASR, last epoch less first.
    """
    grown = growth.set_index(["task", "lr"])
    lines = []
    for (task, lr), group in differences.groupby(["task", "lr"], sort=False):
        lower = [str(d["epoch"]) for _, d in group.iterrows() if d["low"] > 0]
        rest = [str(d["epoch"]) for _, d in group.iterrows() if d["low"] <= 0]
        parts = [f"lower with LoX after epoch {', '.join(lower)}"] if lower else []
        parts += [f"not shown to be lower after epoch {', '.join(rest)}"] if rest else []
        g = grown.loc[task, lr]
        trend = said_of(g, "grows", "falls", "is not shown to change")
        lines.append(
            f"- **{TASK_NAMES[task]}, lr {lr:g}**: ASR {'; '.join(parts)}. With LoX it {trend} from the "
            f"first epoch to the last: {in_points(g)} points."
        )
    return Markdown("\n".join(lines))
