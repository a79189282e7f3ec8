"""What each attacker gets out of the published model, without LoX and with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import pandas as pd

from lox.book import record, results
from lox.book.cells import said_of
from lox.book.chapters.dose import measure as dose
from lox.book.together import together
from lox.lab import attackers
from lox.lab.evaluation import evaluate
from lox.lab.labels import Record, difference, labels_of, summary
from lox.lab.model import Model
from lox.lab.parallel import side_by_side
from lox.lab.rows import corrected, head, rates
from lox.lab.setup import Setup
from lox.subspace import Rank

NAME = "attackers"
CELL = ("attacker", "defence")
SETTINGS = ["k", "alpha", "lr", "judge", "n"]
DEFENCES = ("none", "lox")
TABLES = {  # of what was recorded -> its name, and the columns that tell its rows apart
    "means": ("attackers_summary", list(CELL)),
    "paired": ("attackers_paired", ["attacker"]),
    "ratios": ("attackers_ratios", ["attacker"]),
}
OTHERWISE = ("refusal-direction",)  # who attacked by another rule in an earlier record
# Columns of a ratio -> what they are called beside a difference
DOSE = {"low": "dose_low", "high": "dose_high", "p_holm": "dose_p_holm"}
RATIOS = ["attacker", "ratio", "low", "high", "p", "seeds", "measured", "left_out"]


def run(
    setup: Setup,
    names: Sequence[str],
    seeds: Iterable[int],
    task: str,
    k: Rank,
    alpha: float,
    rates: Mapping[str, float],
    times: Mapping[str, int],
    opening: str,
    workers: int = 1,
) -> tuple[Record, pd.DataFrame]:
    """Every attacker on every seed's two models: rows and labels at the task's own length, and all doses.

    ``rates`` are multiples of the task's learning rate by attacker, 1 where one is not named. Those whom ``times``
    names go on for so many times the task's epochs, and the second table has their ASR at every dose.
    ValueError for an unknown attacker.
    """
    training = {name: attackers.trains(name) for name in names}
    seeds = list(seeds)
    published = {
        (seed, defence): setup.model(seed, defence=defence, k=k, alpha=alpha)
        for seed in seeds
        for defence in DEFENCES
    }
    side_by_side([partial(setup.folder, model) for model in published.values()], workers)
    calls = []
    for model in published.values():
        for name in names:
            if training[name]:
                calls.append(
                    partial(trained, setup, name, model, task, k, rate_of(name, rates), times.get(name, 1))
                )
            else:
                calls.append(partial(untrained, setup, name, model, k, opening))
    made = side_by_side(calls, workers)
    courses, labels = (pd.concat(tables, ignore_index=True) for tables in zip(*made))
    at_length = courses[courses["at_length"]].drop(columns="at_length").reset_index(drop=True)
    return Record(at_length, labels), courses.drop(columns="at_length")


def rate_of(name: str, rates: Mapping[str, float]) -> float:
    """The learning rate of an attacker who trains, as a multiple of the task's."""
    kind, number = attackers.split(name)
    return number if kind == "rate" and number else rates.get(name, 1.0)


def untrained(
    setup: Setup, name: str, model: Model, k: Rank, opening: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Row and labels of an attacker who does not train."""
    evaluated = attackers.after(setup, name, model, k, opening)
    cell = {"seed": model.seed, "attacker": name, "defence": model.defence}
    row = _head(setup, model, k) | cell | {"lr": None, "step": 0, "at_length": True} | rates(evaluated)
    return pd.DataFrame([row]), labels_of(evaluated, cell)


def trained(
    setup: Setup, name: str, model: Model, task: str, k: Rank, factor: float, times: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows at every dose of an attacker who trains, and labels at the task's own length."""
    settings = setup.attack(task)
    options = {"k": model.k, "alpha": model.alpha, "lr": factor * settings.lr}
    if times > 1:
        options["schedule"] = "constant_with_warmup"  # so that every step is the same dose
    whole, short = (
        setup.model(model.seed, task, model.defence, epochs=n * settings.epochs, **options)
        for n in (times, 1)
    )
    length = setup.steps(short)
    steps = [length] if times == 1 else sorted({*dose.doses(setup.steps(whole)), length})
    if times == 1 and name == "full":
        folders = {length: setup.folder(whole)}  # a model that other chapters have too
    else:
        folders = attackers.course(setup, whole, name, k, steps)
    cell = {"seed": model.seed, "attacker": name, "defence": model.defence}
    lines, labels = [], pd.DataFrame()
    for step in steps:
        evaluated = evaluate(setup, folders[step], "plain")
        own = {"lr": whole.lr, "step": step, "at_length": step == length}
        lines.append(_head(setup, model, k) | cell | own | rates(evaluated))
        if step == length:
            labels = labels_of(evaluated, cell)
    return pd.DataFrame(lines), labels


def _head(setup: Setup, model: Model, k: Rank) -> dict:
    return head(setup) | {"k": k, "alpha": model.alpha}


# --- tables -------------------------------------------------------------------------------------------


def means(run: Record) -> pd.DataFrame:
    """Rates over seeds with their intervals, a row for each attacker and defence."""
    return summary(run, CELL)


def paired(labels: pd.DataFrame) -> pd.DataFrame:
    """ASR without LoX minus that with it, a row for each attacker; p_holm is corrected for their number.

    Columns attacker, without, with, difference, low, high, p, seeds, n, p_holm.
    """
    lines = []
    for name, group in labels.groupby("attacker", sort=False):
        sides = [group[group["defence"] == defence] for defence in DEFENCES]
        asr = [(side.loc[side["set"] == "harmful", "label"] == "harmful").mean() for side in sides]
        lines.append({"attacker": name, "without": asr[0], "with": asr[1]} | difference(*sides))
    return corrected(pd.DataFrame(lines))


def ratios(courses: pd.DataFrame) -> pd.DataFrame:
    """Steps that break the model with LoX ÷ those without, of attackers who train; empty without doses."""
    doses = courses.groupby("attacker", sort=False)["step"].transform("nunique")
    long = courses[doses > 1]
    if long.empty:
        return pd.DataFrame(columns=RATIOS)
    table = dose.ratios(dose.breaking(long.rename(columns={"attacker": "task"})))
    return table.rename(columns={"task": "attacker"})[RATIOS]


def against_whom(paired: pd.DataFrame, ratios: pd.DataFrame) -> pd.DataFrame:
    """Against whom LoX helps: the difference of each attacker, the ratio of doses, and what both allow to say.

    All of them are read together: p_holm of a difference and dose_p_holm of a ratio are corrected for the number of
    both. The word is "helps" where one of them is distinguished and in favour of LoX, "hurts" where it is not in
    favour, "mixed" where both are the case, else "open".
    """
    both = [paired.assign(test="asr"), ratios.assign(test="dose")]
    family = corrected(pd.concat(both, ignore_index=True))
    asr, doses = (family[family["test"] == test] for test in ("asr", "dose"))
    doses = doses[["attacker", "ratio", *DOSE]].rename(columns=DOSE)
    table = asr[list(paired)].merge(doses, on="attacker", how="left")
    return table.assign(word=[_word(line) for _, line in table.iterrows()])


def dose_of(line: pd.Series) -> pd.Series:
    """The ratio of doses of a row of ``against_whom``, with low, high and p_holm; NaN where no doses were measured."""
    return line[["ratio", *DOSE.values()]].rename({new: old for old, new in DOSE.items()})


def _word(line: pd.Series) -> str:
    said = {
        said_of(line, "helps", "hurts", "open"),
        said_of(dose_of(line), "helps", "hurts", "open", even=1.0),
    }
    return "mixed" if said == {"helps", "hurts"} else next(iter(said - {"open"}), "open")


# --- what was recorded ----------------------------------------------------------------------------------


def recorded(rows: pd.DataFrame, opening: str) -> dict[str, pd.DataFrame] | None:
    """The tables "means", "paired" and "ratios" of the recorded runs, of more attackers than a run may have.

    Two runs are taken together. None where nothing was recorded, or where an attacker of both had another k, α, rate,
    judge or number of prompts, or began replies otherwise.
    """
    names = {"rows": NAME} | {what: name for what, (name, _) in TABLES.items()}
    found = record.recorded_alike(rows, names, ["attacker"], SETTINGS, {"opening": opening})
    return _together(found) if found else None


def of_records(profile: str) -> dict[str, pd.DataFrame]:
    """``recorded``'s tables of a profile's runs, whatever their settings; ValueError where there is none."""
    folders = results.records_of(profile)
    return _together([{w: results.recorded(f, name) for w, (name, _) in TABLES.items()} for f in folders])


def _together(runs: Sequence[dict[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    latest, *earlier = runs
    comparable = [
        {what: run[what][~run[what]["attacker"].isin(OTHERWISE)] for what in TABLES} for run in earlier
    ]
    tables = {
        what: together([run[what] for run in (latest, *comparable)], key) for what, (_, key) in TABLES.items()
    }
    return tables | {"paired": corrected(tables["paired"])}
