"""The truncated SVD, its certificate and the projection, against exact float64 decompositions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import hadamard
from torch.utils._python_dispatch import TorchDispatchMode

import lox
from lox import subspace as subspace_module
from lox.subspace import is_finite

ROUNDING = {torch.float32: 3e-6, torch.float64: 1e-13}  # slack on the certificate for the arithmetic itself
INDEX = torch.arange(1, 257, dtype=torch.float64)
SPECTRA = {
    "decaying": 1 / INDEX,
    "slowly decaying": INDEX.rsqrt(),
    "exponential": torch.exp(-INDEX / 4),
    "stepped": torch.where(INDEX <= 6, 1.0, 0.1),
    "step inside k": torch.where(INDEX <= 3, 1.0, 0.01),
    "flat": torch.ones_like(INDEX),
    "nearly flat": 1 + 0.01 / INDEX,
    "repeated": torch.where(INDEX <= 9, 2.0, 1 / INDEX),
    "low rank": torch.where(INDEX <= 3, 1 / INDEX, 0.0),
    "one direction": torch.where(INDEX <= 1, 1.0, 0.0),
    "dominant": torch.where(INDEX <= 1, 1e5, 1 / INDEX),
    "zero": torch.zeros_like(INDEX),
}


def exact(matrix: torch.Tensor):
    return torch.linalg.svd(matrix.double(), full_matrices=False)


def small_matrices(low: int = 1, high: int = 8):
    sides = st.integers(low, high)
    numbers = st.floats(-10, 10, width=32)
    return st.tuples(sides, sides).flatmap(
        lambda shape: arrays(np.float64, shape, elements=numbers).map(torch.from_numpy)
    )


# --- the certificate ------------------------------------------------------------------------------


def assert_certified(matrix: torch.Tensor, k: int, found: lox.Subspace) -> None:
    """Singular values, and ‖Proj_k‖ measured with U alone, are as near the true ones as ``error`` says."""
    true = torch.linalg.svdvals(matrix.double())[:k]
    allowed = (found.error + ROUNDING[found.S.dtype]) * true.norm()
    assert (found.S.double() - true).abs().max() <= allowed
    measured = (found.U.double().mT @ matrix.double()).norm()
    assert abs(measured - true.norm()) <= allowed
    assert (
        found.matrix().double() - found.U.double() @ (found.U.double().mT @ matrix.double())
    ).norm() <= allowed
    identity = torch.eye(found.k, dtype=torch.float64)
    assert (found.U.double().mT @ found.U.double() - identity).abs().max() < 2 * ROUNDING[found.U.dtype]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_error_bounds_the_measured_error(with_spectrum, spectrum, scale, dtype):
    for m, n in ((256, 320), (640, 256), (256, 256)):
        matrix = with_spectrum(SPECTRA[spectrum] * scale, m, n).to(dtype)
        for k in (1, 6, 60):
            assert_certified(matrix, k, lox.safety_subspace(matrix, k))


@pytest.mark.parametrize("spectrum", ["decaying", "slowly decaying", "exponential", "stepped"])
def test_error_bounds_the_measured_error_when_stopped_early(with_spectrum, monkeypatch, spectrum):
    """A loose tolerance leaves errors of several per cent, which the certificate has to admit."""
    monkeypatch.setattr(subspace_module, "TOLERANCE", 0.9)
    matrix = with_spectrum(SPECTRA[spectrum], 256, 320).float()
    found = lox.safety_subspace(matrix, 6)
    assert found.error > 1e-3
    assert_certified(matrix, 6, found)


def test_factors_are_exact_for_a_matrix_as_near_as_the_error_says(with_spectrum, monkeypatch):
    monkeypatch.setattr(subspace_module, "TOLERANCE", 0.1)
    matrix = with_spectrum(SPECTRA["decaying"], 256, 320)
    found = lox.safety_subspace(matrix, 6)
    residual = matrix @ found.Vh.mT - found.U * found.S
    assert residual.norm() == pytest.approx(found.error * float(found.S.norm()))
    nearby = matrix - residual @ found.Vh
    torch.testing.assert_close(nearby @ found.Vh.mT, found.U * found.S)
    torch.testing.assert_close(nearby.mT @ found.U, found.Vh.mT * found.S)


def test_iteration_is_used_where_it_pays_and_the_dense_svd_elsewhere(with_spectrum):
    decaying = with_spectrum(SPECTRA["decaying"], 256, 320).float()
    assert 0 < lox.safety_subspace(decaying, 6).error <= subspace_module.TOLERANCE
    assert lox.safety_subspace(decaying, 60).error == 0
    crowded = with_spectrum(torch.linspace(1, 0.5, 256), 256, 320).float()  # no convergence: no gap anywhere
    assert lox.safety_subspace(crowded, 6).error == 0


@settings(deadline=None, max_examples=40)
@given(
    decay=st.floats(0.3, 3),
    k=st.integers(1, 4),
    m=st.integers(64, 140),
    n=st.integers(64, 140),
    seed=st.integers(0, 99),
)
def test_agrees_with_the_exact_svd(with_spectrum, decay, k, m, n, seed):
    matrix = with_spectrum(torch.arange(1, 65, dtype=torch.float64) ** -decay, m, n, seed)
    found = lox.safety_subspace(matrix, k, seed=seed)
    assert_certified(matrix, k, found)
    U, S, Vh = exact(matrix)
    assert (found.matrix() - (U[:, :k] * S[:k]) @ Vh[:k]).norm() < 5e-3 * S.norm()


# --- shapes, types, seeds -------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_factors_and_another_the_same_subspace(with_spectrum):
    matrix = with_spectrum(SPECTRA["decaying"], 256, 320).float()
    first, again, other = (lox.safety_subspace(matrix, 4, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(first.U, again.U) and torch.equal(first.S, again.S) and torch.equal(first.Vh, again.Vh)
    assert not torch.equal(first.U, other.U)
    torch.testing.assert_close(lox.project(first, matrix), lox.project(other, matrix), atol=1e-3, rtol=0)


def test_does_not_disturb_the_global_random_state(with_spectrum):
    matrix = with_spectrum(SPECTRA["decaying"], 256, 320)
    before = torch.random.get_rng_state()
    lox.safety_subspace(matrix, 3)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_types_are_widened_first(with_spectrum, dtype):
    matrix = with_spectrum(SPECTRA["decaying"], 256, 320).to(dtype)
    narrow, wide = lox.safety_subspace(matrix, 5), lox.safety_subspace(matrix.float(), 5)
    assert narrow.U.dtype == narrow.S.dtype == narrow.Vh.dtype == torch.float32
    assert torch.equal(narrow.U, wide.U) and torch.equal(narrow.S, wide.S)
    assert_certified(matrix, 5, narrow)


def test_float64_stays_float64(with_spectrum):
    found = lox.safety_subspace(with_spectrum(SPECTRA["decaying"], 256, 320), 2)
    assert found.U.dtype == found.S.dtype == found.Vh.dtype == torch.float64


def test_a_stack_is_a_batch_of_matrices(with_spectrum):
    stack = torch.stack(
        [with_spectrum(SPECTRA[name], 256, 320).float() for name in ("decaying", "stepped", "flat")]
    )
    found = lox.safety_subspace(stack, 4)
    assert found.U.shape == (3, 256, 4) and found.S.shape == (3, 4) and found.Vh.shape == (3, 4, 320)
    alone = [lox.safety_subspace(matrix, 4) for matrix in stack]
    for i, one in enumerate(alone):
        assert torch.equal(found.U[i], one.U) and torch.equal(found.S[i], one.S)
        torch.testing.assert_close(lox.project(found, stack)[i], lox.project(one, stack[i]))
    assert found.error == max(one.error for one in alone)


@pytest.mark.parametrize("k", ["full", 5, 6, 1000])
def test_k_of_the_smaller_side_or_beyond_means_full(k):
    matrix = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    found = lox.safety_subspace(matrix, k)
    assert found.k == 5
    torch.testing.assert_close(found.matrix(), matrix)


@pytest.mark.parametrize("rank", [0, 1, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fewer_directions_than_k_are_completed_orthonormally(with_spectrum, rank, dtype):
    for m, n in ((120, 160), (256, 320), (320, 256)):
        matrix = with_spectrum(torch.ones(rank), m, n).to(dtype)
        found = lox.safety_subspace(matrix, 6)
        identity = torch.eye(6, dtype=dtype)
        torch.testing.assert_close(found.U.mT @ found.U, identity, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.Vh @ found.Vh.mT, identity, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.matrix(), matrix)


# --- Proj_k is an orthogonal projection -----------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(matrix=small_matrices(), k=st.integers(1, 8), data=st.data())
def test_proj_k_is_idempotent_symmetric_and_leaves_an_orthogonal_remainder(matrix, k, data):
    found = lox.safety_subspace(matrix, k)
    m = matrix.shape[0]
    P = lox.project(found, torch.eye(m, dtype=torch.float64))
    torch.testing.assert_close(P @ P, P)
    torch.testing.assert_close(P, P.mT)
    assert P.trace() == pytest.approx(found.k)
    other = data.draw(arrays(np.float64, (m, 3), elements=st.floats(-10, 10)).map(torch.from_numpy))
    kept = lox.project(found, other)
    torch.testing.assert_close(lox.project(found, kept), kept)
    assert (found.U.mT @ (other - kept)).abs().max() < 1e-11
    assert kept.square().sum() + (other - kept).square().sum() == pytest.approx(float(other.square().sum()))
    assert kept.norm() == pytest.approx(float((found.U.mT @ other).norm()))


@settings(deadline=None, max_examples=60)
@given(matrix=small_matrices(), k=st.integers(1, 8))
def test_projecting_the_update_truncates_its_svd(matrix, k):
    found = lox.safety_subspace(matrix, k)
    S = torch.linalg.svdvals(matrix)
    torch.testing.assert_close(lox.project(found, matrix), found.matrix())
    left_out = (matrix - found.matrix()).norm()
    assert left_out == pytest.approx(
        float(S[k:].norm()), abs=1e-10
    )  # Eckart and Young: no rank-k matrix is nearer
    assert torch.linalg.matrix_rank(found.matrix(), atol=1e-9) <= k


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked_annotations")
@pytest.mark.parametrize("k", [0, -1, 2.0, 2.5, "all", None, True])
def test_bad_k_is_refused(k):
    with pytest.raises(ValueError, match=f'k is a positive int or "full", not {k!r}'):
        lox.safety_subspace(torch.eye(3), k)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("size", [4, 120])
def test_nan_and_inf_are_refused(bad, size):
    matrix = torch.eye(size)
    matrix[1, 2] = bad
    with pytest.raises(ValueError, match="delta holds NaN or Inf"):
        lox.safety_subspace(matrix, 1)


def test_finite_values_whose_sum_overflows_are_no_infinity():
    found = lox.safety_subspace(torch.full((2, 2), 1e38), 1)
    assert float(found.S[0]) == pytest.approx(2e38, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_entry_that_is_not_finite_is_seen_among_the_largest_that_are(dtype, bad):
    stack = torch.full((2, 8, 9), torch.finfo(dtype).max, dtype=dtype)
    assert is_finite(stack)
    stack[1, 3, 4] = bad
    assert not is_finite(stack) and not is_finite(stack.mT)


@pytest.mark.usefixtures("unchecked_annotations")
@pytest.mark.parametrize("shape", [(3,), (), (2, 2, 2, 2), (0, 3), (3, 0), (0, 2, 2)])
def test_what_is_no_matrix_is_refused(shape):
    with pytest.raises(ValueError, match=r"delta must be a matrix \(m, n\) or a stack \(b, m, n\), not \("):
        lox.safety_subspace(torch.ones(shape), 1)


@pytest.mark.usefixtures("unchecked_annotations")
def test_projecting_a_matrix_of_another_height_is_refused():
    with pytest.raises(ValueError, match="the subspace lives in 3 dimensions, the matrix has 4 rows"):
        lox.project(lox.safety_subspace(torch.eye(3), 1), torch.ones(4, 2))


# --- cost -----------------------------------------------------------------------------------------


class Operations(TorchDispatchMode):
    """Counts floating-point operations, by the leading terms of Golub and Van Loan, "Matrix Computations"."""

    COUNTED = {  # shapes of the arguments -> operations
        "mm": lambda a, b: 2 * a[0] * a[1] * b[1],
        "linalg_qr": lambda a: 4 * a[0] * a[1] ** 2,  # with Q formed
        "_linalg_eigh": lambda a: 9 * a[0] ** 3,
        "_linalg_svd": lambda a: 14 * max(a) * min(a) ** 2 + 8 * min(a) ** 3,  # thin U, S and Vh
    }

    def __init__(self):
        super().__init__()
        self.count, self.calls = 0, []

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        name = operation.overloadpacket.__name__
        self.calls.append(name)
        if name in self.COUNTED:
            shapes = [tuple(a.shape) for a in arguments if isinstance(a, torch.Tensor)]
            self.count += self.COUNTED[name](*shapes)
        return operation(*arguments, **(options or {}))


def test_fifty_times_fewer_operations_than_the_dense_svd():
    """Counted and not timed, so the same on a busy machine; the ratio grows with the size of the matrix.

    In time it is about 40 at this size and 100 at 4096 × 4096, on one thread; benchmarks/checkpoint_speed.py
    times both in the shapes of a real model.
    """
    size, k = 1024, 6
    values = 1 / torch.arange(1, size + 1)
    signs = torch.randn(2, size, 1, generator=torch.Generator().manual_seed(0)).sign()
    U, V = torch.from_numpy(hadamard(size, dtype=np.float32)) / size**0.5 * signs  # orthogonal
    matrix = (U * values) @ V.mT
    with Operations() as fast:
        found = lox.safety_subspace(matrix, k)
    with Operations() as dense:
        factors = torch.linalg.svd(matrix, full_matrices=False)
    assert "mm" in fast.calls and "_linalg_svd" not in fast.calls and "_linalg_svd" in dense.calls
    assert abs(lox.project(found, matrix).double().norm() / factors.S[:k].double().norm() - 1) < 1e-4
    assert abs(lox.r_align(matrix, k) / (values[:k].norm() / values.norm()) - 1) < 1e-4
    assert dense.count >= 50 * fast.count
