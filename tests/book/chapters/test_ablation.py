"""The k × α grid: the same models as ``extrapolate``, and where they count as broken."""

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lox import extrapolate
from lox.book.chapters.ablation import measure, which_k
from lox.lab.evaluation import Evaluated, evaluate
from lox.lab.judging.verdicts import Verdict


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
    moved = measure.Extrapolations(base, aligned).weights(k, alpha)
    expected = extrapolate(base, aligned, k=k, alpha=alpha)
    assert moved.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(moved[name], expected[name], rtol=1e-5, atol=1e-5)


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


def test_a_matrix_that_alignment_left_alone_stays():
    base, aligned = pair()
    aligned["wide"] = base["wide"].clone()
    assert torch.equal(measure.Extrapolations(base, aligned).weights(2, 1.0)["wide"], base["wide"])


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
    return Evaluated([], [], [Verdict(label) for label in labels], [], [], solved / 10)


@pytest.mark.parametrize(
    ("answered", "solved", "by"),
    [
        (5, 4, []),
        (4, 6, ["answers"]),
        (8, 3, ["utility"]),
        (1, 1, ["answers", "utility"]),
        (10, 10, []),
    ],
)
def test_whole_is_more_than_half_of_the_start_in_both(answered, solved, by):
    found, start = evaluated(answered, solved), evaluated(8, 6)
    assert measure.broken_by(found, start) == by
    assert measure.is_whole(found, start) == (not by)


def test_rows_before_fine_tuning_say_what_broke_a_model(setup, monkeypatch):
    along = {0.0: {1: evaluated(8, 6)}, 1.0: {1: evaluated(8, 2)}, 2.0: {1: evaluated(1, 2)}}
    monkeypatch.setattr(measure, "until_broken", lambda *a: along)
    monkeypatch.setattr(measure.rows, "rates", lambda found: {"utility": found.utility})
    found = measure.before_of(setup, "full", {1: "full"}, [1.0, 2.0]).set_index("alpha")["broken_by"]
    assert found.to_dict() == {0.0: "nothing", 1.0: "utility", 2.0: "answers and utility"}


def test_gains_are_of_answers_and_of_utility_each_with_its_own_correction(setup, monkeypatch):
    """With k = 6 all ten questions are answered and 6 or 8 problems in ten solved, with full rank half and none."""

    def known(setup, seed, k, alpha):
        labels = ["harmless"] * 10 if k == 6 else ["harmless"] * 5 + ["gibberish"] * 5
        benign = [Verdict(label) for label in labels]
        utility = {1: 0.6, 2: 0.8}[seed] if k == 6 else 0.0
        return Evaluated([], [], benign, [], [str(i) for i in range(10)], utility)

    monkeypatch.setattr(measure, "evaluated_extrapolation", known)
    before = pd.DataFrame({"choice": ["6", "full", "full"], "alpha": [3.0, 1.0, 2.0]})
    ks = {"6": {1: 6, 2: 6}, "full": {1: "full", 2: "full"}}
    found = measure.gains(setup, ks, before).set_index("what")
    assert found["difference"].to_dict() == pytest.approx({"answers": 0.5, "utility": 0.7})
    assert set(found["choice"]) == {"6"} and set(found["alpha"]) == {2.0}
    assert (found["p_holm"] == found["p"]).all()  # one choice in each family


def test_breaking_points_are_the_first_alphas_that_are_not_whole():
    by = ((0.0, "nothing"), (3.0, "answers"), (1.0, "utility"), (2.0, "nothing"))
    before = pd.DataFrame(
        [("6", 1, 6, a, what) for a, what in by] + [("full", 1, "full", a, "nothing") for a in (0.0, 1.0)],
        columns=["choice", "seed", "k", "alpha", "broken_by"],
    )
    breaks = measure.breaking_points(before).set_index("choice")
    assert breaks.loc["6", ["breaks_at", "broken_by"]].tolist() == [1.0, "utility"]
    assert breaks.loc["full", ["breaks_at", "broken_by"]].isna().all()
    never = measure.breaking_points(before[before["choice"] == "full"])["breaks_at"]
    assert never.isna().all() and never.dtype == float


def test_a_share_of_the_width_is_rounded_and_at_least_one(setup):
    width = setup.profile.model.hidden
    assert [which_k.share_of_width(setup, 1, k, 4096) for k in (1, 6, 100, 500, 4096)] == [
        1,
        max(1, round(6 * width / 4096)),
        round(100 * width / 4096),
        round(500 * width / 4096),
        width,
    ]


def test_choices_of_k_in_words(setup, monkeypatch):
    width = setup.profile.model.hidden
    monkeypatch.setattr(which_k, "effective_rank_of", lambda setup, seed, ranks: ranks[seed])
    said = {choice: which_k.ranks_of_choice(setup, choice, [1, 2], [4, 5, 6]) for choice in ("6", "full")}
    assert said == {"6": {1: 6, 2: 6}, "full": {1: "full", 2: "full"}}
    assert which_k.ranks_of_choice(setup, f"{width} of {2 * width}", [1], [])[1] == width // 2
    assert which_k.ranks_of_choice(setup, "effective rank", [1, 2], [4, 5, 6]) == {1: 5, 2: 6}


@pytest.mark.parametrize("choice", ["", "six", "-1", "6 of", "full of 6", "half"])
def test_other_words_for_k_are_refused(setup, choice):
    with pytest.raises(ValueError, match="k is a number, a share like .*, not"):
        which_k.ranks_of_choice(setup, choice, [1], [1])


def test_full_rank_must_be_among_the_choices(setup):
    with pytest.raises(ValueError, match="name it among them"):
        which_k.ranks_of(setup, ["6"], [1], [1])


@pytest.mark.usefixtures("unchecked_annotations")
def test_alpha_rises_to_the_first_at_which_every_seed_is_broken(setup, monkeypatch):
    asked = []
    monkeypatch.setattr(measure, "evaluate", lambda setup, model: None)
    monkeypatch.setattr(
        measure,
        "evaluated_extrapolation",
        lambda s, seed, k, alpha: asked.append((seed, k, alpha)) or (seed, alpha),
    )
    monkeypatch.setattr(measure, "is_whole", lambda found, start: found[1] < 2 * found[0])
    along = measure.until_broken(setup, {1: 3, 2: "full"}, [4.0, 1.0, 8.0, 2.0])
    assert list(along) == [0.0, 1.0, 2.0, 4.0]
    assert asked == [(s, k, a) for a in (1.0, 2.0, 4.0) for s, k in ((1, 3), (2, "full"))]


def test_a_grid_point_answers_as_the_lox_model_on_disk_does(setup):
    on_disk = evaluate(setup, setup.model(1, defence="lox", k=3, alpha=0.5))
    here = measure.evaluated_extrapolation(setup, 1, 3, 0.5)
    assert [r["reply"] for r in here.replies] == [r["reply"] for r in on_disk.replies]


def test_no_rank_that_satisfies_is_an_error_that_names_the_ranks(setup, monkeypatch):
    monkeypatch.setattr(which_k, "read_curve", lambda *a: type("Found", (), {"rank": None}))
    with pytest.raises(ValueError, match=r"seed 1: no rank of \[1, 2\]"):
        which_k.effective_rank_of(setup, 1, [2, 1])


def test_points_of_the_grid_as_models(setup):
    none, low, full = (
        measure.finetuned(setup, 1, "alpaca", k, a, 1) for k, a in ((6, 0.0), (6, 0.5), ("full", 0.5))
    )
    assert none == setup.model(1, "alpaca", epochs=1)
    assert (low.defence, low.k, low.alpha, low.epochs) == ("lox", 6, 0.5, 1)
    assert (full.defence, full.k, full.alpha) == ("full-rank", "full", 0.5)


def test_differences_are_against_none_and_against_full_rank(setup, monkeypatch):
    """ASR at a point: none 1, full rank 1/2, any other k 0."""

    def known(setup, model):
        harmful = {"none": [True, True], "full-rank": [True, False], "lox": [False, False]}[model.defence]
        labels = [Verdict("harmful" if h else "refusal") for h in harmful]
        return Evaluated([], labels, [], ["a", "b"], [], 0.0)

    monkeypatch.setattr(measure, "evaluate", known)
    ks = {"2": {1: 2, 2: 2}, "full": {1: "full", 2: "full"}}
    table = measure.differences(setup, ks, [1.0], {"alpaca": 1}).set_index(["first", "choice"])["difference"]
    assert table.to_dict() == {("none", "2"): 1.0, ("none", "full"): 0.5, ("full-rank", "2"): 0.5}
    means = measure.after_means(setup, ks, [1.0], {"alpaca": 1}).set_index(["choice", "alpha"])["asr"]
    assert means.to_dict() == {("2", 0.0): 1.0, ("2", 1.0): 0.0, ("full", 0.0): 1.0, ("full", 1.0): 0.5}
