"""An exercise that checks itself: removing the part of an update that lies in the safety subspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from IPython.display import Markdown
from torch import Tensor

from lox.book.cells import checked
from lox.extrapolation import remove_safety_part

K = 2


def check_removal(student: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> Markdown:
    """Says what is wrong with a function (base, aligned, finetuned, k) -> weights of equation (removal), or nothing.

    All are matrices (m, n).
    """
    right = "What is left of the fine-tuning update lies outside the safety subspace."
    return checked(_faults(student), right)


def _faults(student: Callable) -> Iterator[str]:
    generator = torch.Generator().manual_seed(0)
    base, aligned, finetuned = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)
    answer = student(base.clone(), aligned.clone(), finetuned.clone(), K)
    expected = remove_safety_part({"w": base}, {"w": aligned}, {"w": finetuned}, k=K)["w"]
    if not isinstance(answer, Tensor) or answer.shape != finetuned.shape:
        yield f"Your function must give back a matrix of shape {tuple(finetuned.shape)}."
    elif not torch.allclose(answer, expected, atol=1e-8):
        yield _reason(answer, base, aligned, finetuned)


def _reason(answer: Tensor, base: Tensor, aligned: Tensor, finetuned: Tensor) -> str:
    U = _left(aligned - base)
    inside = torch.linalg.vector_norm(U.T @ (answer - aligned)) / torch.linalg.vector_norm(answer - aligned)
    share = f"A share of {float(inside):.2f} of the update that you leave still lies inside the subspace; it must be 0."
    slips = _slips(U, base, aligned, finetuned)
    return next((said for said, wrong in slips if torch.allclose(answer, wrong, atol=1e-8)), share)


def _slips(U: Tensor, base: Tensor, aligned: Tensor, finetuned: Tensor) -> Iterator[tuple[str, Tensor]]:
    total, update, own = finetuned - base, finetuned - aligned, _left(finetuned - aligned)
    inside = U @ (U.T @ update)
    yield "This is the part that has to be taken away, not what is left.", inside
    yield "You keep the part inside the subspace and take away the one outside.", aligned + inside
    yield (
        "The subspace is that of alignment's update, not of fine-tuning's.",
        finetuned - own @ (own.T @ update),
    )
    yield (
        "You take away alignment's own part too: project W_ft − W_aligned only.",
        finetuned - U @ (U.T @ total),
    )
    yield "Project the update W_ft − W_aligned, not the weights.", finetuned - U @ (U.T @ finetuned)
    yield "Nothing was taken away.", finetuned


def _left(delta: Tensor) -> Tensor:
    return torch.linalg.svd(delta).U[:, :K]
