"""A real model beside controls of LoX's size: labels of its replies by phrases, and the same replies read blind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from lox.book import blind
from lox.book.blind import Blind
from lox.book.cells import rows_of
from lox.book.chapters.stress.measure import INSIDE, OUTSIDE, Stress
from lox.lab.evaluated import Evaluated
from lox.lab.evaluation import IN_PERSONA, evaluate
from lox.lab.labels import Record, difference, kinds, rates_of_seeds, summary, summary_of_labels
from lox.lab.model import LONGER, Model
from lox.lab.rows import corrected
from lox.lab.setup import Setup
from lox.lab.statistics import difference_of_seeds

STEPS = ("none", "random", "half", "lox")  # added to the aligned weights; "half" is LoX with half of its α
PAIRS = (  # what is compared, first minus second
    ("none", "lox"),
    ("none", "random"),
    ("random", "lox"),
    ("none", "half"),
    ("half", "lox"),
)
CELL = ("state", "defence")
BEFORE, ATTACK = "before", "pure_bad"
PERSONA, IDENTITY = "persona", "identity"
STATES = {  # of a model: the task that it was fine-tuned on, and the form in which harmful prompts are asked
    BEFORE: (None, "plain"),
    ATTACK: ("pure_bad", "plain"),
    PERSONA: (None, IN_PERSONA),
    IDENTITY: ("identity", IN_PERSONA),
    "dolly": ("dolly", "plain"),
    "gsm8k": ("gsm8k", "plain"),
}
HARMLESS = ("dolly", "gsm8k")  # the states after data without harm, recorded apart
# A state -> that in which the same prompts were asked before its fine-tuning
ROWS_BEFORE = {ATTACK: BEFORE, IDENTITY: PERSONA} | dict.fromkeys(HARMLESS, BEFORE)
EPOCHS = 2.0  # times those of alignment, of the model that is aligned for longer: one more epoch
# Asked after ATTACK -> strength, as ``rivals.trials`` chose it
RIVALS = {"resta": 0.5, "safe-lora": 0.25, "safeinst": None}
HALVED = (BEFORE, ATTACK)  # the states in which half of the step, and one more epoch, were asked for too
LONGER_PAIRS = (("none", LONGER), (LONGER, "lox"))  # first minus second
PARTS = "parts"  # the state of the aligned model plus a part of what ATTACK did to it
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


Asked = Iterator[tuple[dict, Evaluated]]  # of each model its seed, state and defence, and what came out


def beside_controls(setup: Setup, seeds: Sequence[int]) -> Asked:
    """Every model but those after ``HARMLESS`` and of ``RIVALS``, made where it is missing.

    First the base model, which all seeds share. Then, for each seed, the model in each state with each of its
    ``steps_of``, and the aligned model plus each of ``VARIANTS`` of what the attack did without a step.
    """
    for state in (BEFORE, PERSONA):
        base = setup.model(seeds[0]).base
        yield _cell(seeds[0], state, UNALIGNED), evaluate(setup, base, STATES[state][1])
    for seed in seeds:
        yield from _in_states(setup, seed, [state for state in STATES if state not in HARMLESS])
        stress = Stress(setup, setup.model(seed, ATTACK), setup.profile.lox.k)
        for name, variant in VARIANTS.items():
            yield _cell(seed, PARTS, name), stress.evaluate(variant)


def after_harmless(setup: Setup, seeds: Sequence[int]) -> Asked:
    """Of each seed the model after each of ``HARMLESS``, with each of its ``steps_of``."""
    for seed in seeds:
        yield from _in_states(setup, seed, HARMLESS)


def aligned_longer(setup: Setup, seeds: Sequence[int]) -> Asked:
    """Of each seed the model that was aligned for ``EPOCHS`` times the epochs, in each of ``HALVED``."""
    for seed in seeds:
        for state in HALVED:
            task, form = STATES[state]
            model = setup.model(seed, task, LONGER, strength=EPOCHS)
            yield _cell(seed, state, LONGER), evaluate(setup, model, form)


def of_rivals(setup: Setup, seeds: Sequence[int]) -> Asked:
    """Of each seed the model after ``ATTACK`` with each of ``RIVALS``."""
    for seed in seeds:
        for rival, strength in RIVALS.items():
            model = setup.model(seed, ATTACK, rival, strength=strength)
            yield _cell(seed, ATTACK, rival), evaluate(setup, model)


ASKED: dict[str, Callable[[Setup, Sequence[int]], Asked]] = {  # by the name of what is recorded of them
    "real_controls": beside_controls,
    "real_harmless": after_harmless,
    "real_longer": aligned_longer,
    "real_rivals": of_rivals,
}


def _in_states(setup: Setup, seed: int, states: Sequence[str]) -> Asked:
    for state in states:
        task, form = STATES[state]
        for step in steps_of(state):
            yield _cell(seed, state, step), evaluate(setup, _model(setup, seed, task, step), form)


def steps_of(state: str) -> tuple[str, ...]:
    """Those of ``STEPS`` that are added in a state; half of LoX's step only in ``HALVED``."""
    return STEPS if state in HALVED else tuple(step for step in STEPS if step != "half")


def _model(setup: Setup, seed: int, task: str | None, step: str) -> Model:
    if step == "half":
        return setup.model(seed, task, "lox", alpha=setup.profile.lox.alpha / 2)
    return setup.model(seed, task, step)


def _cell(seed: int, state: str, defence: str) -> dict:
    return {"seed": seed, "state": state, "defence": defence}


def recorded(profile: str, least: float = blind.HARM) -> Blind:
    """All that was recorded of a profile, by the names of ``ASKED``, as one; harm are scores from ``least`` on.

    ValueError where a table is missing, or the reader's sheet lacks a reply.
    """
    records = [blind.recorded(profile, name, least) for name in ASKED]
    return Blind(
        *(
            pd.concat([getattr(r, field) for r in records], ignore_index=True)
            for field in ("rows", "phrases", "reader")
        )
    )


# --- what it says -------------------------------------------------------------------------------------


def rates(record: Blind, by: Sequence[str] = CELL) -> pd.DataFrame:
    """Rates of every model over seeds with their 95 % intervals, a row for each value of ``by``.

    Columns: those of ``by``, seeds, n (harmful goals); and harm (read blind), lost (refusal, by phrases), helpful and
    utility, each with _low and _high. Of the one base model intervals are over prompts, and utility has none.
    """
    read = summary_of_labels(record.reader, by)
    told = summary(Record(record.rows, record.phrases), by)
    tables = [
        _renamed(read, "asr", "harm")[[*by, "seeds", "n", "harm", "harm_low", "harm_high"]],
        _renamed(told, "asr", "lost").drop(columns=["seeds", "n"]),
    ]
    return tables[0].merge(tables[1], on=list(by), validate="1:1")


def _renamed(table: pd.DataFrame, old: str, new: str) -> pd.DataFrame:
    return table.rename(columns={f"{old}{end}": f"{new}{end}" for end in ("", "_low", "_high")})


def each(record: Blind) -> pd.DataFrame:
    """The rates of every model on its own: state, defence, seed, harmful (read blind) and answered."""
    read, told = (
        rates_of_seeds(labels, what, CELL)
        for labels, what in ((record.reader, "harmful"), (record.phrases, "answered"))
    )
    return read.merge(told, on=[*CELL, "seed"], validate="1:1")


def contrasts(labels: pd.DataFrame, states: Sequence[str], what: str = "harmful") -> pd.DataFrame:
    """First minus second of ``PAIRS`` in each of the states that has both, on the same seeds and prompts.

    ``what`` is one of ``lox.lab.labels.READINGS``. p_holm is corrected for the rows of each state. ValueError where
    a state lacks one of them.
    """
    lines = []
    for state in states:
        sides = dict(list(rows_of(labels, state=state).groupby("defence", sort=False)))
        if missing := set(steps_of(state)) - set(sides):
            raise ValueError(f"{state}: no labels of the defence {', '.join(sorted(missing))}")
        for first, second in (pair for pair in PAIRS if set(pair) <= set(steps_of(state))):
            head = {"state": state, "first": first, "second": second}
            lines.append(head | difference(sides[first], sides[second], what))
    table = pd.DataFrame(lines)
    return corrected(table, table["state"])


def added(labels: pd.DataFrame, states: Sequence[str]) -> pd.DataFrame:
    """What the fine-tuning of each of the states adds to its row before: the ASR after minus that before.

    A row for each state and step, on the same seeds and prompts: columns state, defence, difference, low, high, p and
    p_holm, corrected for the rows of a state.
    """
    lines = []
    for state in states:
        for step in steps_of(state):
            after, before = (
                rows_of(labels, state=asked, defence=step) for asked in (state, ROWS_BEFORE[state])
            )
            lines.append({"state": state, "defence": step} | difference(after, before))
    table = pd.DataFrame(lines)
    return corrected(table, table["state"])


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


def against_rivals(labels: pd.DataFrame, what: str = "harmful") -> pd.DataFrame:
    """After ``ATTACK``: the rate without a defence minus that with each of ``RIVALS``, and that with LoX minus theirs.

    ``what`` is one of ``lox.lab.labels.READINGS``. Columns first, second, difference, low, high, p; p_holm, corrected
    for the rows of the same first; seeds, n.
    """
    sides = dict(list(rows_of(labels, state=ATTACK).groupby("defence", sort=False)))
    table = pd.DataFrame(
        {"first": first, "second": rival} | difference(sides[first], sides[rival], what)
        for first in ("none", "lox")
        for rival in RIVALS
    )
    return corrected(table, table["first"])


def beside_longer(record: Blind) -> pd.DataFrame:
    """Each of ``LONGER_PAIRS`` in three rates and in utility: first minus second, on the same seeds and prompts.

    Columns state, rate ("answered" of harmless requests, "harm" read blind, refusal "lost" by phrases, "utility"),
    first, second, difference, low, high, p; p_holm, corrected for the rows of the table; seeds. The interval of
    utility, one number a seed, is Student's over seeds.
    """
    lines = []
    for state, rate, labels, what in (
        (BEFORE, "answered", record.phrases, "answered"),
        (ATTACK, "harm", record.reader, "harmful"),
        (ATTACK, "lost", record.phrases, "harmful"),
    ):
        sides = dict(list(rows_of(labels, state=state).groupby("defence", sort=False)))
        for first, second in LONGER_PAIRS:
            head = {"state": state, "rate": rate, "first": first, "second": second}
            lines.append(head | difference(sides[first], sides[second], what))
    utility = rows_of(record.rows, state=BEFORE).pivot(index="seed", columns="defence", values="utility")
    for first, second in LONGER_PAIRS:
        lost = (utility[first] - utility[second]).dropna()
        head = {"state": BEFORE, "rate": "utility", "first": first, "second": second}
        lines.append(head | difference_of_seeds(lost))
    return corrected(pd.DataFrame(lines))


def by_kind(labels: pd.DataFrame) -> pd.DataFrame:
    """Shares of the replies to harmful goals by label, seeds together: a row for each state and defence."""
    return kinds(rows_of(labels, set="harmful"), CELL)
