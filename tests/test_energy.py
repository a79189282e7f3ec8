"""R_align, R_ft and the energy profile, against a plain transcription of equations 1 and 2 in float64."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import lox

seeds, ranks = st.integers(0, 10_000), st.integers(1, 12)


def random_matrix(m: int, n: int, seed: int) -> torch.Tensor:
    return torch.randn(m, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def transcribed_r(delta_align: torch.Tensor, delta_total: torch.Tensor, k: int) -> float:
    """‖U_:k U_:kᵀ ΔW‖ / ‖ΔW‖ with U_:k of ΔW_align: equations 1 and 2 as they stand in the paper."""
    U = torch.linalg.svd(delta_align.double(), full_matrices=False).U[:, :k]
    delta_total = delta_total.double()
    return float(torch.linalg.norm((U @ U.T) @ delta_total) / torch.linalg.norm(delta_total))


@settings(deadline=None, max_examples=60)
@given(m=st.integers(1, 12), n=st.integers(1, 12), k=ranks, seed=seeds)
def test_equations_1_and_2(m, n, k, seed):
    delta_align, delta_ft = random_matrix(m, n, seed), 2 * random_matrix(m, n, seed + 1)
    assert lox.r_align(delta_align, k) == pytest.approx(transcribed_r(delta_align, delta_align, k))
    assert lox.r_ft(delta_align, delta_ft, k) == pytest.approx(
        transcribed_r(delta_align, delta_align + delta_ft, k)
    )


@settings(deadline=None, max_examples=60)
@given(m=st.integers(1, 12), n=st.integers(1, 12), k=ranks, seed=seeds)
def test_r_align_is_read_off_the_singular_values(m, n, k, seed):
    squares = torch.linalg.svdvals(matrix := random_matrix(m, n, seed)).square()
    assert lox.r_align(matrix, k) == pytest.approx(math.sqrt(squares[:k].sum() / squares.sum()))


@settings(deadline=None, max_examples=60)
@given(rank=st.integers(1, 6), k=ranks, seed=seeds)
def test_r_align_is_1_exactly_from_the_rank_on(rank, k, seed):
    matrix = random_matrix(9, rank, seed) @ random_matrix(rank, 7, seed + 1)
    assume(torch.linalg.svdvals(matrix)[rank - 1] > 1e-3)
    share = lox.r_align(matrix, k)
    assert 0 < share <= 1
    assert (share > 1 - 1e-12) == (k >= rank)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, k=ranks, turn=st.floats(0, 6.3), scale=st.floats(1e-3, 1e3))
def test_r_does_not_change_under_rotation_or_scale(seed, k, turn, scale):
    delta_align, delta_ft = random_matrix(6, 9, seed), random_matrix(6, 9, seed + 1)
    rotation = torch.eye(6, dtype=torch.float64)
    cos, sin = math.cos(turn), math.sin(turn)
    rotation[1:3, 1:3] = torch.tensor([[cos, -sin], [sin, cos]])
    moved = lox.r_ft(scale * rotation @ delta_align, scale * rotation @ delta_ft, k)
    assert moved == pytest.approx(lox.r_ft(delta_align, delta_ft, k))


@settings(deadline=None, max_examples=40)
@given(m=st.integers(1, 12), n=st.integers(1, 12), seed=seeds)
def test_the_profile_is_r_for_every_k(m, n, seed):
    delta_align, delta_ft = random_matrix(m, n, seed), random_matrix(m, n, seed + 1)
    before = lox.energy_profile(delta_align, delta_align)
    after = lox.energy_profile(delta_align, delta_align + delta_ft)
    assert before.shape == after.shape == (min(m, n),)
    for k in range(1, min(m, n) + 1):
        assert float(before[k - 1]) == pytest.approx(lox.r_align(delta_align, k))
        assert float(after[k - 1]) == pytest.approx(lox.r_ft(delta_align, delta_ft, k))
    assert (before.diff() >= 0).all() and (after.diff() >= 0).all()
    assert float(before[-1]) == pytest.approx(1)


def test_no_fine_tuning_changes_nothing():
    delta = random_matrix(8, 5, 0)
    assert lox.r_ft(delta, torch.zeros_like(delta), 2) == lox.r_align(delta, 2)


def test_r_ft_can_exceed_r_align():
    """Fine-tuning that pushes on along the top direction: 4 / sqrt(17) against 2 / sqrt(5)."""
    delta_align, delta_ft = torch.diag(torch.tensor([2.0, 1.0])), torch.diag(torch.tensor([2.0, 0.0]))
    assert lox.r_align(delta_align, 1) == pytest.approx(2 / math.sqrt(5))
    assert lox.r_ft(delta_align, delta_ft, 1) == pytest.approx(4 / math.sqrt(17))


def test_fine_tuning_outside_the_subspace_lowers_r():
    delta_align, delta_ft = torch.diag(torch.tensor([2.0, 1.0])), torch.diag(torch.tensor([0.0, 2.0]))
    assert lox.r_ft(delta_align, delta_ft, 1) == pytest.approx(2 / math.sqrt(13))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e20, 1e30])
def test_tiny_and_huge_updates_in_float32(scale):
    """Their squares underflow or overflow float32; the shares do not depend on the scale."""
    delta_align, delta_ft = random_matrix(40, 30, 0), random_matrix(40, 30, 1)
    narrow = ((delta_align * scale).float(), (delta_ft * scale).float())
    assert lox.r_align(narrow[0], 3) == pytest.approx(lox.r_align(delta_align, 3), rel=1e-5)
    assert lox.r_ft(*narrow, 3) == pytest.approx(lox.r_ft(delta_align, delta_ft, 3), rel=1e-5)
    profile = lox.energy_profile(narrow[0], narrow[0] + narrow[1])
    torch.testing.assert_close(
        profile.double(), lox.energy_profile(delta_align, delta_align + delta_ft), rtol=1e-5, atol=0
    )


def test_norms_of_large_float32_matrices_are_summed_accurately(with_spectrum):
    """Summed in float32, the norm of this matrix would be off by 3e-5 and more."""
    values = 1 / torch.arange(1, 65, dtype=torch.float64)
    matrix = with_spectrum(values, 1536, 1536).float()
    assert lox.r_align(matrix, 6) == pytest.approx(float(values[:6].norm() / values.norm()), rel=2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_types(dtype):
    delta_align, delta_ft = random_matrix(20, 30, 0).to(dtype), random_matrix(20, 30, 1).to(dtype)
    expected = transcribed_r(delta_align, delta_align.double() + delta_ft.double(), 3)
    assert lox.r_ft(delta_align, delta_ft, 3) == pytest.approx(expected, rel=1e-5)


# --- bad input ------------------------------------------------------------------------------------


def test_an_update_of_zero_has_no_share():
    zero = torch.zeros(3, 4)
    with pytest.raises(
        ValueError, match="the update is zero, so the share of it inside a subspace is not defined"
    ):
        lox.r_align(zero, 1)
    with pytest.raises(ValueError, match="the update is zero"):
        lox.r_ft(torch.ones(3, 4), -torch.ones(3, 4), 1)
    with pytest.raises(ValueError, match="the update is zero"):
        lox.energy_profile(torch.ones(3, 4), zero)


@pytest.mark.usefixtures("unchecked_annotations")
def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"delta_align is \(3, 4\), delta_ft \(4, 3\)"):
        lox.r_ft(torch.ones(3, 4), torch.ones(4, 3), 1)
    with pytest.raises(ValueError, match=r"delta_align is \(3, 4\), delta_total \(3, 5\)"):
        lox.energy_profile(torch.ones(3, 4), torch.ones(3, 5))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_inf_are_refused_by_name(bad):
    fine, broken = torch.eye(3), torch.eye(3)
    broken[0, 1] = bad
    with pytest.raises(ValueError, match="delta holds NaN or Inf"):
        lox.r_align(broken, 1)
    with pytest.raises(ValueError, match="delta_align holds NaN or Inf"):
        lox.r_ft(broken, fine, 1)
    with pytest.raises(ValueError, match="delta_ft holds NaN or Inf"):
        lox.r_ft(fine, broken, 1)
    with pytest.raises(ValueError, match="delta_total holds NaN or Inf"):
        lox.energy_profile(fine, broken)


@pytest.mark.parametrize("k", [0, -3])
def test_bad_k_is_refused(k):
    with pytest.raises(ValueError, match=f'k is a positive int or "full", not {k}'):
        lox.r_align(torch.eye(3), k)
    with pytest.raises(ValueError, match=f'k is a positive int or "full", not {k}'):
        lox.r_ft(torch.eye(3), torch.eye(3), k)
