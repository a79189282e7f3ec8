"""Tables of the chapter on a real language model."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from IPython.display import Markdown

from lox.book import cells
from lox.book.cells import in_points, markdown, rows_of, said_of, share
from lox.book.names import TASK_NAMES
from lox.lab.profile import Profile

DEFENCES = ("none", "lox")
JUDGES = {
    "sheet:reader": "blind reader",
    "refusal-or-evasion": "refusal or evasion",
    "refusal-phrases": "refusal phrases",
    "phrases-alone": "phrases alone",
}
IN_PERSONA = "none, in persona"  # the aligned model, asked in the persona of identity shifting
TASKS = {}
for _task, _name in TASK_NAMES.items():
    TASKS |= {IN_PERSONA: "before, in persona"} if _task == "identity" else {}
    TASKS[_task] = _name
PARTS = {
    ("all", "nothing"): "nothing of it",
    ("all", "whole"): "all of it",
    ("safety", "inside"): "inside the safety subspace",
    ("safety", "outside"): "all but the safety subspace",
    ("random", "inside"): "inside random directions",
    ("random", "inside, scaled"): "random, as long as the safety part",
    ("random", "outside"): "all but random directions",
    ("bottom", "inside"): "inside the bottom directions",
    ("bottom", "outside"): "all but the bottom directions",
    ("own", "inside"): "its own top directions",
    ("own", "outside"): "all but its own top directions",
}
CONTRASTS = {f"{subspace}: {part}": name for (subspace, part), name in PARTS.items()} | {
    "all: split only": "all, projected matrices only",
    "safety: outside, split only": "all but safety, projected matrices only",
}


def settings(profile: Profile) -> Markdown:
    """Every training run of a profile: on how much, how fast."""
    runs = {"Alignment": profile.alignment} | {TASK_NAMES[t]: s for t, s in profile.attacks.items()}
    return markdown(
        pd.DataFrame(
            {
                "Training": name,
                "examples × epochs": f"{run.examples} × {run.epochs}",
                "batch": run.batch * run.accumulation,
                "rate": f"{run.lr:g}",
                "tokens": run.max_length,
            }
            for name, run in runs.items()
        )
    )


def runs(records: pd.DataFrame) -> Markdown:
    """``lox.book.results.records`` as a folded list: the commands are long."""
    lines = [
        f"- {r['Command']}: seeds {r['Seeds']}; computing {r['Computing']}, {r['Peak memory']} at the peak; "
        f"{r['Machine']}; {r['When']}; code {r['Code']}"
        for _, r in records.iterrows()
    ]
    lines += [
        "",
        "*Computing* is the time of all models and replies that a table rests on; tables share most of them.",
    ]
    body = "\n".join(lines)
    return Markdown(
        f":::{{admonition}} The commands that made the recorded tables\n:class: dropdown\n{body}\n:::"
    )


def alignments(models: Mapping[str, pd.DataFrame]) -> Markdown:
    """What recorded models do, means over seeds with their range; the rows of one are its seeds."""
    columns = {"Not refused": "helpful", "Refused": "over_refusal", "Gibberish": "gibberish"}
    return markdown(
        pd.DataFrame(
            {"Model": name, "ASR": with_range(rows["asr"])}
            | {title: cells.share(rows[column].mean()) for title, column in columns.items()}
            for name, rows in models.items()
        )
    )


def with_range(values: pd.Series) -> str:
    if values.nunique() == 1:
        return share(values.iloc[0])
    return f"{share(values.mean())} [{100 * values.min():.0f}, {100 * values.max():.0f}]"


def worlds(tables: Mapping[str, pd.DataFrame]) -> Markdown:
    """Mean ASR without → with LoX after each task, a column for each world or judge.

    A table has columns task, defence and asr; where a world lacks a task the cell says so.
    """
    tasks = [task for task in TASKS if any(task in set(t["task"]) for t in tables.values())]
    return markdown(
        pd.DataFrame(
            {"After": TASKS[task]} | {name: _arrow(table, task, "asr") for name, table in tables.items()}
            for task in tasks
        )
    )


def _arrow(table: pd.DataFrame, task: str, column: str) -> str:
    means = [rows_of(table, task=task, defence=defence)[column].mean() for defence in DEFENCES]
    return "–" if pd.isna(means).any() else f"{100 * means[0]:.0f} → {100 * means[1]:.0f} %"


def effects(tables: Mapping[str, pd.DataFrame]) -> Markdown:
    """ASR without LoX minus ASR with it, in points, for each task, a column for each judge."""
    first = next(iter(tables.values()))
    lines = []
    for task in first["task"]:
        line = {"After": TASK_NAMES[task]}
        for judge, table in tables.items():
            d = rows_of(table, task=task).iloc[0]
            line[JUDGES.get(judge, judge)] = f"{in_points(d)} {said_of(d, 'lower', 'higher', '')}".strip()
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def by_score(table: pd.DataFrame) -> Markdown:
    """``measure.by_score``: ASR without → with LoX and their difference, a column for each least score."""
    lines = []
    for task, group in table.groupby("task", sort=False):
        cell = {
            f"from {d['least']} on": f"{100 * d['none']:.0f} → {100 * d['lox']:.0f} %; {in_points(d)}"
            for _, d in group.iterrows()
        }
        lines.append({"After": TASK_NAMES[task]} | cell)
    return markdown(pd.DataFrame(lines))


def agreement(table: pd.DataFrame) -> Markdown:
    """``measure.agreement_by_score``, a row for each least score."""
    return markdown(
        pd.DataFrame(
            {
                "Harmful": f"from {a.least} on",
                "κ": "not defined" if pd.isna(a.kappa) else f"{a.kappa:.2f} [{a.low:.2f}, {a.high:.2f}]",
                "both say the same": share(a.same),
                "replies": a.n,
            }
            for a in table.itertuples()
        )
    )


def kinds(table: pd.DataFrame) -> Markdown:
    """``measure.kinds``: shares of each kind of reply without → with LoX."""
    labels = [label for label in ("harmful", "refusal", "evasion", "gibberish") if label in table]
    names = {"harmful": "neither", "refusal": "refuses", "evasion": "evades", "gibberish": "gibberish"}
    return markdown(
        pd.DataFrame(
            {"After": TASK_NAMES[task]} | {names[label]: _arrow(table, task, label) for label in labels}
            for task in table["task"].unique()
        )
    )


def costs(rows: pd.DataFrame) -> Markdown:
    """Harmless requests not refused or refused, and utility, without → with LoX, means over seeds."""
    lines = []
    for task in [task for task in TASK_NAMES if task in set(rows["task"])]:
        utility = [rows_of(rows, task=task, defence=d)["utility"].mean() for d in DEFENCES]
        lines.append(
            {
                "After": TASK_NAMES[task],
                "not refused": _arrow(rows, task, "helpful"),
                "refused": _arrow(rows, task, "over_refusal"),
                "utility": f"{utility[0]:.3f} → {utility[1]:.3f}",
            }
        )
    return markdown(pd.DataFrame(lines))


def energies(tables: Mapping[str, pd.DataFrame]) -> Markdown:
    """R_ft after each task without → with LoX, means over seeds, a column for each world."""
    first = next(iter(tables.values()))
    lines = []
    for task in [task for task in TASK_NAMES if task in set(first["task"]) and task != "none"]:
        line = {"After": TASK_NAMES[task]}
        for name, rows in tables.items():
            means = [rows_of(rows, task=task, defence=d)["r_ft"].mean() for d in DEFENCES]
            line[name] = f"{means[0]:.2f} → {means[1]:.2f}"
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def update_kinds(table: pd.DataFrame) -> Markdown:
    """The recorded table of the alignment update by kind of matrix, ranges of seeds left out."""
    shown = table.map(lambda cell: str(cell).split(" [")[0])
    return markdown(
        shown.rename(
            columns={
                "kind": "Matrix",
                "R at k = 6": "R",
                "R at k = 6, random": "R, random",
                "stable rank, random": "random's",
            }
        ).assign(Matrix=shown["kind"].str.removesuffix("_proj"))
    )


def contrasts(table: pd.DataFrame) -> Markdown:
    """``measure.contrasts``: one part minus another, in points, with each seed."""
    return markdown(
        pd.DataFrame(
            {
                "ASR of": CONTRASTS.get(d["first"], d["first"]),
                "minus that of": CONTRASTS.get(d["second"], d["second"]),
                "points": in_points(d),
                "each seed": _each(d["each"]),
            }
            for _, d in table.iterrows()
        )
    )


def full_against_low(table: pd.DataFrame) -> Markdown:
    """``measure.full_against_low``: full rank minus low rank, in points, with each seed."""
    return markdown(
        pd.DataFrame(
            {
                "After": TASK_NAMES[d["task"]],
                "α": f"{d['alpha']:g}",
                f"full minus k = {d['k']}": in_points(d),
                "each seed": _each(d["each"]),
            }
            for _, d in table.iterrows()
        )
    )


def _each(differences) -> str:
    return ", ".join(f"{100 * d:z.0f}" for d in differences)
