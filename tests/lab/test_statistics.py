"""Intervals: small tables worked by hand, the edges, and how often they contain a truth that is known."""

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit, ndtr
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_rel

from lox.lab import statistics
from lox.lab.statistics import (
    Rate,
    compared,
    holm,
    mean_of_seeds,
    mean_over_seeds,
    p_of_seeds,
    paired_difference,
    paired_p_value,
    rate,
    with_ends,
)

# Two seeds, two things, two prompts a thing: cells 1 and 1/2 in the first seed, 1/2 and 0 in the second.
TABLE, THINGS = [[1, 1, 1, 0], [1, 0, 0, 0]], ["dax", "dax", "wug", "wug"]


def t_quantile(freedom: float) -> float:
    return student.ppf(0.975, freedom)


def test_rate_counts_all_and_has_wilsons_interval():
    found = rate(np.array([True, False, False, False]))
    assert (found, found.value) == (Rate(1, 4), 0.25)
    assert [round(100 * x, 1) for x in (Rate(11, 100).low, Rate(11, 100).high)] == [6.3, 18.6]
    assert (Rate(0, 5).low, Rate(5, 5).high) == (0, 1)
    with pytest.raises(ValueError, match="no outcomes"):
        rate([])


def test_columns_of_an_estimate_have_its_name():
    found = Rate(11, 100)
    assert with_ends("asr", found) == {"asr": 0.11, "asr_low": found.low, "asr_high": found.high}


def test_mean_over_seeds_by_hand():
    # Seed means 3/4 and 1/4, thing means the same, no interaction: each part is (1/16 + 1/16) / 2 = 1/16
    # with one degree of freedom, the variance 1/8; and m(1 − m) = 1/4, so there are 2 effective prompts.
    found = mean_over_seeds(TABLE, THINGS)
    share = 1 / (1 + 2 / t_quantile(1) ** 2)
    half = np.sqrt(share * (1 - share) / 4 + share**2 / 4)
    assert (found.value, found.seeds, found.n) == (0.5, 2, 4)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))


def test_the_mean_of_one_number_a_seed_by_hand():
    # Mean 2, standard deviation 1 and so a standard error of 1/√3; t with two degrees of freedom is 4.3027.
    found, half = mean_of_seeds([1.0, 2.0, 3.0]), 4.302652729911275 / 3**0.5
    assert (found.value, found.low, found.high) == pytest.approx((2, 2 - half, 2 + half))
    assert found.columns("r") == {"r": found.value, "low": found.low, "high": found.high, "seeds": 3}
    # The mean of six new seeds varies as well: the variance is 1/3 + 1/6 = 1/2; at 90 % t is 2.9200.
    new = mean_of_seeds([1.0, 2.0, 3.0], confidence=0.9, new_seeds=6)
    assert (new.low, new.high) == pytest.approx((2 - 2.919985580 / 2**0.5, 2 + 2.919985580 / 2**0.5))


def test_seeds_that_do_not_differ_and_a_single_one():
    same, alone = mean_of_seeds([0.1 + 0.2, 0.3]), mean_of_seeds([0.3])
    assert same.low == same.value == same.high
    assert (alone.value, alone.low, alone.high, alone.seeds) == (0.3, -np.inf, np.inf, 1)
    rounded = mean_of_seeds([0.3, 0.3], least_error=0.01)
    assert (rounded.low, rounded.high) == pytest.approx((0.3 - 0.12706, 0.3 + 0.12706), abs=1e-5)
    with pytest.raises(ValueError, match=r"one number a seed is needed, got shape \(0,\)"):
        mean_of_seeds([])


def test_p_of_seeds_is_that_of_students_test():
    assert p_of_seeds([1.0, 2.0, 4.0]) == pytest.approx(ttest_1samp([1.0, 2.0, 4.0], 0).pvalue)
    # With two seeds t has one degree of freedom, Cauchy's distribution: t = mean / error = 1 / 1 has p = 1/2.
    assert p_of_seeds([0.0, 2.0]) == p_of_seeds([0.0, -2.0]) == pytest.approx(0.5)
    assert (p_of_seeds([0.2, 0.2]), p_of_seeds([0.0, 0.0]), p_of_seeds([0.2])) == (0, 1, 1)


def test_compared_is_a_difference_with_its_p_as_columns():
    zeros = np.zeros((2, 4))
    found, expected = compared(TABLE, zeros, THINGS), paired_difference(TABLE, zeros, THINGS)
    assert list(found) == ["difference", "low", "high", "p", "seeds", "n"]
    assert (found["difference"], found["low"], found["seeds"], found["n"]) == (0.5, expected.low, 2, 4)
    assert found["p"] == paired_p_value(TABLE, zeros, THINGS)


def test_paired_difference_about_one_thing_is_the_paired_t_test_of_seeds():
    rng = np.random.default_rng(0)
    first, second, things = rng.random((4, 20)), rng.random((4, 20)), ["dax"] * 20
    reference = ttest_rel(first.mean(1), second.mean(1))
    found, expected = paired_difference(first, second, things), reference.confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert paired_p_value(first, second, things) == pytest.approx(reference.pvalue)


def test_one_seed_resamples_things_not_prompts():
    first = np.repeat([[1, 1, 1, 0, 1, 0, 1, 1]], 3, axis=1)  # three prompts a thing, always of one mind
    second, things = np.zeros_like(first), np.repeat(np.arange(8), 3)
    found = paired_difference(first, second, things)
    half = t_quantile(7) * np.sqrt(0.75 * 0.25 / 7)
    assert (found.seeds, found.low) == (1, pytest.approx(0.75 - half))
    assert found.high == 1  # clipped
    singles = mean_over_seeds(first[:, ::3], np.arange(8))
    repeated = mean_over_seeds(first, things)
    assert (repeated.low, repeated.high) == pytest.approx((singles.low, singles.high))


def test_variance_of_things_that_are_the_same_in_all_seeds_does_not_shrink_with_seeds():
    verdicts = np.random.default_rng(0).random((1, 64)) < 0.3
    alone, many = (mean_over_seeds(np.repeat(verdicts, s, axis=0), np.arange(64)) for s in (1, 10))
    assert (many.low, many.high) == pytest.approx((alone.low, alone.high), abs=0.002)


@pytest.mark.parametrize("seeds, things", [(3, 64), (10, 64), (1, 64), (5, 1)])
def test_outcomes_that_are_all_the_same_still_have_an_interval(seeds, things):
    t = t_quantile((seeds if seeds > 1 else things) - 1)
    share = t**2 / (seeds * things + t**2)
    zeros, ones = np.zeros((seeds, things)), np.ones((seeds, things))
    names = np.arange(things)
    none, every = mean_over_seeds(zeros, names), mean_over_seeds(ones, names)
    assert (none.value, none.low, none.high) == (0, 0, pytest.approx(share))
    assert (every.value, every.low, every.high) == (1, pytest.approx(1 - share), 1)
    same = paired_difference(ones, ones, names)
    assert (same.value, same.low, same.high) == (0, pytest.approx(-share), pytest.approx(share))
    assert paired_p_value(ones, ones, names) == 1
    certain = paired_difference(ones, zeros, names)
    assert (certain.value, certain.low, certain.high) == (1, pytest.approx(1 - 2 * share), 1)


def test_one_seed_and_one_thing_say_nothing():
    found = mean_over_seeds([[1, 0]], ["dax", "dax"])
    assert (found.value, found.low, found.high) == (0.5, 0, 1)
    found = paired_difference([[1, 1]], [[0, 1]], ["dax", "dax"])
    assert (found.low, found.high, paired_p_value([[1, 1]], [[0, 1]], ["dax", "dax"])) == (-1, 1, 1)


def test_order_of_seeds_and_prompts_names_of_things_and_verdicts_do_not_matter():
    rng = np.random.default_rng(1)
    first, second, things = rng.random((4, 30)), rng.random((4, 30)) < 0.5, rng.integers(0, 9, 30)
    seeds, prompts = rng.permutation(4), rng.permutation(30)
    shuffled = [x[seeds][:, prompts] for x in (first, second)]
    names = [f"thing {9 - thing}" for thing in things[prompts]]
    mirrored, ours = mean_over_seeds(1 - first, things), mean_over_seeds(first, things)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((ours.low, ours.high))
    for function, k in ((mean_over_seeds, 1), (paired_difference, 2)):
        ours = function(*(first, second)[:k], things)
        theirs = function(*shuffled[:k], names)
        assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))
    assert paired_p_value(first, second, things) == pytest.approx(paired_p_value(*shuffled, names))


def test_p_is_below_five_per_cent_exactly_when_the_interval_excludes_zero():
    rng, significant = np.random.default_rng(2), []
    for seeds, things, gap in ((3, 20, 0.2), (5, 8, 0.3), (1, 30, 0.3), (2, 1, 0.5), (8, 4, 0.4)) * 60:
        first, second = (rng.random((seeds, 2 * things)) < p for p in (0.4 + gap, 0.4))
        names = np.repeat(np.arange(things), 2)
        found = paired_difference(first, second, names)
        significant.append(paired_p_value(first, second, names) < 0.05)
        assert significant[-1] == (found.low > 0 or found.high < 0)
    assert 50 < sum(significant) < 250
    for seeds in (2, 3):  # every pair differs by 1: S · T = 128 and 192 units, t of 1 and 2 degrees
        ones, zeros, names = np.ones((seeds, 64)), np.zeros((seeds, 64)), np.arange(64)
        low = paired_difference(ones, zeros, names).low
        assert (paired_p_value(ones, zeros, names) < 0.05) == (low > 0) == (seeds == 3)


@pytest.mark.parametrize(
    "outcomes, things, message",
    [
        ([[1, 0], [float("nan"), 1]], [0, 1], "outcomes: nan of seed 1, prompt 0 is not in"),
        ([[1, 0], [1, 1.5]], [0, 1], "outcomes: 1.5 of seed 1, prompt 1 is not in"),
        ([1, 0, 1], [0, 1, 2], r"outcomes: seeds × prompts are needed, got shape \(3,\)"),
        (np.zeros((3, 0)), [], "outcomes: seeds × prompts are needed"),
        ([[1, 0, 1]], [0, 1], r"things: 3 prompts need one each, got shape \(2,\)"),
        ([[1, 0]], ["dax", None], "things: prompt 1 has none"),
    ],
)
def test_what_cannot_be_averaged_is_refused(outcomes, things, message):
    with pytest.raises(ValueError, match=message) as refused:
        mean_over_seeds(outcomes, things)
    assert "\n" not in str(refused.value)


def test_pairs_that_do_not_fit_are_refused():
    for function in (paired_difference, paired_p_value):
        with pytest.raises(ValueError, match=r"first is \(2, 4\), second \(1, 4\)"):
            function(TABLE, TABLE[:1], THINGS)
        with pytest.raises(ValueError, match="second: nan of seed 0, prompt 0"):
            function([[1]], [[float("nan")]], ["dax"])


# --- How often the interval contains the truth ---

REPETITIONS, NOUNS = 2000, 64


def within(low: float, high: float, repetitions: int) -> tuple[float, float]:
    """[low, high] widened by three standard errors of a share that is counted over so many repetitions."""
    return (
        low - 3 * np.sqrt(low * (1 - low) / repetitions),
        high + 3 * np.sqrt(high * (1 - high) / repetitions),
    )


@pytest.fixture(scope="module")
def unchecked():
    """The module without checks of its annotations, which take ten times as long as its arithmetic."""
    spec = importlib.util.spec_from_file_location("unchecked_statistics", statistics.__file__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module := importlib.util.module_from_spec(spec))
        spec.loader.exec_module(module)
        yield module


def draw(rng, rates, shared, correlation, prompts, own=None):
    """Verdicts (R, S, T · P) at ``rates`` (R, S); correlated in cells, ``shared`` by all seeds in part."""
    shape = (*rates.shape, NOUNS)
    of_thing = rng.standard_normal((len(rates), 1, NOUNS)) if own is None else own
    cell = np.sqrt(shared) * of_thing + np.sqrt(1 - shared) * rng.standard_normal(shape)
    follows = rng.random((*shape, prompts)) < np.sqrt(correlation)
    alone = rng.random((*shape, prompts)) < rates[..., None, None]
    verdicts = np.where(follows, (ndtr(cell) < rates[..., None])[..., None], alone)
    return verdicts.reshape(*rates.shape, NOUNS * prompts)


def seeds_and_truth(rng, mean, sd, seeds):
    """Rates (R, S) of seeds, normal on the logit scale, and their expectation by Gauss and Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    truth = weights @ expit(logit(mean) + sd * nodes) / weights.sum()
    return expit(logit(mean) + sd * rng.standard_normal((REPETITIONS, seeds))), truth


DIFFERENT_SEEDS, SAME_SEEDS = (0.3, 0.75, 2, 0.3), (0, 1, 1, 0)


# A rate of .7 is one of .3 with the verdicts exchanged, for which the intervals are the same (tested above).
@pytest.mark.parametrize(
    "mean, setting", [(0.05, DIFFERENT_SEEDS), (0.7, DIFFERENT_SEEDS), (0.3, SAME_SEEDS)]
)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_interval_of_a_mean_contains_the_truth(unchecked, mean, seeds, setting):
    sd, correlation, prompts, shared = setting
    rng = np.random.default_rng([seeds, int(100 * mean), prompts])
    rates, truth = seeds_and_truth(rng, mean, sd, seeds)
    things = np.repeat(np.arange(NOUNS), prompts)
    found = [unchecked.mean_over_seeds(x, things) for x in draw(rng, rates, shared, correlation, prompts)]
    least, most = within(0.93, 0.97, REPETITIONS)
    assert least <= np.mean([x.low <= truth <= x.high for x in found]) <= most


def test_wilsons_interval_of_all_prompts_would_not():
    rng = np.random.default_rng(3)
    rates, truth = seeds_and_truth(rng, 0.3, 0.3, 5)
    found = [Rate(int(x.sum()), x.size) for x in draw(rng, rates, 0.3, 0.75, 2)]
    assert np.mean([x.low <= truth <= x.high for x in found]) < 0.8


@pytest.mark.parametrize("seeds, means", [(3, (0.3, 0.3)), (10, (0.3, 0.05))])
def test_interval_of_a_paired_difference_contains_the_truth(unchecked, seeds, means):
    rng = np.random.default_rng(seeds)
    of_thing = rng.standard_normal((REPETITIONS, 1, NOUNS))
    (first, a), (second, b) = (seeds_and_truth(rng, mean, 0.3, seeds) for mean in means)
    things = np.repeat(np.arange(NOUNS), 2)
    pairs = zip(*(draw(rng, rates, 0.3, 0.75, 2, of_thing) for rates in (first, second)))
    found = [unchecked.paired_difference(x, y, things) for x, y in pairs]
    least, most = within(0.93, 0.97, REPETITIONS)
    assert least <= np.mean([x.low <= a - b <= x.high for x in found]) <= most


# --- Several tests, doses ---


def test_holm_by_hand():
    # Sorted .01 .02 .04 times 3 2 1 are .03 .04 .04.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []
    assert holm(pd.Series([0.01, 0.5])) == pytest.approx([0.02, 0.5])
    for wrong in (float("nan"), 1.2):
        with pytest.raises(ValueError, match="p values must be in"):
            holm([0.1, wrong])


def test_the_rounding_of_one_seed_s_mean_is_no_variation_of_seeds():
    """Values whose mean is inexact: their deviations from it do not sum to 0 exactly."""
    values = [0.1 * i / 7 for i in range(70)]
    found = mean_over_seeds([values], [str(i) for i in range(70)])
    assert 0 < found.low < found.value < found.high < 1


def test_the_mean_of_two_estimates_has_the_width_of_a_mean():
    mean, low, high = statistics.mean_of_two((0.2, 0.1, 0.4), (0.4, 0.3, 0.6))
    assert mean == pytest.approx(0.3)
    assert (low, high) == pytest.approx((0.3 - 0.1 / np.sqrt(2), 0.3 + 0.2 / np.sqrt(2)))


def test_the_interval_of_two_estimates_covers_their_mean():
    random = np.random.default_rng(0)
    covered = []
    for _ in range(1500):
        sides = [statistics.mean_of_seeds(random.normal(0.3, 0.3, 10)) for _ in range(2)]
        _, low, high = statistics.mean_of_two(*((s.value, s.low, s.high) for s in sides))
        covered.append(low <= 0.3 <= high)
    assert 0.94 < np.mean(covered) < 0.98


def test_two_tests_of_one_question_agree_or_speak_against_each_other():
    assert statistics.p_of_two([(0.04, 0.1), (0.04, 0.2)]) == pytest.approx(0.00368, abs=1e-4)
    assert statistics.p_of_two([(0.04, 0.1), (0.04, -0.2)]) == pytest.approx(1.0)
    assert statistics.p_of_two([(0.04, -0.1), (0.04, -0.2)]) == pytest.approx(0.00368, abs=1e-4)
    assert statistics.p_of_two([(1.0, 0.0), (1.0, 0.0)]) == pytest.approx(1.0)


def test_p_of_two_is_uniform_where_there_is_nothing():
    random = np.random.default_rng(1)
    found = []
    for _ in range(2000):
        sides = [random.normal(0, 1, 10) for _ in range(2)]
        found.append(statistics.p_of_two([(statistics.p_of_seeds(s), s.mean()) for s in sides]))
    assert 0.035 < np.mean(np.array(found) < 0.05) < 0.065
