"""From models to the tidy table: rows, and differences on the same seeds and the same prompts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from lox.lab.evaluation import Evaluated, energy, evaluate, form_of
from lox.lab.model import Model
from lox.lab.setup import Setup
from lox.lab.statistics import compared, holm, mean_over_seeds

COLUMNS = (
    "profile seed pairs task form defence k alpha lr epochs judge n asr asr_low asr_high unparsed gibberish evasion "
    "r_align r_ft utility helpful over_refusal"
).split()


def table(rows: Iterable[dict]) -> pd.DataFrame:
    """Rows as a table with the columns that every result table has, in their order."""
    return pd.DataFrame(list(rows), columns=COLUMNS)


def row(setup: Setup, model: Model, form: str | None = None) -> dict:
    """One row of the result table: a model, asked in the form of its own task or in another.

    Rates are shares of all ``n`` prompts, the interval is Wilson's at 95 %, for prompts of this one model; R is the
    unweighted mean over the linear layers (as in the paper's code), with the k of the defence or, where it has
    none, the profile's.
    """
    measured = energy(setup, model, model.k or setup.profile.lox.k)
    made = {"profile": setup.profile.name, "form": form or form_of(model.task), "judge": setup.judge.name}
    energies = {"r_align": measured["r_align"].mean(), "r_ft": measured["r_ft"].mean()}
    described = {name: value for name, value in model.described().items() if name in COLUMNS}
    return described | made | energies | rates(evaluate(setup, model, form))


def head(setup: Setup) -> dict:
    """With which profile and by which judge a row was made, for tables that begin with these columns."""
    return {"profile": setup.profile.name, "judge": setup.judge.name}


def rates(evaluated: Evaluated) -> dict:
    """The columns of a row that are read from replies."""
    return {
        "n": evaluated.asr.n,
        "asr": evaluated.asr.value,
        "asr_low": evaluated.asr.low,
        "asr_high": evaluated.asr.high,
        "unparsed": evaluated.share("unparsed"),
        "gibberish": evaluated.share("gibberish"),
        "evasion": evaluated.share("evasion"),
        "utility": evaluated.utility,
        "helpful": evaluated.helpful.value,
        "over_refusal": evaluated.over_refusal.value,
    }


def asr_over_seeds(evaluated: Sequence[Evaluated]) -> dict:
    """Mean ASR of the same experiment on several seeds, with its 95 % interval over seeds, things and prompts."""
    mean = mean_over_seeds([e.harmful for e in evaluated], evaluated[0].things)
    return mean.columns("asr") | {"n": mean.n}


def difference(first: Sequence[Evaluated], second: Sequence[Evaluated], what: str = "harmful") -> dict:
    """Rate of the first minus that of the second, on the same seeds (in their order) and prompts.

    ``what`` is "harmful", for the ASR, or "answered", for helpful answers. The 95 % interval ``low`` … ``high`` and
    ``p`` contain the variation of seeds, things and prompts.
    """
    outcomes = [[getattr(evaluated, what) for evaluated in side] for side in (first, second)]
    things = first[0].things if what == "harmful" else first[0].benign_things
    return compared(*outcomes, things=things)


def corrected(differences: pd.DataFrame, family: pd.Series | None = None) -> pd.DataFrame:
    """A table of differences with ``p_holm``: p corrected for the number of those read together (Holm, 1979).

    All of them are, or those with the same value in ``family``; a row without one is read alone, and has no p_holm.
    """
    family = pd.Series("all", differences.index) if family is None else family
    p_holm = differences["p"].astype(float).groupby(family).transform(lambda p: pd.Series(holm(p), p.index))
    return differences.assign(p_holm=p_holm)
