"""An exercise that checks itself: the projection onto the safety subspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from IPython.display import Markdown
from torch import Tensor

import lox
from lox.book.cells import checked

SHAPES = ((6, 4), (4, 6), (5, 5))
RANKS = (1, 2)


def check_projection(projection: Callable[[Tensor, Tensor, int], Tensor]) -> Markdown:
    """Says whether ``projection(delta_align, matrix, k)`` is Proj_k(matrix), and which usual slip it looks like if not.

    Tried on the update itself and on other matrices, (m, n) in float64, wide, tall and square.
    """
    right = "Your function projects the update and other matrices, wide, tall and square, as Proj_k does."
    return checked(_faults(projection), right)


def _faults(projection: Callable) -> Iterator[str]:
    for what, delta, matrix, k in cases():
        expected = lox.project(lox.safety_subspace(delta, k), matrix)
        given = torch.as_tensor(projection(delta.clone(), matrix.clone(), k), dtype=torch.float64)
        if given.shape == expected.shape and torch.allclose(given, expected, atol=1e-6):
            continue
        slip = next((said for said, wrong in slips(delta, matrix, k) if _alike(given, wrong)), "")
        m, n = matrix.shape
        shape = "" if given.shape == expected.shape else f" It is {tuple(given.shape)}, not {m} × {n}."
        yield f"It differs from Proj_k where {what} is {m} × {n} and k = {k}.{shape} {slip}".strip()


def cases() -> Iterator[tuple[str, Tensor, Tensor, int]]:
    """What is projected, ΔW_align, the matrix and k of every case."""
    generator = torch.Generator().manual_seed(0)
    for shape in SHAPES:
        delta, other = (torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(2))
        for k in RANKS:
            yield "the update itself", delta, delta, k
            yield "another matrix", delta, other, k


def slips(delta: Tensor, matrix: Tensor, k: int) -> Iterator[tuple[str, Tensor]]:
    """Usual slips: what was done instead, and what it gives."""
    subspace, own = lox.safety_subspace(delta, k), lox.safety_subspace(matrix, k)
    U, Vh = subspace.U, subspace.Vh
    yield "Are these the coordinates Uᵀ M? Multiply by U once more.", U.mT @ matrix
    yield "Is this the remainder M − Proj_k(M)?", matrix - U @ (U.mT @ matrix)
    yield "Is this a truncation of the matrix's own SVD? U comes from ΔW_align.", own.matrix()
    yield (
        "Is this the projection on the right, M V Vᵀ? The paper projects on the left, with U.",
        matrix @ Vh.mT @ Vh,
    )
    yield "Is this projected on both sides? Only U belongs there.", U @ (U.mT @ matrix @ Vh.mT) @ Vh
    yield "Is this Proj_k of the update, whatever the matrix?", subspace.matrix()
    everything = lox.safety_subspace(delta, "full").U
    yield "Are all columns of U taken, and not the first k?", everything @ (everything.mT @ matrix)


def _alike(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-6)
