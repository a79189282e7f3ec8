"""Low-rank extrapolation: move the aligned weights on along their safety subspace (equation 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from lox.subspace import Rank, Subspace, check_rank, is_finite, project, safety_subspace

Weights = TypeVar("Weights", Tensor, Mapping[str, Tensor])


def extrapolate(base: Weights, aligned: Weights, *, k: Rank = 6, alpha: float = 1.25) -> Weights:
    """W_LoX = W_aligned + α Proj_k(W_aligned − W_base) (equation 3).

    A pair of matrices (m, n), or two mappings name -> tensor matched by name. Of a mapping every
    2-D weight is extrapolated, a 3-D one as a stack of matrices, and the rest copied from
    ``aligned``. The result has the dtype of ``aligned``; the difference is taken in float32 or wider.
    ``alpha`` is any finite number: 0 changes nothing, below 0 weakens alignment. Raises ValueError
    for a bad k or alpha, for names on one side only, for shapes that differ, for NaN or Inf, for numbers of
    eight bits.
    """
    check_rank(k)
    if not math.isfinite(alpha):
        raise ValueError(f"alpha must be a finite number, not {alpha!r}")
    return _each_matrix(base, aligned, lambda b, a: _add_own(a, a, b, k, alpha), other="aligned")


def truncate(base: Weights, aligned: Weights, *, rank: int) -> Weights:
    """θ_r = W_base + Proj_r(W_aligned − W_base), the model of equation 4; rank 0 is the base.

    Arguments and errors as for ``extrapolate``; weights that are no matrices are the base's, so that
    what separates θ_r from the base is Proj_r(ΔW_align) and nothing else.
    """
    if rank == 0:
        return _each_matrix(base, aligned, lambda b, a: b.clone(), other="base")
    check_rank(rank)
    return _each_matrix(base, aligned, lambda b, a: _add_own(b, a, b, rank, 1.0), other="base")


def update(base: Tensor, aligned: Tensor) -> Tensor:
    """ΔW = W_aligned − W_base in float32 or wider, whatever mixture of types comes in.

    Raises ValueError for numbers of eight bits, which are quantised weights without their scales.
    """
    for weight in (base, aligned):
        if weight.dtype.itemsize == 1 and weight.dtype != torch.bool:
            raise ValueError(f"{weight.dtype} is quantised: take the weights in bf16, fp16 or fp32")
    wide = torch.promote_types(torch.promote_types(base.dtype, aligned.dtype), torch.float32)
    return aligned.to(wide) - base.to(wide)


def add_projected(start: Tensor, subspace: Subspace, scale: float) -> Tensor:
    """start + scale · U S Vᵀ, the step of equation 3, in the dtype of ``start`` (m, n); ValueError if it overflows."""
    moved = (start.to(subspace.U.dtype) + scale * subspace.matrix()).to(start.dtype)
    if not is_finite(moved):
        raise ValueError(f"the result overflows {start.dtype}: take a smaller alpha, or a wider type")
    return moved


def remove_safety_part(
    base: Mapping[str, Tensor], aligned: Mapping[str, Tensor], finetuned: Mapping[str, Tensor], *, k: Rank
) -> dict[str, Tensor]:
    """W_ft − Proj_k(ΔW_ft), with ΔW_ft = W_ft − W_aligned and the safety subspace of ΔW_align.

    Mappings name -> tensor, matched by name, of the same shapes; the result has the types of
    ``finetuned``. Every 2-D weight loses its part, a 3-D one as a stack of matrices; the rest, and a
    matrix that alignment left as it was, is copied. Raises ValueError as ``extrapolate`` does.
    """
    check_names(base, aligned)
    check_names(aligned, finetuned)
    result = {}
    for name, weight in finetuned.items():
        check_shapes(name, base[name], aligned[name])
        check_shapes(name, aligned[name], weight)
        delta_align = update(base[name], aligned[name])
        if weight.ndim not in (2, 3) or not delta_align.any():
            result[name] = weight.clone()
            continue
        inside = project(safety_subspace(delta_align, k), update(aligned[name], weight))
        result[name] = (weight.to(inside.dtype) - inside).to(weight.dtype)
    return result


def _add_own(start: Tensor, aligned: Tensor, base: Tensor, k: Rank, scale: float) -> Tensor:
    delta = update(base, aligned)
    return add_projected(start, safety_subspace(delta, k), scale) if delta.any() else start.clone()


def _each_matrix(base: Weights, aligned: Weights, change: Callable, other: str) -> Weights:
    """``change(base, aligned)`` on a pair of matrices, or on every matrix of two mappings."""
    if isinstance(base, Tensor) and isinstance(aligned, Tensor):
        check_shapes("the matrix", base, aligned)
        return change(base, aligned)
    check_names(base, aligned)
    for name in aligned:
        check_shapes(name, base[name], aligned[name])
    result = {}
    for name in aligned:
        if aligned[name].ndim in (2, 3):
            try:
                result[name] = change(base[name], aligned[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        else:
            result[name] = (aligned if other == "aligned" else base)[name].clone()
    return result


def check_names(base: Mapping[str, Tensor], aligned: Mapping[str, Tensor]) -> None:
    """Raise ValueError, naming them, where some weights are on one side only."""
    for here, there, side in ((base, aligned, "aligned"), (aligned, base, "base")):
        missing = sorted(set(here) - set(there))
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise ValueError(f"missing in {side}: {', '.join(missing[:3])}{more}")


def check_shapes(name: str, base: Tensor, aligned: Tensor) -> None:
    """Raise ValueError in the form ``name: base is 1536×576, aligned 1536×640`` where shapes differ."""
    if base.shape != aligned.shape:
        sizes = ("×".join(map(str, t.shape)) or "a scalar" for t in (base, aligned))
        raise ValueError(f"{name}: base is {next(sizes)}, aligned {next(sizes)}")
