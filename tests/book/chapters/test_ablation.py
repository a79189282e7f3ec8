"""The k × α grid: the same models as ``extrapolate``, and where they count as broken."""

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lox import extrapolate
from lox.book.chapters.ablation import measure
from lox.lab.evaluation import Rate
from lox.lab.judging.verdicts import Verdict
from lox.lab.setup import Evaluated


def pair(seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"wide": (8, 12), "tall": (12, 8), "stack": (2, 8, 9), "norm": (8,)}
    base, delta = ({n: torch.randn(s, generator=generator) for n, s in shapes.items()} for _ in range(2))
    return base, {n: base[n] + 0.1 * delta[n] for n in base}


@settings(max_examples=25, deadline=None)
@given(
    k=st.one_of(st.integers(1, 20), st.just("full")),
    alpha=st.floats(-2, 12),
    seed=st.integers(0, 3),
)
def test_every_point_of_the_grid_is_equation_3(k, alpha, seed):
    base, aligned = pair(seed)
    found, expected = (
        measure.Extrapolations(base, aligned).weights(k, alpha),
        extrapolate(base, aligned, k=k, alpha=alpha),
    )
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-5)


def test_each_matrix_is_decomposed_once_for_the_whole_grid(monkeypatch):
    calls = []
    decompose = measure.safety_subspace
    monkeypatch.setattr(measure, "safety_subspace", lambda *a: calls.append(a) or decompose(*a))
    grid = measure.Extrapolations(*pair())
    for k in (1, 2, "full"):
        for alpha in (0.5, 2.0):
            grid.weights(k, alpha)
    assert len(calls) == 3


def test_the_grid_leaves_the_aligned_weights_as_they_were():
    base, aligned = pair()
    before = {n: t.clone() for n, t in aligned.items()}
    moved = measure.Extrapolations(base, aligned).weights("full", 1.0)
    moved["norm"].zero_()
    assert all(torch.equal(aligned[n], before[n]) for n in before)


@pytest.mark.parametrize("k", [0, -1, True, "all"])
def test_a_bad_k_is_refused(k, unchecked_annotations):
    with pytest.raises(ValueError, match="k is a positive int"):
        measure.Extrapolations(*pair()).weights(k, 1.0)


def test_weights_on_one_side_only_are_refused():
    base, aligned = pair()
    del base["tall"]
    with pytest.raises(ValueError, match="missing in base: tall"):
        measure.Extrapolations(base, aligned)


def evaluated(answered: int, solved: int) -> Evaluated:
    labels = ["harmless"] * answered + ["gibberish"] * (10 - answered)
    return Evaluated([], [], [Verdict(label) for label in labels], solved / 10)


@pytest.mark.parametrize(
    ("answered", "solved", "whole"),
    [(5, 4, True), (4, 6, False), (8, 3, False), (10, 10, True)],
)
def test_whole_is_more_than_half_of_the_start_in_both(answered, solved, whole):
    assert measure.is_whole(evaluated(answered, solved), evaluated(8, 6)) is whole


def test_answered_agrees_with_the_helpful_rate():
    found = evaluated(7, 0)
    assert Rate(sum(measure.answered(found)), 10) == found.helpful


def test_breaking_points_are_the_first_alphas_that_are_not_whole():
    before = pd.DataFrame(
        [("6", 1, 6, a, w) for a, w in ((0.0, True), (1.0, False), (2.0, True), (3.0, False))]
        + [("full", 1, "full", a, True) for a in (0.0, 1.0)],
        columns=["choice", "seed", "k", "alpha", "whole"],
    )
    found = measure.breaking_points(before).set_index("choice")["breaks_at"]
    assert found["6"] == 1.0
    assert pd.isna(found["full"])


def test_a_share_of_the_width_is_rounded_and_at_least_one(setup):
    width = setup.profile.model.hidden
    assert [measure.share_of_width(setup, k, 4096) for k in (1, 6, 100, 500, 4096)] == [
        1,
        max(1, round(6 * width / 4096)),
        round(100 * width / 4096),
        round(500 * width / 4096),
        width,
    ]


def test_choices_of_k_in_words(setup, monkeypatch):
    width = setup.profile.model.hidden
    monkeypatch.setattr(measure, "effective_rank_of", lambda setup, seed, ranks: ranks[seed])
    said = {choice: measure.ranks_of_choice(setup, choice, [1, 2], [4, 5, 6]) for choice in ("6", "full")}
    assert said == {"6": {1: 6, 2: 6}, "full": {1: "full", 2: "full"}}
    assert measure.ranks_of_choice(setup, f"{width} of {2 * width}", [1], [])[1] == width // 2
    assert measure.ranks_of_choice(setup, "effective rank", [1, 2], [4, 5, 6]) == {1: 5, 2: 6}


@pytest.mark.parametrize("choice", ["", "six", "-1", "6 of", "full of 6", "half"])
def test_other_words_for_k_are_refused(setup, choice):
    with pytest.raises(ValueError, match="k is a number, a share like .*, not"):
        measure.ranks_of_choice(setup, choice, [1], [1])


def test_alpha_rises_to_the_first_at_which_every_seed_is_broken(setup, monkeypatch):
    models = {seed: measure.extrapolations(setup, seed) for seed in (1, 2)}
    asked = []
    monkeypatch.setattr(
        measure, "_evaluate", lambda s, seed, m, k, alpha: asked.append((seed, k, alpha)) or (seed, alpha)
    )
    monkeypatch.setattr(measure, "is_whole", lambda found, start: found[1] < 2 * found[0])
    found = measure.until_broken(setup, models, {1: 3, 2: "full"}, [4.0, 1.0, 8.0, 2.0])
    assert list(found) == [0.0, 1.0, 2.0, 4.0]
    assert asked == [(s, k, a) for a in (1.0, 2.0, 4.0) for s, k in ((1, 3), (2, "full"))]


def test_a_grid_point_answers_as_the_lox_model_on_disk_does(setup):
    on_disk = setup.evaluate(setup.folder("lox", seed=1, k=3, alpha=0.5))
    models = {1: measure.extrapolations(setup, 1)}
    along = measure.until_broken(setup, models, {1: 3}, [0.5])
    assert [r["reply"] for r in along[0.5][1].replies] == [r["reply"] for r in on_disk.replies]


def test_no_rank_that_satisfies_is_an_error_that_names_the_ranks(setup, monkeypatch):
    monkeypatch.setattr(measure, "read_curve", lambda *a: type("Found", (), {"rank": None}))
    with pytest.raises(ValueError, match=r"seed 1: no rank of \[1, 2\]"):
        measure.effective_rank_of(setup, 1, [2, 1])
