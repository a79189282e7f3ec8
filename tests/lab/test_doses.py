"""Breaking doses and their ratios: worked by hand, at the edges, and how often they contain a truth that is known."""

import numpy as np
import pytest
import scipy.stats
from scipy.stats import t as student

from lox.lab.doses import breaking_dose, ratio_of_doses


def t_quantile(freedom: float) -> float:
    return student.ppf(0.975, freedom)


def within(low: float, high: float, repetitions: int) -> tuple[float, float]:
    """[low, high] widened by three standard errors of a share that is counted over so many repetitions."""
    return (
        low - 3 * np.sqrt(low * (1 - low) / repetitions),
        high + 3 * np.sqrt(high * (1 - high) / repetitions),
    )


@pytest.mark.parametrize(
    "doses, asr, dose",
    [
        ([0, 10, 1000], [0, 0.25, 0.75], 100),  # half way on the log scale
        ([0, 10, 1000], [0.1, 0.9, 0.9], 5),  # half way from 0 on the dose itself
        ([10, 100, 1000], [0, 0.5, 0.2], 100),
        ([10, 100, 1000], [0, 0.4, 0.49], np.inf),
        ([10, 100], [0.6, 0.2], 10),
        ([1, 10, 100, 1000], [0, 1, 0, 1], 10**0.5),  # the first time
    ],
)
def test_breaking_dose_by_hand(doses, asr, dose):
    assert breaking_dose(doses, asr) == pytest.approx(dose)


def test_breaking_dose_at_another_level():
    assert breaking_dose([1, 100], [0, 1], level=0.25) == pytest.approx(100**0.25)


@pytest.mark.parametrize(
    "doses, asr, message",
    [
        ([1, 2], [0.1], "one rate is needed for every dose"),
        ([], [], "one rate is needed"),
        ([2, 1], [0.1, 0.2], "increasing"),
        ([-1, 1], [0.1, 0.2], "not negative"),
        ([1, 2], [0.1, float("nan")], "asr must be in"),
    ],
)
def test_doses_that_make_no_curve_are_refused(doses, asr, message):
    with pytest.raises(ValueError, match=message):
        breaking_dose(doses, asr)


def test_ratio_of_measured_doses_is_the_t_interval_of_the_log_ratios():
    without, with_ = np.array([10, 20, 30, 25]), np.array([100, 220, 250, 400])
    logs = np.log(with_ / without)
    half = t_quantile(3) * logs.std(ddof=1) / 2
    found = ratio_of_doses(without, with_)
    expected = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    assert (found.seeds, found.n) == (4, 4)
    assert [found.value, found.low, found.high] == pytest.approx(expected, rel=0.01)


def test_a_model_that_never_breaks_raises_the_ratio_and_its_upper_end():
    without, with_ = [10, 20, 30, 25, 15], [100, 220, 250, 400, 300]
    measured = ratio_of_doses(without, with_, limit=400)
    censored = ratio_of_doses(without, [100, 220, 250, np.inf, 300], limit=400)
    assert (censored.seeds, censored.n) == (5, 4)
    assert censored.value > measured.value and censored.high > measured.high
    upside_down = ratio_of_doses([100, 220, 250, np.inf, 300], without, limit=400)
    ends = (1 / upside_down.value, 1 / upside_down.high, 1 / upside_down.low)
    assert ends == pytest.approx((censored.value, censored.low, censored.high), rel=0.01)


def test_ratio_without_a_spread_to_estimate():
    few = ratio_of_doses([10, 20, 30], [np.inf] * 3, limit=900)
    assert (few.value, few.low, few.high, few.seeds, few.n) == (np.inf, 0, np.inf, 3, 0)
    six = ratio_of_doses([10, 20, 30] * 2, [np.inf] * 6, limit=900)  # at least 90, 45, 30
    assert (six.value, six.low, six.high) == (np.inf, pytest.approx(30), np.inf)
    same = ratio_of_doses([10, 20], [40, 80])
    assert (same.value, same.low, same.high) == (pytest.approx(4), 0, np.inf)


@pytest.mark.parametrize(
    "without, with_, limit, message",
    [
        ([1, 2], [3], 9, "one dose a seed"),
        ([0, 2], [3, 4], 9, "must be positive, got 0"),
        ([1, 2], [3, float("nan")], 9, "must be positive, got nan"),
        ([1, 2], [3, np.inf], np.inf, "limit inf is not the longest run"),
        ([1, 2], [3, 10], 9, "limit 9 is not the longest run"),
    ],
)
def test_doses_without_a_ratio_are_refused(without, with_, limit, message):
    with pytest.raises(ValueError, match=message):
        ratio_of_doses(without, with_, limit)


def test_interval_of_a_censored_ratio_contains_the_truth():
    rng, repetitions, limit, hits, censored = np.random.default_rng(4), 100, np.exp(6.3), [], 0
    for _ in range(repetitions):
        without = rng.normal(3, 0.4, 5)
        with_ = np.exp(0.5 * without + 4.5 + rng.normal(0, 0.6, 5))  # the mean log ratio is 3
        with_[with_ > limit] = np.inf
        censored += np.isinf(with_).sum()
        found = ratio_of_doses(np.exp(without), with_, limit)
        hits.append(found.low <= np.exp(3) <= found.high)
    assert 0.2 < censored / (5 * repetitions) < 0.4
    assert np.mean(hits) >= within(0.93, 0.97, repetitions)[0]


def test_p_is_that_of_the_t_test_where_nothing_is_censored():
    without, with_ = np.array([10, 20, 30, 40.0]), np.array([15, 22, 50, 48.0])
    expected = scipy.stats.ttest_1samp(np.log(with_ / without), 0).pvalue
    assert ratio_of_doses(without, with_).p == pytest.approx(expected, rel=0.01)
    assert ratio_of_doses(with_, without).p == pytest.approx(expected, rel=0.01)


def test_p_agrees_with_the_interval_where_some_are_censored():
    rng, agree = np.random.default_rng(0), []
    for _ in range(40):
        logs = rng.normal(0.3, 0.4, 8)
        without = np.full(8, 10.0)
        with_ = np.where(10 * np.exp(logs) > 16, np.inf, 10 * np.exp(logs))
        if np.isfinite(with_).sum() >= 2:
            found = ratio_of_doses(without, with_, limit=16)
            agree.append((found.p < 0.05) == (found.low > 1 or found.high < 1))
    assert len(agree) > 30 and all(agree)


def test_without_spread_p_is_the_sign_tests():
    assert ratio_of_doses([10, 20], [40, 80]).p == 1
    assert ratio_of_doses([10.0] * 6, [20.0] * 6).p == pytest.approx(2 / 64)
    assert ratio_of_doses([10.0] * 6, [10.0] * 6).p == 1
