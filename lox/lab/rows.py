"""From evaluated models to the tidy table: rows, and differences tested on the same prompts."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from lox.checkpoints.energy import energy_table
from lox.lab.evaluation import paired_difference, paired_p_value
from lox.lab.setup import Evaluated, Setup

COLUMNS = (
    "profile seed pairs task defence k alpha lr epochs judge n asr asr_low asr_high unparsed gibberish "
    "r_align r_ft utility helpful over_refusal"
).split()
EXTRAPOLATING = ("lox", "full-rank")


def table(rows: Iterable[dict]) -> pd.DataFrame:
    """Rows as a table with the columns that every result table has, in their order."""
    return pd.DataFrame(list(rows), columns=COLUMNS)


def row(setup: Setup, seed: int, task: str | None = None, defence: str = "none", **which) -> dict:
    """One row of the result table: a defended model after a task, or before any (task None).

    ``which`` is pairs, k, alpha, epochs, lr where they are not the profile's. Rates are shares of all
    ``n`` prompts, the interval is Wilson's at 95 %; R is the unweighted mean over the linear layers (as
    in the paper's code), with the k of the defence whether it is on or not.
    """
    settings = setup.attack_settings(task, which.get("epochs"), which.get("lr")) if task else None
    k = setup.profile.lox.k if which.get("k") is None else which["k"]
    alpha = setup.profile.lox.alpha if which.get("alpha") is None else which["alpha"]
    extrapolating = defence in EXTRAPOLATING
    aligned = setup.folder("aligned", seed=seed, pairs=which.get("pairs"))
    folder = model_folder(setup, seed, task, defence, **which)
    energy = energy_table(setup.folder("base"), aligned, folder, k=k)
    return {
        "profile": setup.profile.name,
        "seed": seed,
        "pairs": which.get("pairs") or setup.profile.alignment.examples,
        "task": task or "none",
        "defence": defence,
        "k": ("full" if defence == "full-rank" else k) if extrapolating else None,
        "alpha": alpha if extrapolating else None,
        "lr": settings.lr if settings else None,
        "epochs": settings.epochs if settings else None,
        "judge": setup.judge.name,
        "r_align": energy["r_align"].mean(),
        "r_ft": energy["r_ft"].mean(),
    } | rates(setup.evaluate(folder, task))


def rates(found: Evaluated) -> dict:
    """The columns of a row that are read from replies."""
    return {
        "n": found.asr.n,
        "asr": found.asr.value,
        "asr_low": found.asr.low,
        "asr_high": found.asr.high,
        "unparsed": found.share("unparsed"),
        "gibberish": found.share("gibberish"),
        "utility": found.utility,
        "helpful": found.helpful.value,
        "over_refusal": found.over_refusal.value,
    }


def model_folder(setup: Setup, seed: int, task: str | None, defence: str, **which):
    """The model that a row is about."""
    if task is None:
        start = {name: which.get(name) for name in ("pairs", "k", "alpha")}
        return setup.defended(seed, defence, **start)
    return setup.folder("attacked", seed=seed, task=task, defence=defence, **which)


def compare(setup: Setup, task: str, seeds: Iterable[int], first: str, second: str, **which) -> dict:
    """ASR of one defence less that of another after a task, on the same prompts and seeds.

    ``low`` and ``high`` are the 95 % bootstrap interval over prompts of the difference averaged over
    seeds; ``p`` lists the exact McNemar test of each seed.
    """
    outcomes = {
        defence: [
            setup.evaluate(model_folder(setup, seed, task, defence, **which), task).harmful for seed in seeds
        ]
        for defence in (first, second)
    }
    difference = paired_difference(outcomes[first], outcomes[second])
    p = [paired_p_value(a, b) for a, b in zip(outcomes[first], outcomes[second])]
    return {"task": task, "first": first, "second": second} | difference | {"p": p}
