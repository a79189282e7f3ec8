"""An exercise that checks itself: the second direction of the plane, by one step of Gram–Schmidt."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from IPython.display import Markdown
from torch import Tensor

from lox.book.cells import checked

Direction = Callable[[Tensor, Tensor], Tensor]
TOLERANCE = 1e-4


def check_direction(student: Direction) -> Markdown:
    """Says whether ``student(step, update)`` is d₂ of the plane, and if not, what it is.

    Both are (n,): θ_LoX − θ_align, which is not of length 1, and the mean fine-tuning update.
    """
    right = "Your direction is of length 1, at right angles to LoX's step, and on the side of the update."
    return checked(_faults(student), right)


def _faults(student: Direction) -> Iterator[str]:
    generator = torch.Generator().manual_seed(0)
    step, update = 3 * torch.randn(8, generator=generator), torch.randn(8, generator=generator)
    answer = student(step.clone(), update.clone())
    if not isinstance(answer, Tensor) or answer.shape != step.shape:
        yield "The result must be a vector as long as the two given ones."
    elif problem := _problem(answer, step, update):
        yield problem


def _problem(answer: Tensor, step: Tensor, update: Tensor) -> str:
    first = step / step.norm()
    across = update - (update @ first) * first
    right = across / across.norm()
    if torch.allclose(answer, right, atol=TOLERANCE):
        return ""
    if torch.allclose(answer, -right, atol=TOLERANCE):
        return "It points away from the fine-tuning update: check the sign."
    if torch.allclose(answer, across, atol=TOLERANCE):
        return "It is at right angles to d₁, but its length is not 1."
    if torch.allclose(answer, update / update.norm(), atol=TOLERANCE):
        return "The part of the update along d₁ is still in it."
    unnormalised = update - (update @ step) * step
    if any(
        torch.allclose(answer, v, atol=TOLERANCE) for v in (unnormalised, unnormalised / unnormalised.norm())
    ):
        return "LoX's step was used as if it had length 1: the part along d₁ is ⟨δ, d₁⟩ d₁."
    angle = float(answer @ first / answer.norm())
    if abs(angle) > TOLERANCE:
        return f"It is not at right angles to d₁: the cosine between them is {angle:.2f}."
    return "It is at right angles to d₁, but does not lie in the plane of the two given vectors."
