"""What LoX takes off the ASR, epoch by epoch."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.tables.cells import in_points, markdown, rows_of, said_of
from lox.tables.names import TASK_NAMES


def persistence(differences: pd.DataFrame, published: pd.DataFrame) -> Markdown:
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
