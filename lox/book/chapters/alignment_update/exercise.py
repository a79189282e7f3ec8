"""An exercise that checks itself: the stable rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from IPython.display import Markdown
from torch import Tensor

from lox.book.cells import checked

CLOSE = 1e-4
DIAGONALS = ((4.0, 2.0, 2.0, 1.0), (3.0, 3.0, 3.0), (5.0, 0.0), (1e-3, 2e-3))


def check_stable_rank(stable_rank: Callable[[Tensor], float]) -> Markdown:
    """Says whether ``stable_rank(delta)`` is ‖ΔW‖² / s_1², and which usual slip it looks like if not.

    Tried on diagonal, turned and rectangular matrices (m, n) in float64.
    """
    right = "Your function gives the stable rank of diagonal, turned and rectangular matrices, whatever their length."
    return checked(_faults(stable_rank), right)


def _faults(stable_rank: Callable) -> Iterator[str]:
    for what, delta in cases():
        s = torch.linalg.svdvals(delta)
        expected, given = float((s**2).sum() / s[0] ** 2), float(stable_rank(delta.clone()))
        if not abs(given - expected) < CLOSE:  # NaN is no answer
            slip = next((said for said, wrong in slips(delta, s) if abs(given - wrong) < CLOSE), "")
            yield f"Of {what} it gives {given:.3f}; right is {expected:.3f}. {slip}".strip()


def cases() -> Iterator[tuple[str, Tensor]]:
    """What the matrix is, and the matrix."""
    generator = torch.Generator().manual_seed(0)
    for values in DIAGONALS:
        yield f"the diagonal matrix of {values}", torch.diag(torch.tensor(values, dtype=torch.float64))
    for m, n in ((5, 3), (3, 5)):
        yield f"a random {m} × {n} matrix", torch.randn(m, n, generator=generator, dtype=torch.float64)


def slips(delta: Tensor, s: Tensor) -> Iterator[tuple[str, float]]:
    """Usual slips: what was done instead, and the value that it gives."""
    first = float(s[0])
    yield "Is this the share R_1² itself? The stable rank is one over it.", first**2 / float((s**2).sum())
    yield "Are the squares missing?", float(delta.norm()) / first
    yield "Are the singular values summed without squares?", float(s.sum()) / first
    yield "Is this the ordinary rank?", float(torch.linalg.matrix_rank(delta))
    yield "Is the largest entry taken for s_1?", float((delta**2).sum() / delta.abs().max() ** 2)
    yield "Is s_1² missing below?", float((s**2).sum())
