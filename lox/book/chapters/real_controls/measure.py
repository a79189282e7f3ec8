"""A real model beside controls of LoX's size: labels of its replies by phrases, and the same replies read blind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lox.book import results
from lox.book.cells import rows_of
from lox.book.chapters.stress.measure import INSIDE, OUTSIDE, Stress
from lox.lab.evaluated import Evaluated, of_set
from lox.lab.evaluation import evaluate
from lox.lab.judging import sheet
from lox.lab.judging.sheet import reply_id, verdict
from lox.lab.labels import difference, labels_of, outcomes
from lox.lab.model import Model
from lox.lab.rows import corrected, rates
from lox.lab.setup import Setup
from lox.lab.statistics import mean_of_seeds, mean_over_seeds, rate

ATTACK = "pure_bad"  # the only one after which a reader found more than a few per cent of harm
STEPS = ("none", "random", "half", "lox")  # added to the aligned weights; "half" is LoX with half of its α
PAIRS = (  # what is compared, first minus second
    ("none", "lox"),
    ("none", "random"),
    ("random", "lox"),
    ("none", "half"),
    ("half", "lox"),
)
CELL = ["state", "defence"]
READ_AS = {"asr": "harmful", "answered": "answered"}  # of ``lox.lab.labels.READINGS``
BEFORE, PARTS = "before", "parts"  # states of a model, beside that after ATTACK, which has its name
UNALIGNED = "unaligned"  # the base model, in the column of defences
# What is put in of the attack's update alone, in the column of defences where the state is PARTS
VARIANTS = {"inside": INSIDE, "outside": OUTSIDE, "random inside": ("random", "inside, scaled")}
PART_PAIRS = (  # of them, of "nothing" and of the "whole" update, first minus second
    ("whole", "nothing"),
    ("inside", "nothing"),
    ("random inside", "nothing"),
    ("inside", "random inside"),
    ("whole", "outside"),
)


# --- making and asking the models ---------------------------------------------------------------------


def asked(setup: Setup, seeds: Sequence[int]) -> Iterator[tuple[dict, Evaluated]]:
    """(cell, what came out) of every model, made where it is missing; a cell is its seed, state and defence.

    First the base model, which all seeds share. Then, for each seed and each of ``STEPS``, the model before and after
    the attack; and the aligned model plus each of ``VARIANTS`` of what the attack did without a step.
    """
    yield _cell(seeds[0], BEFORE, UNALIGNED), evaluate(setup, setup.model(seeds[0]).base, "plain")
    for seed in seeds:
        for state, task in ((BEFORE, None), (ATTACK, ATTACK)):
            for step in STEPS:
                yield _cell(seed, state, step), evaluate(setup, _model(setup, seed, task, step))
        stress = Stress(setup, setup.model(seed, ATTACK), setup.profile.lox.k)
        for name, variant in VARIANTS.items():
            yield _cell(seed, PARTS, name), stress.evaluate(variant)


def _model(setup: Setup, seed: int, task: str | None, step: str) -> Model:
    if step == "half":
        return setup.model(seed, task, "lox", alpha=setup.profile.lox.alpha / 2)
    return setup.model(seed, task, step)


def _cell(seed: int, state: str, defence: str) -> dict:
    return {"seed": seed, "state": state, "defence": defence}


def told(cell: dict, evaluated: Evaluated) -> tuple[dict, pd.DataFrame, list[dict]]:
    """(row, labels, replies) of one model: its rates, a label for each reply, and the replies that a reader gets.

    ``labels`` are ``lox.lab.labels``' with the id of each reply to a harmful goal, by which a sheet names it; they
    hold no text.
    """
    harmful = of_set(evaluated.replies, "harmful")
    ids = [reply_id(answer["prompt"], answer["reply"]) for answer in harmful]
    labels = labels_of(evaluated, cell)
    labels["id"] = pd.Series(ids, labels.index[labels["set"] == "harmful"])
    return cell | rates(evaluated), labels, harmful


# --- what was recorded --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recorded:
    """What was recorded of a profile: a row for each model, labels of all replies by phrases, and by a reader."""

    rows: pd.DataFrame
    phrases: pd.DataFrame
    reader: pd.DataFrame


def recorded(profile: str) -> Recorded:
    """The recorded tables of a profile. ValueError where one is missing, or the reader's sheet lacks a reply."""
    rows, labels = (results.recorded(profile, f"real_controls{end}") for end in ("", "_labels"))
    scores = sheet.scores(results.ROOT / "results" / profile / "reader.csv")
    return Recorded(rows, labels, reader_labels(labels, scores))


def reader_labels(labels: pd.DataFrame, scores: Mapping[str, float]) -> pd.DataFrame:
    """Labels of the replies to harmful goals by a reader's scores; gibberish is known by rule and stays so.

    ``scores`` are of ``lox.lab.judging.sheet.scores``. ValueError for a reply that the reader did not have.
    """
    read = labels[labels["set"] == "harmful"]
    garbled = read["label"] == "gibberish"
    if missing := set(read.loc[~garbled, "id"]) - set(scores):
        raise ValueError(f"the reader's sheet lacks {len(missing)} different replies of {len(read)}")
    by_reader = read["id"].map({name: verdict(score).label for name, score in scores.items()})
    return read.assign(label=by_reader.where(~garbled, "gibberish"))


# --- what it says -------------------------------------------------------------------------------------


def shares(labels: pd.DataFrame, what: str) -> pd.DataFrame:
    """The "asr" of every model, or the share of harmless prompts "answered", a row for each state and defence.

    Columns: state, defence, ``what``, low, high (95 %), seeds, n and each, that of each seed. Intervals are over seeds
    and prompts; of the one base model Wilson's, over prompts.
    """
    lines = []
    for (state, defence), group in labels.groupby(CELL, sort=False):
        hits, things = outcomes(group, READ_AS[what])
        if defence == UNALIGNED:
            one = rate(hits.iloc[0])
            columns = {what: one.value, "low": one.low, "high": one.high, "seeds": 1}
        else:
            columns = mean_over_seeds(hits.to_numpy(), things).columns(what)
        each = hits.mean(axis=1).tolist()
        lines.append({"state": state, "defence": defence} | columns | {"n": hits.shape[1], "each": each})
    return pd.DataFrame(lines)


def contrasts(labels: pd.DataFrame, what: str = "harmful") -> pd.DataFrame:
    """First minus second of ``PAIRS`` in each state, on the same seeds and prompts.

    ``what`` is one of ``lox.lab.labels.READINGS``. p_holm is corrected for the rows of the table. ValueError where
    a state lacks one of them.
    """
    lines = []
    for state, group in labels.groupby("state", sort=False):
        sides = dict(list(group.groupby("defence", sort=False)))
        if missing := {name for pair in PAIRS for name in pair} - set(sides):
            raise ValueError(f"{state}: no labels of the defence {', '.join(sorted(missing))}")
        for first, second in PAIRS:
            head = {"state": state, "first": first, "second": second}
            lines.append(head | difference(sides[first], sides[second], what))
    return corrected(pd.DataFrame(lines))


def parts(labels: pd.DataFrame) -> pd.DataFrame:
    """What one part of the attack's update does: ASR with it minus that with another, or with none, of ``PART_PAIRS``.

    Without a defence, on the same seeds and prompts; p_holm is corrected for the rows of the table.
    """
    sides = {"nothing": (BEFORE, "none"), "whole": (ATTACK, "none")} | {
        name: (PARTS, name) for name in VARIANTS
    }
    of = {name: rows_of(labels, state=state, defence=defence) for name, (state, defence) in sides.items()}
    lines = [{"first": a, "second": b} | difference(of[a], of[b]) for a, b in PART_PAIRS]
    return corrected(pd.DataFrame(lines))


def utility(rows: pd.DataFrame) -> pd.DataFrame:
    """Utility of every model, mean over seeds with Student's interval: state, defence, utility, low, high, seeds."""
    return pd.DataFrame(
        {"state": state, "defence": defence} | mean_of_seeds(group["utility"]).columns("utility")
        for (state, defence), group in rows.groupby(CELL, sort=False)
    )


def by_kind(labels: pd.DataFrame) -> pd.DataFrame:
    """Shares of the replies to harmful goals by label, seeds together: a row for each state and defence."""
    harmful = labels[labels["set"] == "harmful"]
    counts = harmful.groupby(CELL, sort=False)["label"].value_counts(normalize=True)
    return counts.unstack(fill_value=0.0).reset_index().rename_axis(columns=None)
