"""A real model beside controls of LoX's size: recorded labels by phrases, and the same replies read blind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import pandas as pd

from lox.book import results
from lox.lab.evaluated import of_set
from lox.lab.evaluation import evaluate
from lox.lab.judging import sheet
from lox.lab.judging.sheet import reply_id, verdict
from lox.lab.labels import difference, outcomes
from lox.lab.rows import corrected
from lox.lab.setup import Setup
from lox.lab.statistics import mean_of_seeds, mean_over_seeds, rate
from lox.lab.worlds.phrases import is_gibberish

PAIRS = (("none", "lox"), ("none", "random"), ("random", "lox"))  # what is compared, first minus second
UNALIGNED = "unaligned"  # the base model, in the column of defences
PERSONA = "persona"  # before fine-tuning, asked in the persona of identity shifting, in the column of tasks
CELL = ["task", "defence"]


@dataclass(frozen=True)
class Recorded:
    """What was recorded of a profile: result rows, labels of all replies by phrases, and by a reader."""

    rows: pd.DataFrame
    phrases: pd.DataFrame
    reader: pd.DataFrame


def recorded(profile: str) -> Recorded:
    """The recorded tables of a profile. ValueError where one is missing, or the reader's sheet lacks a reply."""
    rows, phrases, read = (results.recorded(profile, t) for t in ("robustness", "robustness_labels", "read"))
    scores = sheet.scores(results.ROOT / "results" / profile / "reader.csv")
    return Recorded(_with_persona(rows), _with_persona(phrases), reader_labels(read, scores))


def _with_persona(table: pd.DataFrame) -> pd.DataFrame:
    in_persona = (table["task"] == "none") & (table["form"] != "plain")
    return table.assign(task=table["task"].mask(in_persona, PERSONA))


# --- what is read -------------------------------------------------------------------------------------


def replies_to_read(
    setup: Setup, seeds: Sequence[int], tasks: Iterable[str], defences: Iterable[str]
) -> tuple[pd.DataFrame, list[dict]]:
    """(table, replies): what each model replied to the harmful goals, before fine-tuning and after each task.

    The table has a row a reply: seed, task, defence, prompt (the goal's number), id, and gibberish, which is
    known by rule and not read. It holds no text. The base model is in it once, for all seeds share it. ``replies``
    are {"prompt", "reply"} in the table's order, for ``lox.lab.judging.sheet.blank_sheet``.
    """
    models = {(seeds[0], "none", UNALIGNED): setup.model(seeds[0]).base}
    for seed, task, defence in product(seeds, (None, *tasks), defences):
        models[seed, task or "none", defence] = setup.model(seed, task, defence)
    lines, replies = [], []
    for (seed, task, defence), model in models.items():
        for number, answer in enumerate(of_set(evaluate(setup, model, "plain").replies, "harmful")):
            prompt, reply = answer["prompt"], answer["reply"]
            line = {"seed": seed, "task": task, "defence": defence, "prompt": number}
            lines.append(line | {"id": reply_id(prompt, reply), "gibberish": is_gibberish(reply)})
            replies.append({"prompt": prompt, "reply": reply})
    return pd.DataFrame(lines), replies


def reader_labels(read: pd.DataFrame, scores: Mapping[str, float]) -> pd.DataFrame:
    """Labels by a reader's scores, a table as ``lox.lab.labels`` reads it.

    ``scores`` are of ``lox.lab.judging.sheet.scores``. ValueError for a reply that the reader did not have.
    """
    if missing := set(read.loc[~read["gibberish"], "id"]) - set(scores):
        raise ValueError(f"the reader's sheet lacks {len(missing)} of the {len(read)} replies")
    labels = [
        "gibberish" if garbled else verdict(scores[name]).label
        for name, garbled in zip(read["id"], read["gibberish"])
    ]
    kept = read[["seed", *CELL, "prompt"]]
    return kept.assign(thing=read["prompt"].astype(str), form="plain", set="harmful", label=labels)


# --- what it says -------------------------------------------------------------------------------------


def success(labels: pd.DataFrame) -> pd.DataFrame:
    """ASR of every model: columns task, defence, asr, low, high (95 %), seeds, n and each, that of each seed.

    Intervals are over seeds and goals; of the one base model Wilson's, over goals.
    """
    lines = []
    for (task, defence), group in labels.groupby(CELL, sort=False):
        hits, things = outcomes(group, "harmful")
        if defence == UNALIGNED:
            one = rate(hits.iloc[0])
            columns = {"asr": one.value, "low": one.low, "high": one.high, "seeds": 1}
        else:
            columns = mean_over_seeds(hits.to_numpy(), things).columns("asr")
        each = hits.mean(axis=1).tolist()
        lines.append({"task": task, "defence": defence} | columns | {"n": hits.shape[1], "each": each})
    return pd.DataFrame(lines)


def contrasts(labels: pd.DataFrame, what: str = "harmful") -> pd.DataFrame:
    """First minus second of ``PAIRS`` after each task and before any, on the same seeds and prompts.

    ``what`` is one of ``lox.lab.labels.READINGS``. p_holm is corrected for the rows of the table. ValueError where
    a task lacks one of the three.
    """
    lines = []
    for task, group in labels.groupby("task", sort=False):
        sides = dict(list(group.groupby("defence", sort=False)))
        if missing := {name for pair in PAIRS for name in pair} - set(sides):
            raise ValueError(f"{task}: no labels of the defence {', '.join(sorted(missing))}")
        for first, second in PAIRS:
            head = {"task": task, "first": first, "second": second}
            lines.append(head | difference(sides[first], sides[second], what))
    return corrected(pd.DataFrame(lines))


def answered(labels: pd.DataFrame) -> pd.DataFrame:
    """Share of harmless prompts that are answered: task, defence, answered, low, high, seeds and each."""
    lines = []
    for (task, defence), group in labels.groupby(CELL, sort=False):
        hits, things = outcomes(group, "answered")
        columns = mean_over_seeds(hits.to_numpy(), things).columns("answered")
        lines.append({"task": task, "defence": defence} | columns | {"each": hits.mean(axis=1).tolist()})
    return pd.DataFrame(lines)


def utility(rows: pd.DataFrame) -> pd.DataFrame:
    """Utility of every model, mean over seeds with Student's interval: task, defence, utility, low, high, seeds."""
    return pd.DataFrame(
        {"task": task, "defence": defence} | mean_of_seeds(group["utility"]).columns("utility")
        for (task, defence), group in rows.groupby(CELL, sort=False)
    )


def by_kind(labels: pd.DataFrame) -> pd.DataFrame:
    """Shares of the replies to harmful goals by label, seeds together: a row for each task and defence."""
    harmful = labels[labels["set"] == "harmful"]
    shares = harmful.groupby(CELL, sort=False)["label"].value_counts(normalize=True)
    return shares.unstack(fill_value=0.0).reset_index().rename_axis(columns=None)
