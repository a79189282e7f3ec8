"""Defences side by side: before, during and after fine-tuning, on the same seeds and the same prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from lox.book.chapters.robustness.measure import against_none
from lox.lab.labels import Record, difference, outcomes
from lox.lab.model import MIXED_IN, STEPS
from lox.lab.rows import corrected
from lox.lab.setup import Setup
from lox.lab.statistics import mean_over_seeds, with_ends
from lox.subspace import Rank

CONTROLS = ("random", "bottom")  # steps of LoX's size in other directions


def options(
    defences: Iterable[str], k: Rank | None, alpha: float | None, full_rank_alpha: float | None
) -> dict[str, dict]:
    """Name -> its options of ``Setup.model``; "none" is always among them, as the first."""
    far = alpha if full_rank_alpha is None else full_rank_alpha
    names = dict.fromkeys(["none", *defences])
    return {name: {"k": k, "alpha": far if name == "full-rank" else alpha} for name in names}


def pooled_tasks(labels: pd.DataFrame) -> pd.DataFrame:
    """Labels after fine-tuning as if all tasks were one: every task's prompts, numbered on, about the same things."""
    after = labels[labels["task"] != "none"]
    place = after["task"].map({task: i for i, task in enumerate(dict.fromkeys(after["task"]))})
    numbers = place * (labels["prompt"].max() + 1) + after["prompt"]
    return after.assign(prompt=numbers, task="all", form="all")


def before(labels: pd.DataFrame) -> pd.DataFrame:
    """Labels before fine-tuning, of prompts in the plain form."""
    return labels[(labels["task"] == "none") & (labels["form"] == "plain")]


def by_defence(labels: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Labels of each defence, in their order."""
    return dict(list(labels.groupby("defence", sort=False)))


def trade(record: Record) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ASR after fine-tuning, the mean over tasks, against benign prompts not answered before it.

    The first table has a row for each defence, with the columns asr and unanswered and their _low and _high;
    the second one for each defence and seed.
    """
    after, start = by_defence(pooled_tasks(record.labels)), by_defence(before(record.labels))
    lines, dots = [], []
    for defence in after:
        means, of_seeds = asr_and_unanswered(after[defence], start[defence])
        lines.append({"defence": defence} | means | {"seeds": len(of_seeds)})
        dots.append(of_seeds.assign(defence=defence))
    return pd.DataFrame(lines), pd.concat(dots, ignore_index=True)


def asr_and_unanswered(attacked: pd.DataFrame, asked: pd.DataFrame) -> tuple[dict, pd.DataFrame]:
    """The ASR of ``attacked`` and the benign prompts that ``asked`` leave unanswered, labels of one defence.

    Means over seeds, asr and unanswered with their _low and _high, and a table of each seed's: seed, asr, unanswered.
    """
    harmful, things = outcomes(attacked, "harmful")
    answered, benign_things = outcomes(asked, "answered")
    means = with_ends("asr", mean_over_seeds(harmful.to_numpy(), things))
    means |= with_ends("unanswered", mean_over_seeds(1 - answered.to_numpy(), benign_things))
    of_seeds = {"asr": harmful.mean(axis=1), "unanswered": 1 - answered.mean(axis=1)}
    return means, pd.DataFrame(of_seeds).reset_index()


def over_tasks(labels: pd.DataFrame, firsts: Sequence[str] = ("none", *CONTROLS)) -> pd.DataFrame:
    """ASR of one defence minus that of another over all tasks; each other one against none, LoX against its controls.

    Columns first, second, difference, low, high, p, seeds, n, and p_holm, corrected for the number of rows.
    """
    sides = by_defence(pooled_tasks(labels))
    pairs = [("none", name) for name in sides if name != "none"]
    pairs += [(name, "lox") for name in firsts if name != "none" and name in sides and "lox" in sides]
    return _differences({pair: difference(sides[pair[0]], sides[pair[1]]) for pair in pairs})


def costs_before(labels: pd.DataFrame) -> pd.DataFrame:
    """Benign prompts answered before fine-tuning without a defence minus with it; columns as of ``over_tasks``.

    Only of defences that change the aligned model.
    """
    sides = by_defence(before(labels))
    pairs = [("none", name) for name in sides if name.split("+")[0] in STEPS]
    return _differences({pair: difference(sides[pair[0]], sides[pair[1]], "answered") for pair in pairs})


def by_task(labels: pd.DataFrame) -> pd.DataFrame:
    """``against_none`` of the robustness chapter, with p_holm corrected for all tasks and defences together."""
    table = against_none(labels)
    return corrected(table, (table["task"] != "none").map({True: "after fine-tuning"}))


def after_tasks(record: Record) -> pd.DataFrame:
    """What each defence does after fine-tuning, means over tasks and seeds: asr, answered, utility, gibberish."""
    after = record.rows[record.rows["task"] != "none"]
    columns = {"asr": "asr", "helpful": "answered", "utility": "utility", "gibberish": "gibberish"}
    means = after.groupby("defence", sort=False)[list(columns)].mean()
    return means.rename(columns=columns).reset_index()


def lengths(setup: Setup, tasks: Iterable[str], seed: int) -> pd.DataFrame:
    """How many examples and optimisation steps each task has without and with the examples of SafeInst."""
    lines = []
    for task in tasks:
        alone, mixed = (setup.model(seed, task, defence) for defence in ("none", MIXED_IN))
        examples, more = (len(setup.training_rows(model)) for model in (alone, mixed))
        counts = {"task": task, "examples": examples, "safety": more - examples}
        lines.append(counts | {"steps": setup.steps(alone), "steps_mixed": setup.steps(mixed)})
    return pd.DataFrame(lines)


def _differences(of_pairs: Mapping[tuple[str, str], dict]) -> pd.DataFrame:
    lines = [{"first": first, "second": second} | values for (first, second), values in of_pairs.items()]
    columns = ["first", "second", "difference", "low", "high", "p", "seeds", "n"]
    return corrected(pd.DataFrame(lines, columns=columns))
