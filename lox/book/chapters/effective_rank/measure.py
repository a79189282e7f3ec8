"""ASR(θ_r) over r on every seed, and the effective rank that it shows (equation 4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import pandas as pd

from lox.book import results
from lox.effective_rank import read_curve
from lox.lab import profile as profiles
from lox.lab import rows
from lox.lab.evaluation import Evaluated, evaluate, rank_curve
from lox.lab.parallel import side_by_side
from lox.lab.profile import ToyModel
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


def curves(setup: Setup, by_seed: Mapping[int, Curve]) -> pd.DataFrame:
    """A row for each seed and r: profile, judge, seed, rank, asr_aligned, and the columns of ``lox.lab.rows.rates``.

    asr_aligned is the ASR of the seed's aligned model, so that the table alone tells the seed's effective rank.
    """
    return pd.DataFrame(
        rows.head(setup)
        | {"seed": seed, "rank": r, "asr_aligned": curve[ALIGNED].asr.value}
        | rows.rates(model)
        for seed, curve in by_seed.items()
        for r, model in curve.items()
        if r != ALIGNED
    )


def against_aligned(setup: Setup, by_seed: Mapping[int, Curve], rho: float) -> pd.DataFrame:
    """Whether ASR(θ_r) − ASR(θ_align) < ρ over all seeds, a row for each r.

    Columns: profile, judge, rank; asr, low, high, the mean ASR(θ_r) with its 95 % interval; gap, gap_low, gap_high,
    the paired difference to the aligned model; p_holm of no difference; seeds; n; and verdict: "holds" where the
    interval of the gap lies below ρ, "fails" where it lies at ρ or above, else "open".
    """
    aligned = [curve[ALIGNED] for curve in by_seed.values()]
    table = []
    for r in _ranks(by_seed):
        models = [curve[r] for curve in by_seed.values()]
        gap = rows.difference(models, aligned)
        described = {"gap": gap["difference"], "gap_low": gap["low"], "gap_high": gap["high"], "p": gap["p"]}
        table.append(rows.head(setup) | {"rank": r} | rows.asr_over_seeds(models) | described)
    return _with_verdicts(rows.corrected(pd.DataFrame(table)).drop(columns="p"), rho)


def architectures(names: Iterable[str], rho: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The recorded curves of several profiles: the tables of ``against_aligned`` and of ``ranks``, one under the other.

    Both have the columns profile and architecture; a profile of which nothing is recorded has no rows.
    """
    conditions, of_seeds = [], []
    for name in names:
        try:
            curve, against = (
                results.recorded(name, f"effective_rank{end}") for end in ("", "_against_aligned")
            )
        except ValueError:  # nothing was recorded
            continue
        head = {"profile": name, "architecture": _architecture(name)}
        conditions.append(_with_verdicts(against, rho).assign(**head))
        of_seeds.append(ranks(curve, rho).assign(**head))
    none = pd.DataFrame(columns=["profile", "architecture"])
    return (pd.concat(conditions), pd.concat(of_seeds)) if conditions else (none, none)


def verdict(low: float, high: float, rho: float) -> str:
    """What an interval of ASR(θ_r) − ASR(θ_align) says of the condition of equation 4."""
    return "holds" if high < rho else "fails" if low >= rho else "open"


def ranks(curves: pd.DataFrame, rho: float) -> pd.DataFrame:
    """The effective rank of every seed of the table of ``curves``: seed, asr_aligned, rank, settled; <NA> for none."""
    return _table(
        {"seed": seed} | _read(dict(zip(curve["rank"], curve["asr"])), curve["asr_aligned"].iloc[0], rho)
        for seed, curve in curves.groupby("seed", sort=False)
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
    reading = read_curve(curve, asr_aligned, rho)
    return {"asr_aligned": asr_aligned, "rank": reading.rank, "settled": reading.settled}


def _table(lines: Iterable[dict]) -> pd.DataFrame:
    return pd.DataFrame(lines).astype({"rank": "Int64", "settled": "Int64"})


def _with_verdicts(table: pd.DataFrame, rho: float) -> pd.DataFrame:
    """The column verdict, read anew from the interval of the gap."""
    return table.assign(
        verdict=[verdict(low, high, rho) for low, high in zip(table["gap_low"], table["gap_high"])]
    )


def _architecture(name: str) -> str:
    model = profiles.load(name).model
    return model.architecture if isinstance(model, ToyModel) else model.source


def _ranks(by_seed: Mapping[int, Curve]) -> list[int]:
    return [r for r in next(iter(by_seed.values())) if r != ALIGNED]
