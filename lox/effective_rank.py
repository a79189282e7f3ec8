"""How many ranks of the alignment update its safety needs (paper, section 3, equation 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from lox.extrapolation import truncate

ROUNDING = 1e-7  # a rate's rounding in float32: .06 − .05 is not below .01


@dataclass(frozen=True)
class EffectiveRank:
    """The answer to equation 4 and what it was read from.

    ``rank`` is the smallest evaluated r with ASR(θ_r) − ASR(θ_align) < ρ, None if there is none.
    ASR(θ_r) need not fall steadily, so ``settled`` is the smallest evaluated r from which on *every*
    evaluated r satisfies it; the two agree on a curve that falls. ``curve`` maps r to ASR(θ_r).
    """

    rank: int | None
    settled: int | None
    curve: dict[int, float]
    asr_aligned: float
    rho: float


def effective_rank(
    base: Mapping[str, Tensor],
    aligned: Mapping[str, Tensor],
    asr: Callable[[Mapping[str, Tensor]], float],
    *,
    rho: float = 0.01,
    ranks: Iterable[int] | None = None,
) -> EffectiveRank:
    """min r subject to ASR(θ_r) − ASR(θ_align) < ρ, θ_r = W_base + Proj_r(ΔW_align) (equation 4).

    ``base`` and ``aligned`` map names to tensors, ``asr`` maps such weights to an attack success
    rate in [0, 1] and is called once for each r. With ``ranks`` all of them are evaluated; without,
    r = 1, 2, 3, … until the first that satisfies the condition, so ``settled`` then equals ``rank``.
    Raises ValueError for ρ outside (0, 1) and for negative ranks.
    """
    if not 0 < rho < 1:
        raise ValueError(f"rho lies between 0 and 1, not {rho!r}")
    target = asr(aligned)
    if ranks is None:
        return _first_rank(base, aligned, asr, rho, target)
    curve = {r: asr(truncate(base, aligned, rank=r)) for r in sorted(set(ranks))}
    return read_curve(curve, target, rho)


def read_curve(curve: Mapping[int, float], asr_aligned: float, rho: float) -> EffectiveRank:
    """The effective rank that a measured curve r -> ASR(θ_r) shows."""
    if not 0 < rho < 1:
        raise ValueError(f"rho lies between 0 and 1, not {rho!r}")
    ranks = sorted(curve)
    good = [_satisfies(curve[r], asr_aligned, rho) for r in ranks]
    first = next((r for r, ok in zip(ranks, good) if ok), None)
    settled = next((r for i, r in enumerate(ranks) if all(good[i:])), None)
    return EffectiveRank(first, settled, dict(sorted(curve.items())), asr_aligned, rho)


def _first_rank(base, aligned, asr, rho: float, target: float) -> EffectiveRank:
    full = max((min(w.shape[-2:]) for w in aligned.values() if w.ndim in (2, 3)), default=0)
    curve = {}
    for r in range(1, full + 1):
        curve[r] = asr(truncate(base, aligned, rank=r))
        if _satisfies(curve[r], target, rho):
            break
    return read_curve(curve, target, rho)


def _satisfies(asr: float, asr_aligned: float, rho: float) -> bool:
    """Whether ASR(θ_r) − ASR(θ_align) < ρ; equality that rounding hides is no less."""
    return bool(asr - asr_aligned < rho - ROUNDING)
