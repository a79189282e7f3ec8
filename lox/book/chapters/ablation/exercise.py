"""An exercise that checks itself: every point of the grid from one decomposition (equation 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from IPython.display import Markdown
from torch import Tensor

from lox.book.cells import checked
from lox.extrapolation import extrapolate
from lox.subspace import safety_subspace

Move = Callable[[Tensor, Tensor, Tensor, Tensor, int, float], Tensor]
ROWS, COLUMNS = 5, 4
POINTS = ((1, 0.5), (2, 1.25), (COLUMNS, -1.0), (2, 0.0))  # k and α


def check_grid(move: Move) -> Markdown:
    """Says whether ``move(aligned, U, S, Vh, k, alpha)`` is W_aligned + α U_:k S_:k V_:kᵀ, and if not, what it is.

    U (m, r), S (r,), Vh (r, n) are the thin SVD of ΔW_align, aligned (m, n).
    """
    return checked(
        _faults(move), "Your function is equation 3 at every point tried, α = 0 and α below 0 among them."
    )


def _faults(move: Move) -> Iterator[str]:
    generator = torch.Generator().manual_seed(0)
    base, delta = (torch.randn(ROWS, COLUMNS, generator=generator) for _ in range(2))
    every = safety_subspace(delta, "full")
    for k, alpha in POINTS:
        aligned, before = base + delta, base + delta
        answer = move(aligned, every.U, every.S, every.Vh, k, alpha)
        if not torch.equal(aligned, before):
            yield "The aligned weights were changed in place: the next point needs them as they were."
        elif problem := _problem(answer, base, before, k, alpha):
            yield f"At k = {k}, α = {alpha:g}: {problem}"


def _problem(answer: Tensor, base: Tensor, aligned: Tensor, k: int, alpha: float) -> str:
    if not isinstance(answer, Tensor) or answer.shape != aligned.shape:
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        return f"the result must be a matrix {ROWS}×{COLUMNS} like `aligned`, not {shape}."
    right = extrapolate(base, aligned, k=k, alpha=alpha)
    if torch.allclose(answer, right, atol=1e-4):
        return ""
    near = _slips(right, base, aligned, k, alpha)
    otherwise = f"the result is off by up to {float((answer - right).abs().max()):.2g}."
    return next((said for said, wrong in near if torch.allclose(answer, wrong, atol=1e-4)), otherwise)


def _slips(
    right: Tensor, base: Tensor, aligned: Tensor, k: int, alpha: float
) -> Iterator[tuple[str, Tensor]]:
    full = extrapolate(base, aligned, k="full", alpha=alpha)
    yield "the step was added to the base, not to the aligned weights.", right - (aligned - base)
    yield "this is full rank: only the first k triplets belong to the step.", full
    yield "the step lacks its factor α.", extrapolate(base, aligned, k=k, alpha=1.0)
    yield "the step goes the wrong way: check its sign.", extrapolate(base, aligned, k=k, alpha=-alpha)
    yield "the whole step, without the aligned weights, was returned.", right - aligned
    others = extrapolate(base, aligned, k=COLUMNS - k, alpha=alpha) if k < COLUMNS else aligned
    yield "the k smallest singular values were taken; S is sorted downwards.", aligned + full - others
