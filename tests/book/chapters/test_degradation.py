"""Correlations by hand and by their properties, on points made up for it; the models on the smoke profile."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, ttest_1samp

from lox.book.chapters.degradation import exercise, measure
from lox.book.results import paper


def points(slope=-0.5, seeds=(1, 2, 3), noise=0.02):
    """Two shares of the directions and three sizes; the ratio rises with the size, the loss with the ratio as told."""
    rng = np.random.default_rng(0)
    lines = []
    for seed in seeds:
        for pairs in (10, 20, 40):
            ratio = 0.3 + pairs / 100 + noise * rng.normal()
            lost = 0.6 + slope * ratio
            one = {
                "seed": seed,
                "pairs": pairs,
                "degradation": lost,
                "asr_before": 0.0 if pairs > 10 else 0.2,
            }
            lines += [
                one | {"share": 0.1 * k, "k": k, "ratio": ratio**k, "length": 1 / pairs} for k in (1, 2)
            ]
    return pd.DataFrame(lines)


def test_a_correlation_by_hand_and_of_nothing():
    assert measure.correlation([1, 2, 3, 4], [4, 2, 3, 1]) == pytest.approx(-0.8)
    assert math.isnan(measure.correlation([1, 2, 3], [5, 5, 5]))
    assert math.isnan(measure.correlation([1, 1, 1], [1, 2, 3]))


def test_orders_of_four_points_by_hand():
    assert measure.share_of_orders([1, 2, 3, 4], [4, 2, 3, 1]) == pytest.approx(1 / 3)
    assert measure.share_of_orders([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(2 / 24)


def test_fishers_interval_is_scipys():
    rng = np.random.default_rng(1)
    x = rng.normal(size=20)
    y = x + rng.normal(size=20)
    expected = pearsonr(x, y).confidence_interval()
    found = measure.fisher(measure.correlation(x, y), 20)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-3)
    wider = measure.fisher(measure.correlation(x, y), 20, held=3)
    assert wider[0] < found[0] and found[1] < wider[1]


@pytest.mark.parametrize(("r", "n", "held"), [(0.5, 3, 0), (0.5, 6, 3), (math.nan, 20, 0)])
def test_there_is_no_interval_for_too_few_points(r, n, held):
    assert all(math.isnan(end) for end in measure.fisher(r, n, held))


def test_a_perfect_correlation_has_an_interval():
    low, high = measure.fisher(1.0, 12)
    assert 0.9 < low < high <= 1


def test_the_bootstrap_draws_whole_seeds():
    table = points()[lambda t: t["k"] == 1]
    low, high = measure.bootstrap_over_seeds(table, "ratio", draws=200)
    assert (low, high) == pytest.approx((-1, -1))  # the loss is a function of the ratio in every seed
    noisy = table.assign(degradation=np.random.default_rng(0).random(len(table)))
    low, high = measure.bootstrap_over_seeds(noisy, "ratio", draws=200)
    assert low < measure.correlation(noisy["ratio"], noisy["degradation"]) < high
    one = table[table["seed"] == 1]
    assert all(math.isnan(end) for end in measure.bootstrap_over_seeds(one, "ratio", draws=20))
    flat = table.assign(degradation=0.0)
    assert all(math.isnan(end) for end in measure.bootstrap_over_seeds(flat, "ratio", draws=20))


def test_every_predictor_has_its_correlations():
    found = measure.correlations(points())
    assert found["predictor"].tolist() == [
        "R_ft / R_align, k = 1",
        "R_ft / R_align, k = 2",
        "alignment pairs",
        "‖ΔW_ft‖ / ‖ΔW_align‖",
    ]
    first, pairs = found.iloc[0], found.iloc[2]
    assert first["r"] == first["r_equal_size"] == first["r_seed_2"] == pytest.approx(-1)
    assert math.isnan(pairs["r_equal_size"]) and math.isnan(pairs["k"])  # pairs do not vary at equal size
    assert measure.correlations(points(slope=0.5))["r"].iloc[0] == pytest.approx(1)


def test_signs_are_tested_over_the_seeds_own_correlations():
    own = {"r_seed_1": [-0.5, 0.1], "r_seed_2": [-0.6, -0.2], "r_seed_3": [-0.7, math.nan]}
    predictors = pd.DataFrame({"k": [1.0, 2.0]} | own)
    found = measure.signs(pd.concat([predictors, predictors.tail(1).assign(k=math.nan)])).set_index("k")
    columns = ["smallest", "largest", "seeds"]
    assert found[columns].to_numpy().tolist() == [[-0.7, -0.5, 3], [-0.2, 0.1, 2]]
    tested = ttest_1samp([-0.5, -0.6, -0.7], 0)
    assert found.loc[1, "p"] == pytest.approx(tested.pvalue)
    assert found.loc[1, ["low", "high"]].tolist() == pytest.approx(list(tested.confidence_interval()))
    assert found.loc[1, "p_holm"] == pytest.approx(2 * tested.pvalue)  # of two k


def test_one_seed_or_none_establishes_no_sign():
    assert measure.signs(measure.correlations(points(seeds=(1,))))["p_holm"].tolist() == [1, 1]
    assert measure.signs(measure.correlations(points().assign(degradation=0.0))).empty


def test_equal_size_takes_off_what_the_size_does():
    table = points(noise=0.0)
    jitter = table["seed"].map({1: -0.01, 2: 0.0, 3: 0.01})
    table = table.assign(ratio=table["ratio"] + jitter, degradation=table["degradation"] + jitter)
    one = measure.at_smallest_k(table)
    found = measure._correlated(one, "ratio")
    assert found["r"] < 0 < found["r_equal_size"]


def test_the_papers_correlations():
    found = measure.paper_correlations(paper("figure2"))
    assert found["r"].lt(-0.8).all() and found["k"].tolist() == [10, 100, 500, 2000]
    assert (found["low"] < found["r"]).all() and (found["r"] < found["high"]).all()
    moves = measure.moves(paper("figure2"))
    assert moves["move"].tolist() == sorted(moves["move"], reverse=True)  # most at small k


def test_amounts_and_shares_are_the_papers():
    published = paper("figure2")
    assert measure.amounts(published, 225) == [225, 328, 450, 656]
    assert measure.paper_shares(published) == [10 / 4096, 100 / 4096, 500 / 4096, 2000 / 4096]


def test_safe_models_and_falling_losses_are_counted():
    assert measure.was_safe(points()).to_dict("list") == {
        "pairs": [10, 20, 40],
        "safe": [0, 3, 3],
        "models": [3, 3, 3],
    }
    assert measure.falls(points()) == (3, 3)
    assert measure.falls(points(slope=0.5)) == (0, 3)


def test_points_of_a_run(setup):
    table, over_seeds = measure.run(setup, "pure_bad", [32], [0.05, 0.5], [1])
    assert table["share"].tolist() == [0.05, 0.5] and table["pairs"].unique().tolist() == [32]
    assert table["ratio"].to_numpy() == pytest.approx((table["r_ft"] / table["r_align"]).to_numpy())
    assert over_seeds["difference"].iloc[0] == pytest.approx(
        table["asr"].iloc[0] - table["asr_before"].iloc[0]
    )


def test_the_exercise_knows_right_from_plausibly_wrong():
    def squared(r_align, r_new, a, b):
        return (r_align**2 * a**2 + r_new**2 * b**2) / (a**2 + b**2)

    def said(answer):
        return exercise.check_mixture_ratio(answer).data

    assert said(lambda r, n, a, b: squared(r, n, a, b) ** 0.5 / r).startswith("**Right.**")
    assert "R_ft itself" in said(lambda r, n, a, b: squared(r, n, a, b) ** 0.5)
    assert "square of the ratio" in said(lambda r, n, a, b: squared(r, n, a, b) / r**2)
    assert "take the root before" in said(lambda r, n, a, b: squared(r, n, a, b) / r)
    assert "Squares are mixed" in said(lambda r, n, a, b: (r * a + n * b) / (a + b) / r)
    assert "R_ft² is the mean" in said(lambda r, n, a, b: 7)


def test_across_tasks_ratio_and_harm_are_means_over_seeds_without_a_defence():
    rows = pd.DataFrame(
        {"seed": seed, "task": task, "defence": defence, "r_align": 0.8, "r_ft": ft}
        for seed in (1, 2)
        for task, ft in (("none", 0.8), ("dolly", 0.4), ("pure_bad", 0.6))
        for defence in ("none", "lox")
    )
    read = rows.assign(harmful=(rows["task"] == "pure_bad") & (rows["seed"] == 1))
    found = measure.across_tasks(rows, read.set_index(["seed", "task", "defence"])["harmful"])
    assert found.to_dict("list") == {
        "task": ["dolly", "pure_bad"],
        "ratio": pytest.approx([0.5, 0.75]),
        "harm": [0.0, 0.5],
    }
