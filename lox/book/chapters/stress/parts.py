"""The causal test: fine-tuning split at a subspace, so that one side alone can be put in or left out.

Perin et al. (COLM 2025) correlate the damage of fine-tuning with energy that leaves the safety subspace;
the test asks whether the part of ΔW_ft inside it *does* the damage. Split are the 2-D weights of the
layers. Embeddings, output head and norms, which have no place in R_align and R_ft either, go wholly with
the outside, so that the two sides always add up to ΔW_ft.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from lox.checkpoints.pair import EMBEDDINGS, HEADS, kind
from lox.energy import nonzero_norm
from lox.subspace import Rank, clamp_rank, frobenius_norm, safety_subspace

KINDS = ("top", "bottom", "random")

Weights = Mapping[str, Tensor]
# name of a matrix -> orthonormal basis (m, k) of a subspace of its columns' space
Bases = Mapping[str, Tensor]


def split_names(weights: Weights) -> list[str]:
    """The names of the weights that are split, sorted."""
    return sorted(n for n, w in weights.items() if w.ndim == 2 and kind(n) not in EMBEDDINGS | HEADS)


def bases(subspace: str, delta: Weights, k: Rank, seed: int = 0) -> Bases:
    """For every matrix of ``delta`` that is split, a basis of a k-dimensional subspace, one of ``KINDS``.

    "top": its top k left singular vectors, of ΔW_align the safety subspace; "bottom": the last k, of the
    smallest singular values; "random": drawn uniformly, the same for the same seed. Raises ValueError for
    another ``subspace``, a bad k, and a "bottom" that would overlap with the "top".
    """
    if subspace not in KINDS:
        raise ValueError(f"unknown subspace {subspace!r}: they are {', '.join(KINDS)}")
    generator = torch.Generator().manual_seed(seed)
    by_matrix = {}
    for name in split_names(delta):
        if subspace == "top":
            by_matrix[name] = safety_subspace(delta[name], k).U
        elif subspace == "bottom":
            by_matrix[name] = _bottom_basis(delta[name], k, name)
        else:
            by_matrix[name] = _random_basis(delta[name], k, generator)
    return by_matrix


def inside(
    start: Weights, delta_ft: Weights, bases: Bases, norms_of: Bases | None = None
) -> dict[str, Tensor]:
    """``start`` plus only the part of ΔW_ft inside the subspaces; what is not split stays as it was.

    With ``norms_of`` each matrix's part is scaled to the norm that the part inside *those* subspaces has.
    """
    weights = {name: w.clone() for name, w in start.items()}
    for name, Q in bases.items():
        part = Q @ (Q.mT @ delta_ft[name])
        if norms_of is not None:
            part = part * (frobenius_norm(norms_of[name].mT @ delta_ft[name]) / nonzero_norm(part)).to(part)
        weights[name] += part
    return weights


def outside(start: Weights, delta_ft: Weights, bases: Bases) -> dict[str, Tensor]:
    """``start`` plus ΔW_ft without its part inside the subspaces; what is not split is fine-tuned.

    With the safety subspace it agrees, on the layers' matrices, with ``lox.extrapolation.remove_safety_part``. That
    one is a defence: it takes every matrix, embeddings included, and no other subspace, so neither can stand
    for the other.
    """
    weights = {name: start[name] + delta for name, delta in delta_ft.items()}
    for name, Q in bases.items():
        weights[name] -= Q @ (Q.mT @ delta_ft[name])
    return weights


def split_only(start: Weights, weights: Weights) -> dict[str, Tensor]:
    """``weights`` with embeddings, output head and norms put back to ``start``."""
    split = set(split_names(start))
    return {name: (weights if name in split else start)[name] for name in start}


def unsplit_only(start: Weights, weights: Weights) -> dict[str, Tensor]:
    """``weights`` with the layers' matrices, the weights that are split, put back to ``start``."""
    split = set(split_names(start))
    return {name: (start if name in split else weights)[name] for name in start}


def share(Q: Float[Tensor, "m k"], delta: Float[Tensor, "m n"]) -> float:
    """‖Q Qᵀ ΔW‖ / ‖ΔW‖. A random subspace holds √(k / m): the mean of the squared share is k / m."""
    return float(frobenius_norm(Q.mT @ delta) / nonzero_norm(delta))


def counteraction(
    Q: Float[Tensor, "m k"], delta_align: Float[Tensor, "m n"], delta_ft: Float[Tensor, "m n"]
) -> float:
    """−⟨P ΔW_align, ΔW_ft⟩ / (‖P ΔW_align‖ ‖P ΔW_ft‖) with P = Q Qᵀ: minus the cosine of the parts inside.

    1: fine-tuning points straight against alignment there; 0: across; −1: the same way. Raises ValueError
    where a part inside is zero, which has no direction.
    """
    against, part = Q.mT @ delta_align, Q.mT @ delta_ft
    return float(-(against.double() * part).sum() / (nonzero_norm(against) * nonzero_norm(part)))


def undone(
    Q: Float[Tensor, "m k"], delta_start: Float[Tensor, "m n"], delta_ft: Float[Tensor, "m n"]
) -> float:
    """−⟨P ΔW_start, ΔW_ft⟩ / ‖P ΔW_start‖²: the share of what was there inside that fine-tuning takes back.

    ΔW_start is where fine-tuning starts, minus the base: ΔW_align, or with LoX, inside, 1 + α times that.
    """
    there = Q.mT @ delta_start
    return float(-(there.double() * (Q.mT @ delta_ft)).sum() / nonzero_norm(there) ** 2)


def overlap(Q: Float[Tensor, "m k"], other: Float[Tensor, "m j"]) -> float:
    """Mean squared cosine between two subspaces, ‖Qᵀ Q'‖² / k; 1 if Q lies in the other, j / m by chance."""
    return float(frobenius_norm(Q.mT @ other) ** 2 / Q.shape[1])


def _random_basis(like: Tensor, k: Rank, generator: torch.Generator) -> Tensor:
    draw = torch.randn(like.shape[0], clamp_rank(k, like), generator=generator, dtype=torch.float64)
    return torch.linalg.qr(draw).Q.to(like)


def _bottom_basis(delta: Tensor, k: Rank, name: str) -> Tensor:
    full, k = min(delta.shape), clamp_rank(k, delta)
    if 2 * k > full:
        raise ValueError(f"{name}: the bottom {k} of {full} directions overlap the top {k}: take a smaller k")
    return safety_subspace(delta, "full").U[:, full - k :]
