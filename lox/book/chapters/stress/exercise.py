"""An exercise that checks itself: how straight fine-tuning points against alignment inside a subspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from IPython.display import Markdown
from torch import Tensor

from lox.book.cells import checked
from lox.book.chapters.stress import parts

Counteraction = Callable[[Tensor, Tensor, Tensor], float]
TOLERANCE = 1e-4


def check_counteraction(student: Counteraction) -> Markdown:
    """Says whether ``student(U, delta_align, delta_ft)`` is the counteraction inside span(U), and if not, what it is.

    U (m, k) has orthonormal columns, both updates are (m, n).
    """
    return checked(_faults(student), "1 is straight against alignment, 0 across, −1 the same way.")


def _faults(student: Counteraction) -> Iterator[str]:
    generator = torch.Generator().manual_seed(0)
    U = torch.linalg.qr(torch.randn(6, 2, generator=generator)).Q
    align, other = (torch.randn(6, 4, generator=generator) for _ in range(2))
    cases = {"a random ΔW_ft": other, "ΔW_ft = −ΔW_align / 2": -0.5 * align, "ΔW_ft = ΔW_align": align}
    for words, ft in cases.items():
        answer, right = student(U, align, ft), parts.counteraction(U, align, ft)
        try:
            answer = float(answer)
        except (TypeError, ValueError, RuntimeError):
            yield f"The result must be one number, not {answer!r}."
        else:
            if not abs(answer - right) < TOLERANCE:  # NaN is no answer
                yield f"For {words}: {_problem(answer, right, U, align, ft)}"


def _problem(answer: float, right: float, U: Tensor, align: Tensor, ft: Tensor) -> str:
    inside_align, inside_ft = U @ (U.mT @ align), U @ (U.mT @ ft)
    against = -float((inside_align * inside_ft).sum())
    near = {
        "the sign is missing: it is minus the cosine.": -right,
        "the updates were not projected.": -float((align * ft).sum() / (align.norm() * ft.norm())),
        "it is divided by the norms of the whole updates, not of their parts inside.": against
        / float(align.norm() * ft.norm()),
        "only one of the two norms is that of the part inside.": against
        / float(inside_align.norm() * ft.norm()),
        "this is the share that is undone: it is divided by one norm squared, not by both norms.": parts.undone(
            U, align, ft
        ),
        "this is the share of ΔW_ft inside, not its direction there.": parts.share(U, ft),
    }
    otherwise = f"it is {right:.3f}, not {answer:.3f}."
    return next((said for said, wrong in near.items() if abs(answer - wrong) < TOLERANCE), otherwise)
