"""Low-rank extrapolation, against a plain transcription of equation 3 in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lox
from lox.extrapolation import truncate, update

NAN = float("nan")
sides, seeds, ranks = st.integers(1, 10), st.integers(0, 10_000), st.integers(1, 10)
alphas = st.floats(-3, 3, allow_subnormal=False)


def pair(m: int, n: int, seed: int, dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Base weights, and aligned ones a small update away."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(m, n, dtype=torch.float64, generator=generator)
    return base.to(dtype), (base + 0.1 * torch.randn(m, n, dtype=torch.float64, generator=generator)).to(
        dtype
    )


def transcribed_lox(base: torch.Tensor, aligned: torch.Tensor, k: int, alpha: float) -> torch.Tensor:
    """W_base + ΔW_align + α Proj_k(ΔW_align): equation 3 as it stands in the paper."""
    delta_align = aligned.double() - base.double()
    U = torch.linalg.svd(delta_align, full_matrices=False).U[:, :k]
    return base.double() + delta_align + alpha * (U @ U.T) @ delta_align


def model(seed: int = 0) -> tuple[dict, dict]:
    """Mappings with all that is met: matrices, a stack, a vector, a scalar, a matrix left unchanged."""
    base = {"layers.0.q": pair(6, 4, seed)[0], "layers.0.up": pair(9, 4, seed + 1)[0]}
    aligned = {"layers.0.q": pair(6, 4, seed)[1], "layers.0.up": pair(9, 4, seed + 1)[1]}
    base["experts"], aligned["experts"] = (torch.stack(side) for side in zip(pair(5, 7, 2), pair(5, 7, 3)))
    base["norm"], aligned["norm"] = torch.ones(4), torch.full((4,), 1.5)
    base["temperature"], aligned["temperature"] = torch.tensor(1.0), torch.tensor(2.0)
    base["frozen"] = aligned["frozen"] = torch.randn(3, 4, generator=torch.Generator().manual_seed(9))
    return base, aligned


# --- the algebra ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(m=sides, n=sides, seed=seeds, k=ranks, alpha=alphas)
def test_equation_3(m, n, seed, k, alpha):
    base, aligned = pair(m, n, seed)
    moved = lox.extrapolate(base, aligned, k=k, alpha=alpha)
    torch.testing.assert_close(moved, transcribed_lox(base, aligned, k, alpha))


@settings(deadline=None, max_examples=40)
@given(m=sides, n=sides, seed=seeds, k=ranks)
def test_alpha_0_is_the_identity(m, n, seed, k):
    base, aligned = pair(m, n, seed)
    assert torch.equal(lox.extrapolate(base, aligned, k=k, alpha=0.0), aligned)


@settings(deadline=None, max_examples=60)
@given(m=sides, n=sides, seed=seeds, k=ranks, first=alphas, second=alphas)
def test_linear_in_alpha(m, n, seed, k, first, second):
    base, aligned = pair(m, n, seed)
    moved = [lox.extrapolate(base, aligned, k=k, alpha=a) - aligned for a in (first, second, first + second)]
    torch.testing.assert_close(moved[0] + moved[1], moved[2])
    unit = lox.extrapolate(base, aligned, k=k, alpha=1.0) - aligned
    torch.testing.assert_close(moved[0], first * unit)


@settings(deadline=None, max_examples=40)
@given(m=sides, n=sides, seed=seeds, alpha=alphas)
def test_full_rank_is_plain_extrapolation(m, n, seed, alpha):
    base, aligned = pair(m, n, seed)
    plain = aligned + alpha * (aligned - base)
    torch.testing.assert_close(lox.extrapolate(base, aligned, k="full", alpha=alpha), plain)
    torch.testing.assert_close(lox.extrapolate(base, aligned, k=min(m, n), alpha=alpha), plain)


@settings(deadline=None, max_examples=60)
@given(m=sides, n=sides, seed=seeds, k=ranks, alpha=st.floats(0.1, 3))
def test_the_step_has_rank_at_most_k(m, n, seed, k, alpha):
    base, aligned = pair(m, n, seed)
    step = lox.extrapolate(base, aligned, k=k, alpha=alpha) - aligned
    assert torch.linalg.matrix_rank(step, atol=1e-10) == min(k, m, n)


@settings(deadline=None, max_examples=40)
@given(m=sides, n=sides, seed=seeds, k=ranks)
def test_truncate_is_the_model_of_equation_4(m, n, seed, k):
    base, aligned = pair(m, n, seed)
    torch.testing.assert_close(
        truncate(base, aligned, rank=k), transcribed_lox(base, aligned, k, 1) - (aligned - base)
    )
    torch.testing.assert_close(truncate(base, aligned, rank=min(m, n)), aligned)
    assert torch.equal(truncate(base, aligned, rank=0), base)


def test_the_defaults_are_those_of_the_paper():
    base, aligned = pair(20, 30, 0)
    assert torch.equal(lox.extrapolate(base, aligned), lox.extrapolate(base, aligned, k=6, alpha=1.25))


# --- mappings of weights --------------------------------------------------------------------------


def test_matrices_are_extrapolated_and_the_rest_copied_from_aligned():
    base, aligned = model()
    moved = lox.extrapolate(base, aligned, k=2, alpha=0.5)
    assert list(moved) == list(aligned)
    for name in ("layers.0.q", "layers.0.up"):
        torch.testing.assert_close(moved[name], transcribed_lox(base[name], aligned[name], 2, 0.5))
    for i in range(2):
        expected = transcribed_lox(base["experts"][i], aligned["experts"][i], 2, 0.5)
        torch.testing.assert_close(moved["experts"][i], expected)
    for name in ("norm", "temperature", "frozen"):
        assert torch.equal(moved[name], aligned[name])


def test_truncate_takes_what_is_no_matrix_from_the_base():
    base, aligned = model()
    cut = truncate(base, aligned, rank=1)
    assert torch.equal(cut["norm"], base["norm"]) and torch.equal(cut["temperature"], base["temperature"])
    assert all(torch.equal(weight, base[name]) for name, weight in truncate(base, aligned, rank=0).items())


def test_inputs_are_neither_changed_nor_shared():
    base, aligned = model()
    before = {
        side: {n: w.clone() for n, w in weights.items()} for side, weights in (("b", base), ("a", aligned))
    }
    for weights in (lox.extrapolate(base, aligned, k=1), truncate(base, aligned, rank=0)):
        for weight in weights.values():
            weight.fill_(7)
    assert all(torch.equal(base[n], before["b"][n]) and torch.equal(aligned[n], before["a"][n]) for n in base)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_result_has_the_type_of_the_aligned_weights(dtype):
    base, aligned = pair(12, 8, 0, dtype)
    moved = lox.extrapolate(base, aligned, k=2)
    assert moved.dtype == dtype
    torch.testing.assert_close(moved, transcribed_lox(base, aligned, 2, 1.25).to(dtype))


def test_types_may_differ_between_the_sides():
    base, aligned = pair(12, 8, 0)
    moved = lox.extrapolate(base.bfloat16(), aligned.float(), k=2)
    assert moved.dtype == torch.float32
    torch.testing.assert_close(
        moved.double(), transcribed_lox(base.bfloat16(), aligned.float(), 2, 1.25), atol=1e-5, rtol=0
    )


def test_differences_are_taken_in_float32():
    """257 and 1 − 3/1024 need more than the 8 significant bits of bf16, in which both would be rounded."""
    base, aligned = torch.tensor([[1.0, 3 / 1024]]).bfloat16(), torch.tensor([[258.0, 1.0]]).bfloat16()
    assert update(base, aligned).tolist() == [[257.0, 1 - 3 / 1024]]
    assert (aligned - base).tolist() == [[256.0, 255 / 256]]


# --- bad input ------------------------------------------------------------------------------------


def test_names_on_one_side_only_are_named():
    base, aligned = model()
    with pytest.raises(ValueError, match=r"^missing in aligned: norm$"):
        lox.extrapolate(base, {n: w for n, w in aligned.items() if n != "norm"})
    with pytest.raises(ValueError, match=r"^missing in base: experts, frozen, layers\.0\.q and 3 more$"):
        lox.extrapolate({}, aligned)


def test_shapes_that_differ_are_named():
    base, aligned = {"up_proj.weight": torch.ones(1536, 576)}, {"up_proj.weight": torch.ones(1536, 640)}
    with pytest.raises(ValueError, match=r"^up_proj\.weight: base is 1536×576, aligned 1536×640$"):
        lox.extrapolate(base, aligned)
    with pytest.raises(ValueError, match=r"^gate: base is a scalar, aligned 1$"):
        lox.extrapolate({"gate": torch.tensor(1.0)}, {"gate": torch.ones(1)})
    with pytest.raises(ValueError, match=r"^the matrix: base is 2×3, aligned 3×2$"):
        lox.extrapolate(torch.ones(2, 3), torch.ones(3, 2))


@pytest.mark.parametrize("side", ["base", "aligned"])
@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
def test_nan_and_inf_are_named(side, bad):
    base, aligned = model()
    {"base": base, "aligned": aligned}[side]["layers.0.up"][3, 1] = bad
    for call in (lambda: lox.extrapolate(base, aligned), lambda: truncate(base, aligned, rank=2)):
        with pytest.raises(ValueError, match=r"^layers\.0\.up: delta holds NaN or Inf$"):
            call()


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8, torch.uint8])
def test_numbers_of_eight_bits_are_refused(kind):
    weights = torch.ones(4, 3), torch.ones(4, 3).to(kind)
    for base, aligned in (weights, weights[::-1]):
        with pytest.raises(ValueError, match=f"^up: {kind} is quantised: take the weights in bf16"):
            lox.extrapolate({"up": base}, {"up": aligned})


def test_the_same_infinity_on_both_sides_is_no_update_of_zero():
    broken = torch.tensor([[float("inf"), 1.0]])
    with pytest.raises(ValueError, match="delta holds NaN or Inf"):
        lox.extrapolate(broken, broken.clone())


@pytest.mark.usefixtures("unchecked_annotations")
@pytest.mark.parametrize("k", [0, -2, 1.5, "all", True])
def test_bad_k_is_refused_even_where_nothing_changed(k):
    with pytest.raises(ValueError, match=f'k is a positive int or "full", not {k!r}'):
        lox.extrapolate(torch.eye(2), torch.eye(2), k=k)


@pytest.mark.parametrize("alpha", [NAN, float("inf"), -float("inf")])
def test_alpha_must_be_finite(alpha):
    with pytest.raises(ValueError, match=f"alpha must be a finite number, not {alpha}"):
        lox.extrapolate(*pair(2, 3, 0), alpha=alpha)


def test_bad_rank_is_refused():
    with pytest.raises(ValueError, match="k is a positive int"):
        truncate(*pair(2, 3, 0), rank=-1)


def test_a_result_that_overflows_its_type_is_refused():
    base, aligned = {"w": torch.zeros(2, 2).half()}, {"w": torch.full((2, 2), 60000.0).half()}
    with pytest.raises(ValueError, match=r"^w: the result overflows torch\.float16: take a smaller alpha"):
        lox.extrapolate(base, aligned, k=1)


@pytest.mark.usefixtures("unchecked_annotations")
def test_a_vector_alone_is_refused():
    with pytest.raises(ValueError, match=r"must be a matrix \(m, n\) or a stack"):
        lox.extrapolate(torch.zeros(3), torch.ones(3))
