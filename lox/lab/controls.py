"""Controls of the same size as LoX's step: other directions, everything else equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lox.extrapolation import add_projected, update
from lox.subspace import Rank, Subspace, safety_subspace

Weights = Mapping[str, Tensor]


def random_step(base: Weights, aligned: Weights, k: Rank, alpha: float, seed: int) -> dict[str, Tensor]:
    """W_aligned + α U S Vᵀ with the singular values of Proj_k(ΔW_align) and random singular vectors.

    Mappings name -> tensor. Rank, norm and singular values of every matrix's step are LoX's; the vectors are
    drawn uniformly from ``seed``. Weights that are not 2-D, and those that alignment left alone, are aligned's.
    """
    generator = torch.Generator().manual_seed(seed)

    def step(delta: Tensor) -> Subspace:
        top = safety_subspace(delta, k)
        U, V = (_orthonormal(rows, top.k, generator).to(delta) for rows in delta.shape)
        return Subspace(U, top.S, V.mT, top.error)

    return _stepped(base, aligned, alpha, step)


def bottom_step(base: Weights, aligned: Weights, k: Rank, alpha: float, seed: int) -> dict[str, Tensor]:
    """W_aligned + α c Σ_{i > n−k} s_i U_i V_iᵀ, the last k directions, with c so that the norm is LoX's.

    Arguments as of ``random_step``; ``seed`` plays no part.
    """

    def step(delta: Tensor) -> Subspace:
        every = safety_subspace(delta, "full")
        top = safety_subspace(delta, k)
        U, S, Vh = every.U[:, -top.k :], every.S[-top.k :], every.Vh[-top.k :]
        norm = torch.linalg.vector_norm(S)
        # Directions of singular value zero have no length to keep the ratio of: they get equal shares.
        S = S / norm if norm > 0 else torch.full_like(S, top.k**-0.5)
        return Subspace(U, S * torch.linalg.vector_norm(top.S), Vh, 0.0)

    return _stepped(base, aligned, alpha, step)


def _stepped(
    base: Weights, aligned: Weights, alpha: float, step: Callable[[Tensor], Subspace]
) -> dict[str, Tensor]:
    moved = {}
    for name, weight in aligned.items():
        delta = update(base[name], weight)
        moves = weight.ndim == 2 and bool(delta.any())
        moved[name] = add_projected(weight, step(delta), alpha) if moves else weight.clone()
    return moved


def _orthonormal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A uniformly drawn (rows, columns) matrix with orthonormal columns, float64."""
    draw = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    Q, R = torch.linalg.qr(draw)
    return Q * R.diagonal().sign()  # without the signs the distribution is not uniform
