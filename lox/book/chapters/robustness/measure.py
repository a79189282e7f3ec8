"""The main experiment: models before and after fine-tuning, their labels, and what the labels say.

Every rate, interval and difference of the chapter is read from one table of labels, whether this run made it or
a recorded one did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import pandas as pd

from lox.book import record, results
from lox.book.together import seeds_together
from lox.lab import rows
from lox.lab.evaluation import evaluate, form_of
from lox.lab.labels import CELL, Record, difference, labels_of, protection
from lox.lab.model import Model
from lox.lab.parallel import side_by_side
from lox.lab.setup import Setup
from lox.lab.statistics import difference_of_seeds

SETTINGS = ["pairs", "k", "alpha", "lr", "epochs", "judge", "n"]
TABLES = {"rows": "robustness", "labels": "robustness_labels"}  # of a Record -> what was recorded


# --- making and asking the models ---------------------------------------------------------------


def run(
    setup: Setup, tasks: Sequence[str], seeds: Iterable[int], defences: dict[str, dict], workers: int = 1
) -> Record:
    """All models of the experiment, made where they are missing, asked and judged.

    ``defences`` maps a name to its options of ``Setup.model``, k and alpha. Every defence is asked before
    fine-tuning in each form that a task is asked in afterwards, and after each task. ValueError without
    "none", which all others are compared with.
    """
    if "none" not in defences:
        raise ValueError(f"defences are compared with none, which is not among {', '.join(defences)}")
    seeds = list(seeds)
    side_by_side(
        [partial(setup.folder, setup.model(seed)) for seed in seeds], workers
    )  # all others need them
    forms = list(dict.fromkeys(["plain", *map(form_of, tasks)]))
    calls = []
    for seed in seeds:
        for defence, options in defences.items():
            start = setup.model(seed, None, defence, **options)
            calls += [partial(measured, setup, start, form) for form in forms]
            models = [setup.model(seed, task, defence, **options) for task in tasks]
            calls += [partial(measured, setup, model, form_of(model.task)) for model in models]
    made = side_by_side(calls, workers)
    labels = pd.concat([labels for _, labels in made], ignore_index=True)
    return Record(rows.table(row for row, _ in made), labels)


def measured(setup: Setup, model: Model, form: str) -> tuple[dict, pd.DataFrame]:
    """The result row of a model asked in a form, and the labels of its replies.

    Before fine-tuning a defence that acts later leaves the aligned model as it is.
    """
    tested = model if model.task else model.start
    row = rows.row(setup, tested, form) | {"defence": model.defence}
    cell = {"seed": model.seed, "task": row["task"], "form": form, "defence": model.defence}
    return row, labels_of(evaluate(setup, tested, form), cell)


def recorded(like: Record) -> Record | None:
    """What the recorded runs of the same profile say of the same tasks, forms and defences, as of ``of_records``.

    None where nothing was recorded, or where it was with other settings, another judge or other prompts.
    """
    found = record.recorded_alike(like.rows, TABLES, CELL, SETTINGS)
    if not found:
        return None
    whole, shared = _together(found), like.rows[CELL].drop_duplicates()
    return Record(*(table.merge(shared, on=CELL) for table in (whole.rows, whole.labels)))


def of_records(profile: str) -> Record:
    """All recorded runs of a profile as one: what has the same seed in two of them is another base model."""
    folders = results.records_of(profile)
    return _together([{w: results.recorded(f, name) for w, name in TABLES.items()} for f in folders])


def _together(runs: Sequence[dict[str, pd.DataFrame]]) -> Record:
    return Record(*(seeds_together([tables[what] for tables in runs]) for what in TABLES))


# --- reading labels -------------------------------------------------------------------------------


def against_none(labels: pd.DataFrame) -> pd.DataFrame:
    """ASR without a defence minus that with it, in every task and form, a row for each other defence.

    p_holm is corrected for the number of a defence's rows after fine-tuning, which are read together; before
    fine-tuning it is empty.
    """
    table = protection(labels, ["task", "form"])
    return rows.corrected(table, table["second"].where(table["task"] != "none"))


def damage(labels: pd.DataFrame) -> pd.DataFrame:
    """ASR after a task minus that before it, in the same form, a row for each task and defence.

    p_holm is corrected for the tasks of a defence, which are read together.
    """
    lines = []
    for (task, form, defence), after in labels.groupby(CELL, sort=False):
        before = labels[
            (labels["task"] == "none") & (labels["form"] == form) & (labels["defence"] == defence)
        ]
        if task != "none":
            head = {"task": task, "form": form, "defence": defence}
            lines.append(head | difference(after, before))
    table = pd.DataFrame(lines)
    return rows.corrected(table, table["defence"]) if len(table) else table


def costs(record: Record) -> pd.DataFrame:
    """What each defence costs before any fine-tuning: helpful and utility without it minus those with it.

    p_holm is corrected for the two of a defence, which are read together.
    """
    before = record.labels[(record.labels["task"] == "none") & (record.labels["form"] == "plain")]
    sides = dict(list(before.groupby("defence", sort=False)))
    models = record.rows[(record.rows["task"] == "none") & (record.rows["form"] == "plain")]
    utility = models.pivot(index="seed", columns="defence", values="utility")
    lines = []
    for defence in [name for name in sides if name != "none"]:
        head = {"first": "none", "second": defence}
        lines.append({"what": "helpful"} | head | difference(sides["none"], sides[defence], "answered"))
        lost = utility["none"] - utility[defence]
        lines.append({"what": "utility"} | head | difference_of_seeds(lost))
    table = pd.DataFrame(lines)
    return rows.corrected(table, table["second"]) if len(table) else table
