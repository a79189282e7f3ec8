"""The safety subspace: a truncated SVD that says how accurate it is, and the projection onto it.

Source: Perin et al., "LoX: Low-Rank Extrapolation Robustifies LLM Safety Against Fine-tuning",
COLM 2025, section 3. The decomposition is a randomised block Krylov method (Musco and Musco,
NeurIPS 2015) in the residual-driven form of block Davidson methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Rank = int | Literal["full"]

TOLERANCE = 1e-4  # relative residual at which the iteration stops
OVERSAMPLING = 2  # directions carried beyond k, so that a close k-th and (k+1)-th do not stall it
SMALLEST = 1.2e-7  # share of s_1 below which squaring has lost a singular value, in float64 too
KRYLOV_SHARE = 4  # iterate while the basis is below min(m, n) / KRYLOV_SHARE, else decompose exactly


@dataclass(frozen=True)
class Subspace:
    """The top k singular triplets of a matrix: U (m, k), S (k,) descending, Vh (k, n).

    A stack of matrices (b, m, n) gives U (b, m, k), S (b, k), Vh (b, k, n).

    ``error`` certifies the factors by their residual: U, S, Vh are exact singular triplets of a
    matrix that differs from the decomposed one by at most ``error`` · ‖S‖ in Frobenius norm, so each
    S_i, and ‖Proj_k‖ as a whole, is within that relative distance of true singular values (Weyl,
    Mirsky). That these are the *largest* ones rests on the Gaussian start, which misses a direction
    with probability zero. 0 means a dense SVD, exact to rounding.
    """

    U: Float[Tensor, "*b m k"]
    S: Float[Tensor, "*b k"]
    Vh: Float[Tensor, "*b k n"]
    error: float

    @property
    def k(self) -> int:
        return self.S.shape[-1]

    def matrix(self) -> Float[Tensor, "*b m n"]:
        """Proj_k of the decomposed matrix itself, U diag(S) Vh: projecting is truncating its SVD."""
        return (self.U * self.S.unsqueeze(-2)) @ self.Vh

    def first(self, k: Rank) -> Subspace:
        """Its top k triplets: one decomposition serves every smaller k."""
        check_rank(k)
        top = slice(None) if k == "full" else slice(k)
        return Subspace(self.U[..., top], self.S[..., top], self.Vh[..., top, :], self.error)


def safety_subspace(delta: Float[Tensor, "*b m n"], k: Rank, *, seed: int = 0) -> Subspace:
    """The safety subspace of an alignment update: its top k singular triplets (paper, section 3).

    ``delta`` is ΔW_align, (m, n) or a stack (b, m, n); anything narrower than float32 is widened
    first. ``k`` is a positive int, or "full"; beyond min(m, n) it means full. The same seed gives
    the same factors. Raises ValueError for a bad k, for NaN or Inf, and for anything but matrices.
    """
    delta = as_finite_matrix(delta, "delta")
    k = clamp_rank(k, delta)
    if delta.ndim == 3:
        parts = [safety_subspace(matrix, k, seed=seed) for matrix in delta]
        factors = (torch.stack([getattr(p, name) for p in parts]) for name in ("U", "S", "Vh"))
        return Subspace(*factors, error=max(p.error for p in parts))
    return _krylov_svd(delta, k, seed) or _dense_svd(delta, k)


def project(subspace: Subspace, matrix: Float[Tensor, "*b m n"]) -> Float[Tensor, "*b m n"]:
    """Proj_k(M) = U (Uᵀ M), the part of M inside span(U); U Uᵀ itself, (m, m), is never formed."""
    rows = subspace.U.shape[-2]
    if matrix.shape[-2] != rows:
        raise ValueError(f"the subspace lives in {rows} dimensions, the matrix has {matrix.shape[-2]} rows")
    matrix = matrix.to(subspace.U.dtype)
    return subspace.U @ (subspace.U.mT @ matrix)


def check_rank(k: Rank) -> None:
    """Raise ValueError unless k is a positive int or "full".

    0 is refused: the paper's code reads it as "full rank" in one place and "nothing" in another.
    """
    if k == "full" or (isinstance(k, int) and not isinstance(k, bool) and k > 0):
        return
    raise ValueError(f'k is a positive int or "full", not {k!r}')


def clamp_rank(k: Rank, matrix: Tensor) -> int:
    """k as a number of singular triplets that ``matrix`` has: at most min(m, n)."""
    check_rank(k)
    full = min(matrix.shape[-2:])
    return full if k == "full" else min(k, full)


def as_finite_matrix(tensor: Tensor, name: str) -> Tensor:
    """``tensor`` in float32 or wider; ValueError if it is no matrix (or stack), or holds NaN or Inf."""
    if tensor.ndim not in (2, 3) or 0 in tensor.shape:
        raise ValueError(f"{name} must be a matrix (m, n) or a stack (b, m, n), not {tuple(tensor.shape)}")
    tensor = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
    if not is_finite(tensor):
        raise ValueError(f"{name} holds NaN or Inf")
    return tensor


def is_finite(tensor: Tensor) -> bool:
    """Whether all entries are finite, read once: NaN propagates into both extremes, and ±Inf is one of them."""
    return bool(torch.stack(torch.aminmax(tensor)).isfinite().all())


def frobenius_norm(tensor: Tensor, dim: int | None = None) -> Tensor:
    """‖·‖_F of all of it, or along ``dim``, summed in float64.

    Summed in float32, the norm of a 4096×4096 matrix is off by up to 3e-3, that of tiny or huge
    entries (below 1e-19, above 1e19) is 0 or infinite.
    """
    return torch.linalg.vector_norm(tensor, dim=dim, dtype=torch.float64)


def _dense_svd(delta: Float[Tensor, "m n"], k: int) -> Subspace:
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    return Subspace(U[:, :k].contiguous(), S[:k].clone(), Vh[:k].contiguous(), error=0.0)


def _krylov_svd(delta: Float[Tensor, "m n"], k: int, seed: int) -> Subspace | None:
    """Top k triplets by block Krylov iteration, or None where a dense SVD is the better way.

    Each step reads ``delta`` twice. Q (m, j) is an orthonormal basis of the Krylov space so far and
    C = deltaᵀ Q (n, j); the SVD of C gives the best triplets inside it, for which deltaᵀ u = s v
    holds exactly. What is left, delta v − s u, both certifies them and is the next block of Q.
    """
    m, n = delta.shape
    block = k + OVERSAMPLING
    limit = min(m, n) // KRYLOV_SHARE
    if 2 * block > limit:
        return None
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(n, block, generator=generator, dtype=delta.dtype).to(delta.device)
    Q = torch.linalg.qr(_product(delta, start)).Q
    C = _transposed_product(delta, Q)
    while Q.shape[1] + block <= limit:
        S, P = _leading_right_factors(C, block)
        if S[k - 1] <= SMALLEST * S[0]:
            return None  # fewer than k directions: a dense SVD completes the factors orthonormally
        U, V = Q @ P, C @ P / S.clamp(min=SMALLEST * S[0])
        residual = _product(delta, V) - U * S
        error = float(frobenius_norm(residual[:, :k]) / frobenius_norm(S[:k]))
        if error <= TOLERANCE:
            return Subspace(U[:, :k].contiguous(), S[:k].clone(), V[:, :k].mT.contiguous(), error)
        for _ in range(2):  # one pass of Gram-Schmidt loses orthogonality in float32; twice is enough
            residual = torch.linalg.qr(residual - Q @ (Q.mT @ residual)).Q
        Q, C = torch.cat([Q, residual], 1), torch.cat([C, _transposed_product(delta, residual)], 1)
    return None


def _product(delta: Float[Tensor, "m n"], V: Float[Tensor, "n j"]) -> Float[Tensor, "m j"]:
    """delta V with the columns of V stored one after another: half the time of V stored by rows on a CPU."""
    return delta @ V.mT.contiguous().mT


def _transposed_product(delta: Float[Tensor, "m n"], Q: Float[Tensor, "m j"]) -> Float[Tensor, "n j"]:
    """deltaᵀ Q, read along the rows of ``delta``: a third of the time of ``delta.mT @ Q`` on a CPU."""
    return (Q.mT @ delta).mT


def _leading_right_factors(C: Float[Tensor, "n j"], count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest singular values (descending) and right singular vectors of a thin C.

    Through CᵀC in float64, whose squaring costs nothing at the large end of a float32 spectrum.
    """
    squares, vectors = torch.linalg.eigh(C.double().mT @ C.double())
    S = squares.flip(0)[:count].clamp(min=0).sqrt()
    return S.to(C.dtype), vectors.flip(1)[:, :count].to(C.dtype)
