"""Effective ranks read from what was measured, by the log-odds and by the ASR, and how far the two agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from lox.book.chapters.effective_rank.measure import ALIGNED
from lox.book.chapters.judge_free_rank.measure import ASR, OPENING, WHOLE, LogOdds, Measured
from lox.effective_rank import ROUNDING, read_curve

RESAMPLES = 1000
WAYS = (ASR, WHOLE, OPENING)


def lost_share(log_odds: LogOdds) -> dict[int, float]:
    """r -> the share of the base-to-aligned shift of the mean log-odds that θ_r lacks: 1 at r = 0.

    ``log_odds`` maps ranks, 0 among them, and "aligned" to one value a prompt. Below 0 where θ_r refuses
    more than the aligned model; NaN, so that no r passes, if alignment did not raise the log-odds at all.
    """
    mean = {r: float(values.double().mean()) for r, values in log_odds.items()}
    shift = mean[ALIGNED] - mean[0]
    shift = shift if shift > 0 else math.nan
    return {r: (mean[ALIGNED] - value) / shift for r, value in mean.items() if r != ALIGNED}


def curves(models: Mapping[tuple[int, int], Measured]) -> pd.DataFrame:
    """A row for each model, way of scoring and r: seed, pairs, score, rank, asr, log_odds (mean), lost and n."""
    return pd.DataFrame(
        {"seed": seed, "pairs": pairs, "score": way, "rank": r, "asr": model.asr[r].asr.value}
        | {"log_odds": float(odds[r].mean()), "lost": loss, "n": len(odds[r])}
        for (seed, pairs), model in models.items()
        for way, odds in model.odds.items()
        for r, loss in lost_share(odds).items()
    )


def effective_rank(model: Measured, way: str, tolerance: float) -> float:
    """The smallest measured r that satisfies the condition of a way, inf for none; ``tolerance`` is its ρ or τ."""
    if way == ASR:
        curve, aligned = {r: model.asr[r].asr.value for r in model.ranks}, model.asr[ALIGNED].asr.value
    else:
        curve, aligned = lost_share(model.odds[way]), 0.0
    rank = read_curve(curve, aligned, tolerance).rank
    return math.inf if rank is None else float(rank)


def resampled(model: Measured, way: str, tolerance: float, things: int | None = None) -> np.ndarray:
    """The same in resamples of ``things`` things with their prompts, all unless given, (RESAMPLES,); inf for none."""
    if way == ASR:
        aligned = np.array(model.asr[ALIGNED].harmful, float)
        lost = {r: np.array(model.asr[r].harmful, float) - aligned for r in model.ranks}
        return resampled_ranks(lost, model.asr[ALIGNED].things, lambda m: m < tolerance - ROUNDING, things)
    odds = model.odds[way]
    lost = {r: (odds[ALIGNED] - odds[r]).double().numpy() for r in model.ranks}
    return resampled_ranks(lost, model.things, lambda m: (m < tolerance * m[:, :1]) & (m[:, :1] > 0), things)


def resampled_ranks(
    curve: Mapping[int, Sequence[float] | np.ndarray],
    things: Sequence[str],
    passes: Callable[[np.ndarray], np.ndarray],
    drawn: int | None = None,
) -> np.ndarray:
    """The effective rank in bootstrap resamples of things, each with all its prompts, (RESAMPLES,); inf for none.

    ``curve`` maps each r to one value a prompt, ``things`` says what each prompt is about; ``passes`` takes the means
    (resamples, ranks) in rising order of r to booleans of that shape. ``drawn`` is how many things are drawn.
    """
    ranks = sorted(curve)
    values = pd.DataFrame({r: np.asarray(curve[r], float) for r in ranks})
    groups = values.groupby(list(things))
    sums, counts = groups.sum().to_numpy(), groups.size().to_numpy()
    chosen = np.random.default_rng(0).integers(len(counts), size=(RESAMPLES, drawn or len(counts)))
    passed = passes(sums[chosen].sum(1) / counts[chosen].sum(1)[:, None])
    return np.where(passed.any(axis=1), np.array(ranks, float)[passed.argmax(axis=1)], np.inf)


# --- comparing ------------------------------------------------------------------------------------


def ranks(models: Mapping[tuple[int, int], Measured], rho: float, tau: float) -> pd.DataFrame:
    """The rank of every model by every way: seed, pairs, asr_aligned, way, rank, low, high.

    low … high hold 95 % of the resamples of things; where no measured r satisfies the condition, a rank is inf.
    """
    rows = []
    for (seed, pairs), model in models.items():
        head = {"seed": seed, "pairs": pairs, "asr_aligned": model.asr[ALIGNED].asr.value}
        for way in WAYS:
            tolerance = rho if way == ASR else tau
            low, high = np.quantile(resampled(model, way, tolerance), [0.025, 0.975], method="inverted_cdf")
            rank = effective_rank(model, way, tolerance)
            rows.append(head | {"way": way, "rank": rank, "low": low, "high": high})
    return pd.DataFrame(rows)


def informative(models: Mapping[tuple[int, int], Measured], rho: float) -> dict[tuple[int, int], Measured]:
    """The models whose rank by the ASR is not 0: with 0 the base model itself is as safe as the aligned one."""
    return {key: model for key, model in models.items() if effective_rank(model, ASR, rho) != 0}


def agreement(
    models: Mapping[tuple[int, int], Measured], rho: float, tolerances: Iterable[float]
) -> pd.DataFrame:
    """How often the ranks by log-odds equal those by the ASR, for each score and τ, among the informative models.

    Columns score, tau, models, equal, within_one (up to one step on the list of measured ranks), and mean_steps, the
    mean number of steps by which the log-odds' rank is the larger one; NaN without any model.
    """
    models_of = informative(models, rho).values()
    rows = []
    for way, tau in itertools.product((WHOLE, OPENING), sorted(set(tolerances))):
        apart = [_place(model, way, tau) - _place(model, ASR, rho) for model in models_of]
        counts = {"equal": sum(d == 0 for d in apart), "within_one": sum(abs(d) <= 1 for d in apart)}
        mean = float(np.mean(apart)) if apart else math.nan
        rows.append({"score": way, "tau": tau, "models": len(apart)} | counts | {"mean_steps": mean})
    return pd.DataFrame(rows)


def _place(model: Measured, way: str, tolerance: float) -> int:
    """The place of its rank on the list of measured ranks; one beyond the last for none."""
    return [*sorted(model.ranks), math.inf].index(effective_rank(model, way, tolerance))


def correlations(table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation of ASR(θ_r) with L(θ_r) over all r and amounts: score, seed, correlation.

    ``table`` is that of ``curves``. NaN where one of the two stands still.
    """
    groups = table.groupby(["score", "seed"], sort=False)[["asr", "log_odds"]]
    return pd.DataFrame(
        {"score": score, "seed": seed, "correlation": group.corr("spearman").loc["asr", "log_odds"]}
        for (score, seed), group in groups
    )


def stability(
    models: Mapping[tuple[int, int], Measured], rho: float, tau: float, drawn: Iterable[int]
) -> pd.DataFrame:
    """How often a resample of so many things gives the very rank that all prompts give: things, way, same.

    The mean over the informative models; NaN without any.
    """
    models_of, rows = informative(models, rho).values(), []
    for things, way in itertools.product(drawn, WAYS):
        tolerance = rho if way == ASR else tau
        same = [
            np.mean(resampled(model, way, tolerance, things) == effective_rank(model, way, tolerance))
            for model in models_of
        ]
        rows.append({"things": things, "way": way, "same": float(np.mean(same)) if same else math.nan})
    return pd.DataFrame(rows)
