"""Spectra of the alignment update beside those of chance, of fine-tuning and of other amounts of alignment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import pandas as pd

from lox.book.cells import over_seeds
from lox.book.figures import LLAMA_WIDTH
from lox.book.names import TASK_NAMES
from lox.lab import spectra
from lox.lab.model import Model
from lox.lab.parallel import side_by_side
from lox.lab.setup import Setup
from lox.lab.statistics import mean_of_seeds

RANDOM = "random"
MEASURES = ["norm", "stable_rank", "r"]
PAPER_K = 6  # of the paper's Table 1, of LLaMA-2-7B
Spectra = Mapping[tuple[str, int], pd.DataFrame]  # (update, seed) -> its table of spectra


def alignment(pairs: int) -> str:
    """What the update of alignment with so many pairs is called."""
    return f"alignment, {pairs} pairs"


def amounts(examples: int, published: Iterable[int]) -> list[int]:
    """Numbers of pairs in the ratio of the published ones, the largest ``examples``."""
    published = sorted(set(published))
    return [round(examples * pairs / published[-1]) for pairs in published]


def models(setup: Setup, seed: int, tasks: Iterable[str], sizes: Sequence[int]) -> dict[str, Model]:
    """Update -> the model that it ends at: every size of alignment, and every task from the largest."""
    aligned = {alignment(pairs): setup.model(seed, pairs=pairs) for pairs in sizes}
    return aligned | {TASK_NAMES[task]: setup.model(seed, task, pairs=max(sizes)) for task in tasks}


def measured(
    setup: Setup, seeds: Iterable[int], tasks: Iterable[str], sizes: Iterable[int], workers: int = 1
) -> Spectra:
    """Spectra of every update on every seed, and of random matrices of the largest alignment's shapes and norms."""
    seeds, tasks, sizes = tuple(seeds), tuple(tasks), tuple(sizes)
    of_seeds = side_by_side([partial(of_seed, setup, seed, tasks, sizes) for seed in seeds], workers)
    return {(name, seed): table for seed, tables in zip(seeds, of_seeds) for name, table in tables.items()}


def of_seed(setup: Setup, seed: int, tasks: Sequence[str], sizes: Sequence[int]) -> dict[str, pd.DataFrame]:
    """Update -> table of ``lox.lab.spectra.spectra``, of one seed."""
    by_update = {}
    for name, model in models(setup, seed, tasks, sizes).items():
        before = model.start if model.task else model.base
        by_update[name] = spectra.spectra(spectra.updates(setup.folder(before), setup.folder(model)))
    largest = setup.model(seed, pairs=max(sizes))
    like = spectra.updates(setup.folder(largest.base), setup.folder(largest))
    return by_update | {RANDOM: spectra.spectra(spectra.random_updates(like, seed))}


def steps(setup: Setup, tasks: Iterable[str], sizes: Sequence[int]) -> dict[str, int]:
    """Update -> the optimisation steps that made it."""
    return {name: _steps(setup, model) for name, model in models(setup, setup.seeds[0], tasks, sizes).items()}


def _steps(setup: Setup, model: Model) -> int:
    if model.task:
        return setup.steps(model)
    return setup.profile.alignment.steps(model.pairs)


def overall(by_update: Spectra, k: int, made_in: Mapping[str, int]) -> pd.DataFrame:
    """A row for each update and seed: ``MEASURES``, means over matrices, r at i = k, and the steps that made it."""
    table = pd.DataFrame(
        {"update": name, "seed": seed} | spectra.concentration(one, k)[MEASURES].mean().to_dict()
        for (name, seed), one in by_update.items()
    )
    return table.assign(steps=table["update"].map(made_in))


def against(table: pd.DataFrame, update: str) -> pd.DataFrame:
    """R of an update minus that of every other one, seed by seed, from a table of ``overall``.

    Columns: other; higher, the number of seeds where the update's is larger; mean, low … high, seeds.
    """
    r = table.pivot(index="seed", columns="update", values="r")
    return pd.DataFrame(
        {"other": other, "higher": int((r[update] > r[other]).sum())}
        | mean_of_seeds(r[update] - r[other]).columns("mean")
        for other in dict.fromkeys(table["update"])
        if other != update
    )


def steps_correlation(table: pd.DataFrame, updates: Sequence[str]) -> float:
    """Spearman's correlation, over these updates, of R, mean over seeds, with the steps; NaN for fewer than three."""
    means = table[table["update"].isin(updates)].groupby("update")[["r", "steps"]].mean()
    return means["r"].corr(means["steps"], method="spearman") if len(means) > 2 else math.nan


def profiles(by_update: Spectra) -> pd.DataFrame:
    """R over the share of the directions, mean over matrices, of every update and seed: share, r, update, seed."""
    return pd.concat(
        (
            spectra.mean_profile(table).assign(update=name, seed=seed)
            for (name, seed), table in by_update.items()
        ),
        ignore_index=True,
    )


def of_update(by_update: Spectra, update: str) -> pd.DataFrame:
    """The spectra of one update on all seeds, with the column seed."""
    return pd.concat(
        (table.assign(seed=seed) for (name, seed), table in by_update.items() if name == update),
        ignore_index=True,
    )


def kinds(by_update: Spectra, update: str, k: int) -> pd.DataFrame:
    """Stable rank and R of each kind of matrix, of an update and of chance: means over seeds with their range."""
    columns = {"stable_rank": "stable rank", "r": f"R at k = {k}"}
    tables = {name: _by_kind(of_update(by_update, name), k, [*columns]) for name in (update, RANDOM)}
    result = pd.DataFrame({"kind": tables[update].index})
    for column, title in columns.items():
        result[title] = tables[update][column].to_numpy()
        result[f"{title}, random"] = tables[RANDOM][column].to_numpy()
    return result


def _by_kind(table: pd.DataFrame, k: int, columns: list[str]) -> pd.DataFrame:
    of_seeds = pd.concat(
        spectra.concentration(one, k).assign(seed=seed) for seed, one in table.groupby("seed")
    )
    means = of_seeds.groupby(["kind", "seed"], sort=False)[columns].mean()
    return means.groupby("kind", sort=False).agg(over_seeds)


def papers_bound(table1: pd.DataFrame, figure2: pd.DataFrame) -> dict[str, float]:
    """A lower bound of the paper's R_align, and what chance gives there.

    R_ft after GSM8K at k = 6 (Table 1), divided by R_ft / R_align at k = 10 for the same amount of alignment (Figure
    2); chance is √k (1/√m + 1/√n) of a square matrix.
    """
    r_ft = table1.query("task == 'gsm8k' and defence == 'none'")["r_ft"].item()
    ratio = figure2.query("k == 10 and pairs == pairs.max()")["ratio"].item()
    return {"r_align": r_ft / ratio, "chance": 2 * (PAPER_K / LLAMA_WIDTH) ** 0.5}
