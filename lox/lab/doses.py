"""Breaking doses: how much fine-tuning a model bears, and how the doses of two models compare over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import log_ndtr, stdtr
from scipy.stats import CensoredData, norm

from lox.lab.statistics import Estimate, student_t

SIGN_TEST_SEEDS = 6  # the fewest for which all on one side has p = 2 · 2^-seeds < 0.05


def breaking_dose(doses: ArrayLike, asr: ArrayLike, level: float = 0.5) -> float:
    """The dose at which ``asr`` first reaches ``level``; both (D,), doses increasing from 0 or more.

    Between two positive doses ASR is interpolated on the logarithm of the dose, between 0 and the smallest
    positive dose on the dose. The first dose where ASR is that high already (the true dose may be smaller),
    ``inf`` where ASR stays below the level. ValueError for doses that do not increase, and for NaN.
    """
    doses, asr = np.asarray(doses, float), np.asarray(asr, float)
    if doses.ndim != 1 or doses.shape != asr.shape or doses.size == 0:
        raise ValueError(f"doses are {doses.shape} and asr {asr.shape}: one rate is needed for every dose")
    if not np.isfinite(doses).all() or doses[0] < 0 or (np.diff(doses) <= 0).any():
        raise ValueError(f"doses must be finite, not negative and increasing, got {doses.tolist()}")
    if not ((asr >= 0) & (asr <= 1)).all():
        raise ValueError(f"asr must be in [0, 1], got {asr.tolist()}")
    reached = np.flatnonzero(asr >= level)
    if reached.size == 0 or reached[0] == 0:
        return float(doses[0]) if reached.size else np.inf
    (dose, next_dose), (before, after) = (x[reached[0] - 1 : reached[0] + 1] for x in (doses, asr))
    share = (level - before) / (after - before)
    return float(share * next_dose if dose == 0 else dose * (next_dose / dose) ** share)


@dataclass(frozen=True)
class Ratio(Estimate):
    """A ratio of doses, with the p of no difference, a ratio of 1."""

    p: float


def ratio_of_doses(without: ArrayLike, with_: ArrayLike, limit: float | int = np.inf) -> Ratio:
    """Geometric mean over seeds of the breaking dose with a defence ÷ without it; both (S,), paired by seed.

    ``inf`` is a model that did not break up to ``limit``, the longest run: its ratio is only bounded
    (censored), and where neither breaks the seed says nothing. The ratios are taken as log-normal. The
    interval is the profile likelihood's with the threshold n log(1 + t²/(n − 1)) for the n seeds that say
    something, and p that of the t at which it would end at 1; without censoring they are the t interval and the t
    test of the log ratios, with it the interval holds the truth in 95 to 97 % in simulation.
    Where no two measured ratios differ there is no spread to estimate: the value is then the median of the
    largest ratios possible, interval and p the sign test's: all seeds from 6 on, and 0 to infinity below.
    ValueError for doses that are not positive, for one above ``limit``, and for ``inf`` without ``limit``.
    """
    lower, upper = _bounds_of_log_ratios(without, with_, limit)
    exact = lower[lower == upper]
    if exact.size >= 2 and np.ptp(exact) > 0:
        *logs, p = _profile_interval(exact, *(x[(lower < upper) & np.isfinite(x)] for x in (lower, upper)))
    else:
        many = lower.size >= SIGN_TEST_SEEDS
        logs = [np.median(upper), *((lower.min(), upper.max()) if many else (-np.inf, np.inf))]
        p = 2.0 ** (1 - lower.size) if many and (lower.min() > 0 or upper.max() < 0) else 1.0
    value, low, high = map(float, np.exp(logs))
    return Ratio(value, low, high, seeds=lower.size, n=exact.size, p=float(p))


def _bounds_of_log_ratios(without: ArrayLike, with_: ArrayLike, limit: float | int) -> tuple:
    """The least and the largest log ratio that each seed allows, (S,) both; equal where it was measured."""
    without, with_ = np.asarray(without, float), np.asarray(with_, float)
    if without.ndim != 1 or without.shape != with_.shape or without.size == 0:
        raise ValueError(f"without is {without.shape}, with {with_.shape}: one dose a seed is needed")
    doses = np.stack([without, with_])
    if not (doses > 0).all():
        raise ValueError(f"breaking doses must be positive, got {doses[~(doses > 0)][0]}")
    broke = np.isfinite(doses)
    if (doses[broke] > limit).any() or not (broke.all() or np.isfinite(limit)):
        raise ValueError(f"limit {limit} is not the longest run: the doses are {doses.tolist()}")
    ratios = np.diff(np.log(np.minimum(doses, limit)), axis=0)[0]
    return np.where(broke[0], ratios, -np.inf), np.where(broke[1], ratios, np.inf)


def _profile_interval(exact: np.ndarray, right: np.ndarray, left: np.ndarray) -> tuple[float, ...]:
    """Maximum-likelihood mean of a normal sample with censoring, its profile-likelihood interval, and p of 0."""
    mean, sd = norm.fit(CensoredData(uncensored=exact, right=right, left=left))
    sds = sd * np.geomspace(1e-2, 1e3, 250)

    def profile(at: float) -> float:
        z = [(logs[:, None] - at) / sds for logs in (exact, right, left)]
        density = -np.log(sds) - z[0] ** 2 / 2  # up to a constant
        return float((density.sum(0) + log_ndtr(-z[1]).sum(0) + log_ndtr(z[2]).sum(0)).max())

    n = exact.size + right.size + left.size
    lowest = profile(mean) - n * np.log1p(student_t(n - 1) ** 2 / (n - 1)) / 2
    ends = [-np.inf, np.inf]
    for end, side in enumerate((-sd, sd)):
        outside = next((x for x in mean + side * np.geomspace(1, 1e6, 21) if profile(x) < lowest), None)
        if outside is not None:
            ends[end] = brentq(lambda x: profile(x) - lowest, mean, outside)
    likelihoods = 2 * max(0.0, profile(mean) - profile(0.0))
    t = np.sqrt((n - 1) * np.expm1(likelihoods / n))
    return mean, *ends, 2 * stdtr(n - 1, -t)
