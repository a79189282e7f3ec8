"""What is read anew from SmolLM2's recorded verdicts, and the toy's models beside them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial

import pandas as pd

from lox.book.cells import rows_of
from lox.book.chapters.judges.measure import DEFENCES, LEAST, MODEL, read_by
from lox.lab.evaluation import IN_PERSONA
from lox.lab.judging.verdicts import Verdict, agreement
from lox.lab.labels import kinds as of_labels
from lox.lab.labels import rates_of_seeds, summary_of_labels
from lox.lab.parallel import side_by_side
from lox.lab.rows import row
from lox.lab.setup import Setup
from lox.lab.statistics import mean_of_seeds

EVASIVE = "refusal-or-evasion"  # the judge whose recorded "harmless" is a reply that evades
BEFORE_IN_PERSONA = "none, in persona"  # the aligned model, asked in the persona of identity shifting


def attack_success(labels: pd.DataFrame, judge: str) -> pd.DataFrame:
    """A judge's ASR for each task and defence: mean over seeds, its 95 % interval, and ``each``, that of each seed.

    ``labels`` is the recorded table: a row for each seed, task, defence and prompt, a column for each judge. Prompts
    are independent: every goal of AdvBench is a thing of its own.
    """
    read = read_by(labels, judge)
    each = rates_of_seeds(read, "harmful", MODEL).groupby(MODEL)["harmful"].agg(list).rename("each")
    success = summary_of_labels(read, MODEL).rename(columns={"asr_low": "low", "asr_high": "high"})
    return success.assign(judge=judge).join(each, on=MODEL)


def kinds(labels: pd.DataFrame) -> pd.DataFrame:
    """Shares of all replies to harmful prompts by ``EVASIVE``, seeds together: harmful, refusal, evasion, gibberish."""
    return of_labels(labels.replace({EVASIVE: {"harmless": "evasion"}}), MODEL, EVASIVE)


def over_seeds_alone(first: pd.DataFrame, second: pd.DataFrame) -> dict:
    """ASR of the first rows minus that of the second, a row a seed: ``difference``, ``low``, ``high`` and ``each``.

    For recorded tables without verdicts: Student's t interval at 95 % over seeds, for just these prompts. The standard
    error is at least half the step in which the mean of as many verdicts moves. Infinite with one seed.
    """
    each = first.set_index("seed")["asr"] - second.set_index("seed")["asr"]
    step = 1 / (len(each) * first["n"].iloc[0])
    mean = mean_of_seeds(each, least_error=step / 2)
    return {"difference": mean.value, "low": mean.low, "high": mean.high, "each": each.tolist()}


def by_seed(rows: pd.DataFrame, task: str) -> dict:
    """``over_seeds_alone`` of recorded rows after a task: without LoX minus with it."""
    return over_seeds_alone(*(rows_of(rows, task=task, defence=defence) for defence in DEFENCES))


def contrasts(pairs: pd.DataFrame, parts: pd.DataFrame) -> pd.DataFrame:
    """ASR of one part of fine-tuning minus that of another, read anew from the ASR of each seed.

    ``pairs`` names them in its columns task, defence, first and second ("subspace: part"); ``parts`` has columns
    task, defence, seed, subspace, part, n and asr.
    """
    name = parts["subspace"] + ": " + parts["part"]
    models = parts.assign(name=name).set_index(["task", "defence", "name"]).sort_index()
    table = []
    for pair in pairs[["task", "defence", "first", "second"]].to_dict("records"):
        sides = [models.loc[(pair["task"], pair["defence"], pair[side])] for side in ("first", "second")]
        table.append(pair | over_seeds_alone(*sides))
    return pd.DataFrame(table)


def full_against_low(grid: pd.DataFrame) -> pd.DataFrame:
    """ASR at full rank minus that at low rank, after each task at each α > 0, where both have the same seeds.

    ``grid`` has columns task, choice ("full" or a k), alpha, seed, n and asr.
    """
    low_rank = grid[(grid["alpha"] > 0) & (grid["choice"] != "full")]
    table = []
    for (task, alpha, k), low in low_rank.groupby(["task", "alpha", "choice"], sort=False):
        full = rows_of(grid, task=task, alpha=alpha, choice="full")
        if set(full["seed"]) == set(low["seed"]):
            table.append({"task": task, "alpha": alpha, "k": k} | over_seeds_alone(full, low))
    return pd.DataFrame(table)


def agreement_by_score(
    first: Mapping[str, float], second: Mapping[str, float], least: Iterable[int] = LEAST
) -> pd.DataFrame:
    """Cohen's κ of two readers on the replies that both scored, for each least score that counts as harmful.

    Both map a reply's id to its score, NaN where there is none. Columns: least, kappa, low, high, n, and same,
    the share of replies on which both say harmful or both do not.
    """
    both = pd.DataFrame({"first": first, "second": second}).dropna()
    table = []
    for score in least:
        sides = [[Verdict("harmful" if s >= score else "harmless") for s in both[side]] for side in both]
        same = sum(a == b for a, b in zip(*sides)) / len(both)
        table.append({"least": score} | asdict(agreement(*sides)) | {"same": same})
    return pd.DataFrame(table)


def lost_share(parts: pd.DataFrame) -> pd.DataFrame:
    """Of the rise of ASR by the whole ΔW_ft, what each part alone brings: (part − nothing) / (whole − nothing).

    A row for each task, subspace and part, without a defence; means over seeds. NaN where the whole does no damage.
    """
    asr = rows_of(parts, defence="none").groupby(["task", "subspace", "part"], sort=False)["asr"].mean()
    nothing, whole = (asr.xs(("all", part), level=("subspace", "part")) for part in ("nothing", "whole"))
    table = asr.reset_index()
    rise = table["task"].map(whole - nothing)
    return table.assign(share=(table["asr"] - table["task"].map(nothing)) / rise.where(rise > 0))


def rows_here(setup: Setup, workers: int = 1) -> pd.DataFrame:
    """Rows of this run's aligned and attacked models, without and with LoX, on its reported seeds."""
    return _rows(setup, [None, *setup.profile.attacks], None, workers)


def rows_in_persona(setup: Setup, workers: int = 1) -> pd.DataFrame:
    """Rows of this run's aligned models in persona, task ``BEFORE_IN_PERSONA``: the row before identity shifting."""
    return _rows(setup, [None], IN_PERSONA, workers).assign(task=BEFORE_IN_PERSONA)


def _rows(setup: Setup, tasks: Iterable[str | None], form: str | None, workers: int) -> pd.DataFrame:
    models = [setup.model(*model) for model in itertools.product(setup.seeds, tasks, DEFENCES)]
    return pd.DataFrame(side_by_side([partial(row, setup, model, form) for model in models], workers))
