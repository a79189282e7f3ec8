"""The search of equation 4, with attack success rates made up so that the answer is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lox
from lox.effective_rank import read_curve

NONMONOTONE = {0: 0.40, 1: 0.05, 2: 0.005, 3: 0.02, 4: 0.0, 6: 0.0}


def diagonal_model() -> tuple[dict, dict]:
    """An update with singular values 5, 4, 3, 2, 1 in one matrix and rank 1 in another."""
    base = {"q": torch.zeros(5, 6), "up": torch.zeros(3, 2), "norm": torch.ones(5)}
    aligned = {"q": torch.zeros(5, 6), "up": torch.ones(3, 2), "norm": torch.full((5,), 2.0)}
    aligned["q"][range(5), range(5)] = torch.arange(5.0, 0, -1)
    return base, aligned


def asr_from(curve: dict[int, float], aligned_asr: float, calls: list | None = None):
    """An ASR read off the number of directions of ``q``; the aligned model is known by its norm."""

    def asr(weights) -> float:
        rank = int(torch.linalg.matrix_rank(weights["q"]))
        is_aligned = bool(weights["norm"][0] == 2)
        if calls is not None:
            calls.append("aligned" if is_aligned else rank)
        return aligned_asr if is_aligned else curve[rank]

    return asr


def test_the_first_rank_that_satisfies_the_condition():
    calls = []
    asr = asr_from({1: 0.5, 2: 0.2, 3: 0.004, 4: 0.0, 5: 0.0}, 0.0, calls)
    found = lox.effective_rank(*diagonal_model(), asr)
    assert (found.rank, found.settled) == (3, 3)
    assert found.curve == {1: 0.5, 2: 0.2, 3: 0.004}
    assert (found.asr_aligned, found.rho) == (0.0, 0.01)
    assert calls == ["aligned", 1, 2, 3], "each model is judged once, and none beyond the answer"


def test_a_curve_that_rises_again_settles_later():
    ranks = [4, 2, 3, 1, 0, 2]
    found = lox.effective_rank(*diagonal_model(), asr_from(NONMONOTONE, 0.0), ranks=ranks)
    assert (found.rank, found.settled) == (2, 4)
    assert list(found.curve.items()) == [(r, NONMONOTONE[r]) for r in (0, 1, 2, 3, 4)]


def test_given_ranks_are_all_judged_once():
    calls = []
    lox.effective_rank(*diagonal_model(), asr_from(NONMONOTONE, 0.0, calls), ranks=[4, 4, 0, 2])
    assert calls == ["aligned", 0, 2, 4]


def test_no_rank_satisfies_it():
    never = dict.fromkeys(range(6), 0.5)
    searched = lox.effective_rank(*diagonal_model(), asr_from(never, 0.1))
    assert (searched.rank, searched.settled) == (None, None)
    assert list(searched.curve) == [1, 2, 3, 4, 5], "the search ends at the full rank"
    given_ranks = lox.effective_rank(*diagonal_model(), asr_from(never, 0.1), ranks=[0, 2])
    assert (given_ranks.rank, given_ranks.settled) == (None, None)


def test_satisfied_once_but_not_at_the_end():
    found = read_curve({1: 0.0, 2: 0.3}, asr_aligned=0.0, rho=0.01)
    assert (found.rank, found.settled) == (1, None)


def test_the_condition_is_strict():
    assert read_curve({1: 0.75}, asr_aligned=0.5, rho=0.25).rank is None
    assert read_curve({1: 0.75}, asr_aligned=0.5, rho=0.26).rank == 1


@pytest.mark.parametrize("hundredths", range(0, 99))
def test_a_difference_of_one_prompt_in_a_hundred_is_never_below_one_per_cent(hundredths):
    target, asr = hundredths / 100, (hundredths + 1) / 100
    assert read_curve({1: asr}, target, 0.01).rank is None
    in_float32 = [float(torch.tensor(rate)) for rate in (asr, target)]
    assert read_curve({1: in_float32[0]}, in_float32[1], 0.01).rank is None


def test_less_asr_than_aligned_satisfies_it():
    assert read_curve({0: 0.9, 1: 0.0}, asr_aligned=0.2, rho=0.01).rank == 1


def test_rank_0_counts_where_it_is_asked_for():
    assert read_curve({0: 0.0, 1: 0.0}, asr_aligned=0.0, rho=0.01).rank == 0


def test_the_paper_s_llama_curve():
    """Read off the paper's figure for LLaMA-2-7B at 65.6k; its authors chose k = 6 for this model."""
    curve = {0: 0.41, 1: 0.04, 2: 0.01, 3: 0.02, 4: 0.01, 6: 0.0, 8: 0.0}
    found = read_curve(curve, asr_aligned=0.0, rho=0.01)
    assert (found.rank, found.settled) == (6, 6)


@settings(deadline=None, max_examples=200)
@given(
    curve=st.dictionaries(st.integers(0, 40), st.integers(0, 100).map(lambda x: x / 100), max_size=12),
    target=st.integers(0, 100).map(lambda x: x / 100),
    rho=st.integers(1, 999).map(lambda x: x / 1000),
)
def test_rank_and_settled_by_their_definitions(curve, target, rho):
    found = read_curve(curve, target, rho)
    good = {r for r in curve if round(curve[r] - target - rho, 6) < 0}
    assert found.rank == min(good, default=None)
    assert found.settled == min((r for r in curve if all(s in good for s in curve if s >= r)), default=None)
    if found.settled is not None:
        assert found.rank <= found.settled
    assert list(found.curve) == sorted(curve)


@pytest.mark.usefixtures("unchecked_annotations")
@pytest.mark.parametrize("rho", [0, 1, -0.1, 1.5, float("nan")])
def test_rho_outside_0_1_is_refused_before_anything_is_judged(rho):
    calls = []
    with pytest.raises(ValueError, match=f"rho lies between 0 and 1, not {rho!r}"):
        lox.effective_rank(*diagonal_model(), asr_from(NONMONOTONE, 0.0, calls), rho=rho)
    with pytest.raises(ValueError, match="rho lies between 0 and 1"):
        read_curve({}, 0.0, rho)
    assert calls == []


def test_negative_ranks_are_refused():
    with pytest.raises(ValueError, match='k is a positive int or "full", not -1'):
        lox.effective_rank(*diagonal_model(), asr_from(NONMONOTONE, 0.0), ranks=[1, -1])


def test_errors_of_the_weights_come_through():
    base, aligned = diagonal_model()
    aligned["up"][0, 0] = float("nan")
    with pytest.raises(ValueError, match="up: delta holds NaN or Inf"):
        lox.effective_rank(base, aligned, lambda weights: 0.0)
