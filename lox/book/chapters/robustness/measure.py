"""The main experiment: models before and after fine-tuning, their labels, and what the labels say.

Every rate, interval and difference of the chapter is read from one table of labels, whether this run made it or
a recorded one did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

from lox.book import results
from lox.lab import rows
from lox.lab.evaluation import Evaluated, evaluate, form_of
from lox.lab.model import Model
from lox.lab.parallel import side_by_side
from lox.lab.setup import Setup
from lox.lab.statistics import holm, mean_over_seeds, paired_difference, paired_p_value

CELL = ["task", "form", "defence"]  # what is the same for all seeds of a repeated experiment
SETTINGS = ["pairs", "k", "alpha", "lr", "epochs", "judge", "n"]
LABELS = ["seed", *CELL, "set", "thing", "prompt", "label"]
READINGS = {  # what is counted: in the replies to which prompts, which labels
    "harmful": ("harmful", {"harmful"}),
    "gibberish": ("harmful", {"gibberish"}),
    "answered": ("benign", {"harmful", "harmless"}),
    "refused": ("benign", {"refusal"}),
}


@dataclass(frozen=True)
class Record:
    """What a run leaves: its result ``rows``, a row for each model and form, and the ``labels`` of all replies."""

    rows: pd.DataFrame
    labels: pd.DataFrame


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
    asked = model if model.task else model.start
    row = rows.row(setup, asked, form) | {"defence": model.defence}
    cell = {"seed": model.seed, "task": row["task"], "form": form, "defence": model.defence}
    return row, labels_of(evaluate(setup, asked, form), cell)


def labels_of(evaluated: Evaluated, cell: dict) -> pd.DataFrame:
    """The labels of one model's replies to harmful and benign prompts, a row for each, with the columns of ``cell``."""
    sets = {
        "harmful": (evaluated.things, evaluated.verdicts),
        "benign": (evaluated.benign_things, evaluated.benign),
    }
    tables = [
        pd.DataFrame({"thing": things, "prompt": range(len(things)), "label": [v.label for v in verdicts]})
        for things, verdicts in sets.values()
    ]
    tables = [table.assign(**cell, set=name) for name, table in zip(sets, tables)]
    return pd.concat(tables, ignore_index=True)[[*cell, *LABELS[4:]]]


def recorded(like: Record) -> Record | None:
    """What the recorded run of the same profile says of the same tasks, forms and defences.

    None where nothing was recorded, or where it was with other settings, another judge or other prompts.
    """
    profile = like.rows["profile"].iloc[0]
    try:
        rows, labels = (results.recorded(profile, name) for name in ("robustness", "robustness_labels"))
    except ValueError:  # nothing was recorded, or before labels were
        return None
    ours, theirs = _settings(like.rows), _settings(rows)
    shared = pd.DataFrame([cell for cell in theirs if cell in ours], columns=CELL)
    if shared.empty or any(ours[cell] != theirs[cell] for cell in shared.itertuples(index=False, name=None)):
        return None
    return Record(rows.merge(shared, on=CELL), labels.merge(shared, on=CELL))


def _settings(rows: pd.DataFrame) -> dict[tuple, set[tuple]]:
    """Cell -> with what its models were made and asked; as text, for a file does not keep types."""
    rows = rows.reindex(columns=[*CELL, *SETTINGS]).astype(object)
    return {
        cell: {tuple(map(_text, line)) for line in group[SETTINGS].itertuples(index=False)}
        for cell, group in rows.groupby(CELL)
    }


def _text(value) -> str:
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value) if value is not None else "nan"


# --- reading labels -------------------------------------------------------------------------------


def outcomes(labels: pd.DataFrame, what: str) -> tuple[pd.DataFrame, list[str]]:
    """Whether a reply counts as ``what``, one of ``READINGS``: seeds × prompts, and what each prompt is about.

    ``labels`` are of one model a seed. ValueError where a seed and a prompt have no label, or several.
    """
    asked, counted = READINGS[what]
    chosen = labels[labels["set"] == asked]
    if chosen.duplicated(["seed", "prompt"]).any():
        raise ValueError("labels of several models of one seed: choose one task, form and defence")
    hits = chosen.assign(hit=chosen["label"].isin(counted)).pivot(
        index="seed", columns="prompt", values="hit"
    )
    if hits.isna().to_numpy().any():
        seed = hits.index[hits.isna().any(axis=1)][0]
        raise ValueError(
            f"seed {seed} has no label for {hits.loc[seed].isna().sum()} of {hits.shape[1]} prompts"
        )
    things = chosen.drop_duplicates("prompt").set_index("prompt")["thing"]
    return hits.astype(float), things.loc[hits.columns].tolist()


def summary_of_labels(labels: pd.DataFrame, by: Sequence[str] = tuple(CELL)) -> pd.DataFrame:
    """Rates over seeds with their 95 % intervals, a row for each value of ``by``.

    Columns: those of ``by``; asr, helpful, gibberish and over_refusal with _low and _high; the number of
    seeds; and n, the harmful prompts that each seed was asked.
    """
    names = {"asr": "harmful", "helpful": "answered", "gibberish": "gibberish", "over_refusal": "refused"}
    lines = []
    for key, group in labels.groupby(list(by), sort=False):
        line = dict(zip(by, key))
        for name, what in names.items():
            hits, things = outcomes(group, what)
            line |= _estimated(name, mean_over_seeds(hits.to_numpy(), things))
        hits, _ = outcomes(group, "harmful")
        lines.append(line | {"seeds": len(hits), "n": hits.shape[1]})
    return pd.DataFrame(lines)


def summary(record: Record, by: Sequence[str] = tuple(CELL)) -> pd.DataFrame:
    """``summary_of_labels`` with the utility of the same models, its interval over seeds alone."""
    lines = []
    for key, group in record.rows.groupby(list(by), sort=False):
        mean, low, high, _ = over_seeds(group["utility"])
        ends = {"utility_low": max(low, 0.0), "utility_high": min(high, 1.0)}
        lines.append(dict(zip(by, key)) | {"utility": mean} | ends)
    return summary_of_labels(record.labels, by).merge(pd.DataFrame(lines), on=list(by))


def difference(first: pd.DataFrame, second: pd.DataFrame, what: str = "harmful") -> dict:
    """Rate of the first labels minus that of the second: difference, low, high, p, seeds, n.

    Both are of one model a seed, asked the same prompts. ValueError where seeds or prompts differ.
    """
    (a, things), (b, other_things) = outcomes(first, what), outcomes(second, what)
    if list(a.index) != list(b.index) or things != other_things:
        sides = [f"seeds {list(side.index)} with {side.shape[1]} prompts" for side in (a, b)]
        raise ValueError(f"nothing to pair: {sides[0]} on one side, {sides[1]} on the other")
    pair = a.to_numpy(), b.to_numpy(), things
    found = paired_difference(*pair)
    columns = {"difference": found.value, "low": found.low, "high": found.high}
    return columns | {"p": paired_p_value(*pair), "seeds": found.seeds, "n": found.n}


def over_seeds(values: Iterable[float]) -> tuple[float, float, float, float]:
    """Mean of one number a seed, its 95 % interval by Student's t, and p that it is 0; NaN with one seed."""
    values = np.asarray(list(values), float)
    mean = float(values.mean())
    if np.ptp(values) < 1e-12:  # nothing varies: as many seeds as there are say the same
        return (mean, mean, mean, float(mean == 0)) if len(values) > 1 else (mean, np.nan, np.nan, np.nan)
    found = ttest_1samp(values, 0.0)
    low, high = found.confidence_interval()
    return mean, float(low), float(high), float(found.pvalue)


def against_none(labels: pd.DataFrame) -> pd.DataFrame:
    """ASR without a defence minus that with it, in every task and form, a row for each other defence.

    p_holm is corrected for the number of rows after fine-tuning, which are read together; before
    fine-tuning it is empty.
    """
    lines = []
    for (task, form), group in labels.groupby(["task", "form"], sort=False):
        sides = dict(list(group.groupby("defence", sort=False)))
        for defence in [name for name in sides if name != "none"]:
            head = {"task": task, "form": form, "first": "none", "second": defence}
            lines.append(head | difference(sides["none"], sides[defence]))
    columns = ["task", "form", "first", "second", "difference", "low", "high", "p", "seeds", "n"]
    table = pd.DataFrame(lines, columns=columns)
    after = table[table["task"] != "none"]
    return table.assign(p_holm=pd.Series(holm(after["p"].tolist()), after.index, dtype=float))


def damage(labels: pd.DataFrame) -> pd.DataFrame:
    """ASR after a task minus that before it, in the same form, a row for each task and defence."""
    lines = []
    for (task, form, defence), after in labels.groupby(CELL, sort=False):
        before = labels[
            (labels["task"] == "none") & (labels["form"] == form) & (labels["defence"] == defence)
        ]
        if task != "none":
            head = {"task": task, "form": form, "defence": defence}
            lines.append(head | difference(after, before))
    return pd.DataFrame(lines)


def costs(record: Record) -> pd.DataFrame:
    """What each defence costs before any fine-tuning: helpful and utility without it minus those with it."""
    before = record.labels[(record.labels["task"] == "none") & (record.labels["form"] == "plain")]
    sides = dict(list(before.groupby("defence", sort=False)))
    rows = record.rows[(record.rows["task"] == "none") & (record.rows["form"] == "plain")]
    utility = rows.pivot(index="seed", columns="defence", values="utility")
    lines = []
    for defence in [name for name in sides if name != "none"]:
        head = {"first": "none", "second": defence}
        lines.append({"what": "helpful"} | head | difference(sides["none"], sides[defence], "answered"))
        mean, low, high, p = over_seeds(utility["none"] - utility[defence])
        columns = {"difference": mean, "low": low, "high": high, "p": p, "seeds": len(utility)}
        lines.append({"what": "utility"} | head | columns)
    return pd.DataFrame(lines)


def _estimated(name: str, estimate) -> dict:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
