"""ASR(θ_r) over r on every seed, and the effective rank that it shows (equation 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import pandas as pd

from lox.effective_rank import read_curve
from lox.lab import rows
from lox.lab.evaluation import Evaluated, evaluate, rank_curve
from lox.lab.parallel import side_by_side
from lox.lab.setup import Setup

ALIGNED = "aligned"
Curve = Mapping[int | str, Evaluated]  # r -> θ_r, and "aligned"


def evaluated(setup: Setup, seeds: Iterable[int], ranks: Iterable[int], workers: int = 1) -> dict[int, Curve]:
    """Seed -> its curve: every θ_r and the aligned model with their replies and verdicts."""
    seeds, ranks = tuple(seeds), tuple(ranks)
    curves = side_by_side([partial(curve_of, setup, seed, ranks) for seed in seeds], workers)
    return dict(zip(seeds, curves))


def curve_of(setup: Setup, seed: int, ranks: Sequence[int], pairs: int | None = None) -> Curve:
    """r -> θ_r of one seed, and under "aligned" the model that it approaches."""
    aligned = setup.model(seed, pairs=pairs)
    return rank_curve(setup, seed, ranks, pairs) | {ALIGNED: evaluate(setup, aligned)}


def curves(found: Mapping[int, Curve]) -> pd.DataFrame:
    """A row for each seed and r: the columns seed and rank, and those of ``lox.lab.rows.rates``."""
    return pd.DataFrame(
        {"seed": seed, "rank": r} | rows.rates(model)
        for seed, curve in found.items()
        for r, model in curve.items()
        if r != ALIGNED
    )


def against_aligned(found: Mapping[int, Curve], rho: float) -> pd.DataFrame:
    """Whether ASR(θ_r) − ASR(θ_align) < ρ over all seeds, a row for each r.

    Columns: rank; asr, low, high, the mean ASR(θ_r) with its 95 % interval; gap, gap_low, gap_high, the paired
    difference to the aligned model; p_holm of no difference; seeds; n; and verdict: "holds" where the interval
    of the gap lies below ρ, "fails" where it lies at ρ or above, else "open".
    """
    aligned = [curve[ALIGNED] for curve in found.values()]
    table = []
    for r in _ranks(found):
        models = [curve[r] for curve in found.values()]
        gap = rows.difference(models, aligned)
        described = {"gap": gap["difference"], "gap_low": gap["low"], "gap_high": gap["high"], "p": gap["p"]}
        table.append({"rank": r} | rows.asr_over_seeds(models) | described)
    table = rows.corrected(pd.DataFrame(table)).drop(columns="p")
    return table.assign(
        verdict=[verdict(low, high, rho) for low, high in zip(table["gap_low"], table["gap_high"])]
    )


def verdict(low: float, high: float, rho: float) -> str:
    """What an interval of ASR(θ_r) − ASR(θ_align) says of the condition of equation 4."""
    return "holds" if high < rho else "fails" if low >= rho else "open"


def ranks(found: Mapping[int, Curve], rho: float) -> pd.DataFrame:
    """The effective rank of every seed: columns seed, asr_aligned, rank and settled, which are <NA> for none."""
    return _table(
        {"seed": seed} | _read({r: curve[r].asr.value for r in _ranks(found)}, curve[ALIGNED].asr.value, rho)
        for seed, curve in found.items()
    )


def published_ranks(published: pd.DataFrame, rho: float) -> pd.DataFrame:
    """The same of published curves (columns model, pairs, rank, asr); the last rank stands for the aligned model."""
    groups = published.sort_values("rank").groupby(["model", "pairs"], sort=False)
    return _table(
        {"model": model, "pairs": pairs}
        | _read(dict(zip(curve["rank"], curve["asr"])), curve["asr"].iloc[-1], rho)
        for (model, pairs), curve in groups
    )


def _read(curve: Mapping[int, float], asr_aligned: float, rho: float) -> dict:
    found = read_curve(curve, asr_aligned, rho)
    return {"asr_aligned": asr_aligned, "rank": found.rank, "settled": found.settled}


def _table(lines: Iterable[dict]) -> pd.DataFrame:
    return pd.DataFrame(lines).astype({"rank": "Int64", "settled": "Int64"})


def _ranks(found: Mapping[int, Curve]) -> list[int]:
    return [r for r in next(iter(found.values())) if r != ALIGNED]
