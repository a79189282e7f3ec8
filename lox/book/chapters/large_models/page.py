"""The figure, tables and sentences of the chapter on the paper's models."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from lox.book import cells
from lox.book.cells import markdown
from lox.book.figures import REFERENCE
from lox.book.names import TASK_NAMES

RUNS = TASK_NAMES | {"alignment": "Alignment (DPO)"}


def finding(memory: pd.DataFrame, hours: pd.DataFrame, gpu_gb: float) -> Markdown:
    """What a run is estimated to take on each GPU and in hours, and whether that fits."""
    totals = memory.groupby(["profile", "task"], sort=False)["gb"].sum()
    sentences = []
    for row in hours.itertuples():
        largest = totals[row.profile].max()
        fits = "fits" if 1.25 * largest <= gpu_gb else "does not fit"
        sentences.append(
            f"**{row.profile}**, estimated: up to {largest:.0f} GB on each of {row.gpus} GPUs, "
            f"which with a quarter more in reserve {fits} into {gpu_gb:g} GB; {row.all:.1f} hours for all seeds of the "
            f"chapter on robustness, {row.replies:.1f} of them for replies on one GPU."
        )
    return cells.finding(
        *sentences, "These are formulas and not measurements: no 7B model was trained for this book."
    )


def held_in_words(table: pd.DataFrame, gpu_gb: float) -> Markdown:
    """``estimates.held``, and for which of the models a single GPU is too small."""
    sizes = cells.listed(f"{row.gb:.0f} GB for `{row.profile}`" for row in table.itertuples())
    too_large = [f"for `{name}`" for name in table.loc[table["gb"] > gpu_gb, "profile"]]
    size = f"is too small {cells.listed(too_large)}" if too_large else "has room for each of them"
    return Markdown(f"That is {sizes}; a single GPU of {gpu_gb:g} GB {size}.")


def memory(table: pd.DataFrame, gpu_gb: float) -> Figure:
    """Gigabytes on each GPU by what they hold: a bar for each run, stacked."""
    wide = table.pivot(index=["profile", "task"], columns="part", values="gb")
    wide = wide.loc[
        table[["profile", "task"]].drop_duplicates().itertuples(index=False, name=None),
        table["part"].unique(),
    ]
    names = [f"{profile},\n{RUNS[task]}" for profile, task in wide.index]
    figure, axes = plt.subplots(figsize=(6.4, 0.75 * len(wide) + 1.4))
    plt.close(figure)
    left = pd.Series(0.0, wide.index)
    for i, part in enumerate(wide.columns):
        axes.barh(
            names,
            wide[part],
            left=left,
            color=plt.get_cmap("cividis")(i / (len(wide.columns) - 1)),
            label=part,
        )
        left += wide[part]
    for place, total in enumerate(left):
        axes.annotate(f"{total:.0f} GB", (total, place), (4, 0), textcoords="offset points", va="center")
    axes.axvline(gpu_gb, color=REFERENCE, linestyle="--", linewidth=1)
    axes.set(xlabel="GB on each GPU, estimated", xlim=(0, max(gpu_gb, left.max()) * 1.15))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def settings(table: pd.DataFrame) -> Markdown:
    """The runs of each profile, one table below the other."""
    blocks = []
    for profile, rows in table.groupby("profile", sort=False):
        shown = pd.DataFrame(
            {
                "Run": [RUNS[task] for task in rows["task"]],
                "examples × epochs": [f"{e} × {n}" for e, n in zip(rows["examples"], rows["epochs"])],
                "GPUs × batch × acc.": rows["batch"].tolist(),
                "total": rows["total"].tolist(),
                "rate": [f"{lr:g}" for lr in rows["lr"]],
            }
        )
        blocks.append(f"`{profile}`\n\n{markdown(shown).data}")
    return Markdown("\n\n".join(blocks))


def checked(table: pd.DataFrame) -> Markdown:
    """Formulas against counts."""
    return markdown(
        pd.DataFrame(
            {
                "Model": row.model,
                "weights": f"{row.weights:,}",
                "counted": "the same" if row.weights == row.counted_weights else f"{row.counted_weights:,}",
                "operations": f"{row.operations:.4g}",
                "left out": f"{100 * (1 - row.operations / row.counted_operations):.1f} %",
            }
            for row in table.itertuples()
        )
    )


def on_disk(measured: float, formula: float, profile: str) -> Markdown:
    return Markdown(
        f"The base model of `{profile}` takes {measured:.3f} MB on disk; the formula says {formula:.3f} MB."
    )


def memory_table(table: pd.DataFrame) -> Markdown:
    """The parts of ``memory`` in numbers, a column for each run, with their sum."""
    runs = [
        f"{profile}, {'DPO' if task == 'alignment' else RUNS[task]}"
        for profile, task in zip(table.profile, table.task)
    ]
    wide = _wide(table.assign(run=runs), "part", "run", "gb")
    wide.loc["**sum**"] = wide.sum()
    return markdown(wide.round(1).rename_axis("GB a GPU").reset_index())


def _wide(table: pd.DataFrame, rows: str, columns: str, values: str) -> pd.DataFrame:
    """A pivot in which rows and columns are in the order in which the table has them."""
    wide = table.pivot(index=rows, columns=columns, values=values)
    return wide.loc[table[rows].unique(), table[columns].unique()]


def outside(table: pd.DataFrame) -> Markdown:
    return markdown(
        pd.DataFrame(
            {
                "GB, estimated": table["profile"],
                "each GPU, before sharing": table["whole"].round(0),
                "main memory, while loading": table["loading"].round(0),
                "disk, all models": table["disk"].round(0),
            }
        )
    )


def lengths(table: pd.DataFrame) -> Markdown:
    """The recorded mean lengths."""
    shown = pd.DataFrame(
        {"Run": table["task"].map(RUNS), "mean characters": table["characters"], "of sequences": table["n"]}
    )
    first = table.iloc[0]
    said = f"Read on {first['date']}, digest of the data `{first['digest']}`."
    return markdown(shown, said)


def hours(table: pd.DataFrame) -> Markdown:
    """GPU hours of every run, a column for each profile."""
    wide = _wide(table, "task", "profile", "hours").rename(index=RUNS)
    return markdown(wide.round(2).rename_axis("GPU hours, estimated").reset_index())


def robustness(table: pd.DataFrame) -> Markdown:
    return markdown(
        pd.DataFrame(
            {
                "Profile": table["profile"],
                "training, GPU hours": table["gpu_hours"].round(1),
                "training, hours": table["training"].round(1),
                "replies, hours": table["replies"].round(1),
                "hours in all": table["all"].round(1),
            }
        )
    )
