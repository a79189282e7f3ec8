"""An exercise that checks itself: removing the part of an update that lies in the safety subspace."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lox.extrapolation import remove_safety_part

K = 2


def check_removal(student: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> str:
    """Says what is wrong with a function (base, aligned, finetuned, k) -> weights of equation (removal), or nothing.

    All are matrices (m, n).
    """
    generator = torch.Generator().manual_seed(0)
    base, aligned, finetuned = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)
    try:
        answer = student(base.clone(), aligned.clone(), finetuned.clone(), K)
    except Exception as error:  # whatever a student's function does
        return f"Your function fails: {type(error).__name__}: {error}."
    if not isinstance(answer, Tensor) or answer.shape != finetuned.shape:
        return f"Your function must give back a matrix of shape {tuple(finetuned.shape)}."
    expected = remove_safety_part({"w": base}, {"w": aligned}, {"w": finetuned}, k=K)["w"]
    if torch.allclose(answer, expected, atol=1e-8):
        return "Right: what is left of the fine-tuning update lies outside the safety subspace."
    return f"Not yet: {_reason(answer, base, aligned, finetuned)}"


def _reason(answer: Tensor, base: Tensor, aligned: Tensor, finetuned: Tensor) -> str:
    U = _left(aligned - base)
    own = _left(finetuned - aligned)
    total, update = finetuned - base, finetuned - aligned
    slips = (
        (U @ (U.T @ update), "this is the part that has to be taken away, not what is left."),
        (
            aligned + U @ (U.T @ update),
            "you keep the part inside the subspace and take away the one outside.",
        ),
        (
            finetuned - own @ (own.T @ update),
            "the subspace is that of alignment's update, not of fine-tuning's.",
        ),
        (
            finetuned - U @ (U.T @ total),
            "you take away alignment's own part too: project W_ft − W_aligned only.",
        ),
        (finetuned - U @ (U.T @ finetuned), "project the update W_ft − W_aligned, not the weights."),
        (finetuned, "nothing was taken away."),
    )
    for wrong, reason in slips:
        if torch.allclose(answer, wrong, atol=1e-8):
            return reason
    inside = torch.linalg.vector_norm(U.T @ (answer - aligned)) / torch.linalg.vector_norm(answer - aligned)
    return f"a share of {float(inside):.2f} of the update that you leave still lies inside the subspace; it must be 0."


def _left(delta: Tensor) -> Tensor:
    return torch.linalg.svd(delta).U[:, :K]
