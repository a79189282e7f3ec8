"""An exercise that checks itself: R_ft (equation 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from IPython.display import Markdown
from torch import Tensor

import lox
from lox.book.cells import checked

CLOSE = 1e-4


def check_r_ft(share: Callable[[Tensor, Tensor, int], float]) -> Markdown:
    """Says whether ``share(delta_align, delta_ft, k)`` is R_ft, and which usual slip it looks like if not.

    Tried on matrices (m, n) in float64, wide and tall, k from 1 to beyond the rank.
    """
    right = (
        "Your function is R_ft on updates that push against, outside and onward, wide and tall, for every k."
    )
    return checked(_faults(share), right)


def _faults(share: Callable) -> Iterator[str]:
    for what, delta_align, delta_ft, k in cases():
        expected, given = lox.r_ft(delta_align, delta_ft, k), float(share(delta_align, delta_ft, k))
        if not abs(given - expected) < CLOSE:  # NaN is no answer
            slip = next((s for s, wrong in slips(delta_align, delta_ft, k) if abs(given - wrong) < CLOSE), "")
            yield f"Where {what} and k = {k}, it gives {given:.3f}; right is {expected:.3f}. {slip}".strip()


def cases() -> Iterator[tuple[str, Tensor, Tensor, int]]:
    """What is special about it, ΔW_align, ΔW_ft and k of every case."""
    generator = torch.Generator().manual_seed(0)
    for m, n in ((5, 3), (3, 5)):
        delta_align = torch.randn(m, n, generator=generator, dtype=torch.float64)
        subspace = lox.safety_subspace(delta_align, 1)
        inside = subspace.matrix()
        other = torch.randn(m, n, generator=generator, dtype=torch.float64)
        yield f"fine-tuning is random, {m} × {n},", delta_align, 3 * other, 2
        yield f"fine-tuning pushes against the top direction, {m} × {n},", delta_align, -0.5 * inside, 1
        yield f"fine-tuning pushes on along it, {m} × {n},", delta_align, inside, 1
        yield f"k is the whole rank, {m} × {n},", delta_align, other, 3


def slips(delta_align: Tensor, delta_ft: Tensor, k: int) -> Iterator[tuple[str, float]]:
    """Usual slips: what was done instead, and the value that it gives."""
    total = delta_align + delta_ft
    right = lox.r_ft(delta_align, delta_ft, k)
    own = lox.r_align(total, k)
    yield "Is the subspace taken from the total update? It is that of ΔW_align.", own
    yield "Is the square root missing? R is a share of the norm, its square that of the energy.", right**2
    part = right * float(total.norm())
    yield (
        "Is the part divided by the norm of ΔW_align? It is a share of the total.",
        part / float(delta_align.norm()),
    )
    yield "Is ΔW_align missing from the update? R_ft is of the sum of both.", _share(delta_align, delta_ft, k)
    yield (
        "Is the projection taken on the right, with V? Equation 2 projects on the left.",
        _share(delta_align.mT, total.mT, k),
    )
    yield "Is it R_align, before fine-tuning?", lox.r_align(delta_align, k)


def _share(delta_align: Tensor, matrix: Tensor, k: int) -> float:
    part = lox.project(lox.safety_subspace(delta_align, k), matrix)
    return float(part.norm() / matrix.norm())
