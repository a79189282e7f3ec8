"""How much of an update lies in the safety subspace: R_align and R_ft (paper, equations 1 and 2)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from lox.subspace import Rank, Subspace, as_finite_matrix, frobenius_norm, safety_subspace


def r_align(delta_align: Float[Tensor, "m n"], k: Rank) -> float:
    """R_align = ‖Proj_k(ΔW_align)‖ / ‖ΔW_align‖ (equation 1), in [0, 1]; 1 exactly when k ≥ rank.

    Frobenius norms, so the same as sqrt(Σ_{i≤k} s_i² / Σ s_i²). Raises ValueError for a bad k, NaN or
    Inf, and an update of zero, which has no direction to speak of.
    """
    return energy_share(safety_subspace(delta_align, k), delta_align)


def r_ft(delta_align: Float[Tensor, "m n"], delta_ft: Float[Tensor, "m n"], k: Rank) -> float:
    """R_ft = ‖Proj_k(ΔW_align + ΔW_ft)‖ / ‖ΔW_align + ΔW_ft‖ (equation 2), U_:k from ΔW_align.

    Both updates are (m, n). Usually below R_align, but not by algebra: a ΔW_ft inside the subspace
    raises it. Raises ValueError as r_align, and where the shapes differ.
    """
    if delta_align.shape != delta_ft.shape:
        raise ValueError(f"delta_align is {tuple(delta_align.shape)}, delta_ft {tuple(delta_ft.shape)}")
    delta_total = as_finite_matrix(delta_align, "delta_align") + as_finite_matrix(delta_ft, "delta_ft")
    return energy_share(safety_subspace(delta_align, k), delta_total)


def energy_share(subspace: Subspace, matrix: Float[Tensor, "*b m n"]) -> float:
    """‖Proj_k(M)‖ / ‖M‖ in Frobenius norm, by ‖U Uᵀ M‖ = ‖Uᵀ M‖. ValueError where M is zero."""
    matrix = as_finite_matrix(matrix, "matrix")
    inside = subspace.U.mT @ matrix.to(subspace.U.dtype)
    return min(1.0, float(frobenius_norm(inside) / nonzero_norm(matrix)))


def energy_profile(
    delta_align: Float[Tensor, "m n"], delta_total: Float[Tensor, "m n"]
) -> Float[Tensor, " r"]:
    """R for every k = 1 … min(m, n) at once: entry k-1 is ‖Proj_k(ΔW)‖ / ‖ΔW‖, U from ΔW_align.

    With ``delta_total`` = ΔW_align it is the profile of R_align, with ΔW_align + ΔW_ft that of R_ft.
    One dense SVD, so exact for all k, and never falling in k.
    """
    if delta_align.shape != delta_total.shape:
        raise ValueError(f"delta_align is {tuple(delta_align.shape)}, delta_total {tuple(delta_total.shape)}")
    delta_total = as_finite_matrix(delta_total, "delta_total")
    U = safety_subspace(delta_align, "full").U
    share = frobenius_norm(U.mT @ delta_total.to(U.dtype), dim=-1) / nonzero_norm(delta_total)
    return share.square().cumsum(0).sqrt().clamp(max=1).to(U.dtype)


def nonzero_norm(matrix: Float[Tensor, "*b m n"]) -> Tensor:
    """‖M‖ in Frobenius norm, in float64. ValueError where M is zero."""
    norm = frobenius_norm(matrix)
    if norm == 0:
        raise ValueError("the update is zero, so the share of it inside a subspace is not defined")
    return norm
