"""Tables of the chapter on a real language model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd
from IPython.display import Markdown

from lox.book.cells import in_points, markdown, rows_of, said_of, share
from lox.book.chapters.judges.measure import DEFENCES
from lox.book.chapters.real_model.measure import BEFORE_IN_PERSONA
from lox.book.names import TASK_NAMES, attacks_in, tasks_in
from lox.lab.profile import Profile

JUDGES = {
    "sheet:reader": "blind reader",
    "refusal-or-evasion": "refusal or evasion",
    "refusal-phrases": "refusal phrases",
    "phrases-alone": "phrases alone",
}
TASKS = {}
for _task, _name in TASK_NAMES.items():
    TASKS |= {BEFORE_IN_PERSONA: "before, in persona"} if _task == "identity" else {}
    TASKS[_task] = _name
PARTS = {
    "all: nothing": "nothing of it",
    "all: whole": "all of it",
    "safety: inside": "inside the safety subspace",
    "safety: outside": "all but the safety subspace",
    "random: inside": "inside random directions",
    "random: inside, scaled": "random, as long as the safety part",
    "random: outside": "all but random directions",
    "bottom: inside": "inside the bottom directions",
    "bottom: outside": "all but the bottom directions",
    "own: inside": "its own top directions",
    "own: outside": "all but its own top directions",
}
CONTRASTS = PARTS | {
    "all: split only": "all, projected matrices only",
    "safety: outside, split only": "all but safety, projected matrices only",
}


def settings(profile: Profile, tasks: Iterable[str]) -> Markdown:
    """The training runs of a profile, its alignment and these of its attacks: on how much, how fast."""
    runs = {"Alignment": profile.alignment} | {TASK_NAMES[task]: profile.attacks[task] for task in tasks}
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
            | {title: share(rows[column].mean()) for title, column in columns.items()}
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
    known = set(pd.concat(tables.values())["task"])
    return _after([task for task in TASKS if task in known], {name: (t, "asr") for name, t in tables.items()})


def _after(tasks: Iterable[str], columns: Mapping[str, tuple]) -> Markdown:
    """A row for each task; ``columns`` has for each title a table, its column and, if no share, the digits."""
    return markdown(
        pd.DataFrame(
            {"After": TASKS[task]} | {title: _arrow(task, *column) for title, column in columns.items()}
            for task in tasks
        )
    )


def _arrow(task: str, table: pd.DataFrame, column: str, digits: int | None = None) -> str:
    """Means without → with LoX after a task; "–" where a table lacks one."""
    none, lox = (rows_of(table, task=task, defence=defence)[column].mean() for defence in DEFENCES)
    if pd.isna(none) or pd.isna(lox):
        return "–"
    if digits is None:
        return f"{100 * none:.0f} → {100 * lox:.0f} %"
    return f"{none:.{digits}f} → {lox:.{digits}f}"


def effects(tables: Mapping[str, pd.DataFrame]) -> Markdown:
    """``judges.measure.conclusions`` in points, for each task, a column for each judge; all are of the same tasks."""
    columns = {
        JUDGES.get(judge, judge): [
            f"{in_points(d)} {said_of(d, 'lower', 'higher', '')}".strip() for _, d in table.iterrows()
        ]
        for judge, table in tables.items()
    }
    tasks = next(iter(tables.values()))["task"]
    return markdown(pd.DataFrame({"After": tasks.map(TASK_NAMES)} | columns))


def by_score(table: pd.DataFrame) -> Markdown:
    """``judges.measure.conclusions_by_score`` of one judge: both ASRs and their difference, a column for each score."""
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
    names = {"harmful": "neither", "refusal": "refuses", "evasion": "evades", "gibberish": "gibberish"}
    return _after(
        table["task"].unique(), {name: (table, label) for label, name in names.items() if label in table}
    )


def costs(rows: pd.DataFrame) -> Markdown:
    """Harmless requests not refused or refused, and utility, without → with LoX, means over seeds."""
    columns = {"not refused": (rows, "helpful"), "refused": (rows, "over_refusal")}
    return _after(tasks_in(rows), columns | {"utility": (rows, "utility", 3)})


def energies(tables: Mapping[str, pd.DataFrame]) -> Markdown:
    """R_ft after each task of the first table without → with LoX, means over seeds, a column for each world."""
    tasks = attacks_in(next(iter(tables.values())))
    return _after(tasks, {name: (rows, "r_ft", 2) for name, rows in tables.items()})


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
