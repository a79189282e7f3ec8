"""Tables as Markdown."""

import math

import pandas as pd
import pytest

from lox.book import cells
from lox.book.cells import markdown, points


def test_numbers_keep_their_digits_and_stand_to_the_right():
    frame = pd.DataFrame({"model": ["8-bit", "x"], "R": ["0.20", "0.25"], "n": [3, 40], "share": [0.5, 1.0]})
    assert markdown(frame).data.splitlines() == [
        "| model   |    R |   n |   share |",
        "|:--------|-----:|----:|--------:|",
        "| 8-bit   | 0.20 |   3 |     0.5 |",
        "| x       | 0.25 |  40 |     1.0 |",
    ]


def test_a_column_with_words_or_intervals_stands_to_the_left():
    frame = pd.DataFrame({"a": ["1", "–"], "b": ["1 [0, 2]", "3 [2, 4]"]})
    assert markdown(frame).data.splitlines()[1] == "|:----|:---------|"


def test_a_note_stands_below_the_table():
    assert markdown(pd.DataFrame({"a": ["x"]}), "A note.").data.endswith("| x   |\n\nA note.")


@pytest.mark.parametrize(
    ("low", "p_holm", "said"),
    [
        (0.03, 0.04, "12 points [3, 20]"),
        (0.03, 0.2, "12 points [3, 20], corrected p = 0.2"),
        (-0.03, 0.2, "12 points [-3, 20]"),
    ],
)
def test_a_difference_that_only_the_correction_leaves_open_says_so(low, p_holm, said):
    assert points(pd.Series({"difference": 0.12, "low": low, "high": 0.2, "p_holm": p_holm})) == said


def test_a_name_is_followed_by_its_difference_where_only_the_correction_leaves_it_open():
    d = pd.Series({"difference": 0.12, "low": 0.03, "high": 0.2, "p_holm": 0.07})
    assert cells.named("Dolly", d, by="by ") == "Dolly (by 12 points [3, 20], corrected p = 0.07)"
    assert cells.named("Dolly", d).startswith("Dolly (12 points")
    d["low"] = -0.03
    assert cells.named("Dolly", d) == "Dolly"


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "word"),
    [
        (0.1, 0.2, None, "lower"),  # alone: by the interval
        (0.1, 0.2, math.nan, "lower"),
        (0.1, 0.2, 0.04, "lower"),
        (0.1, 0.2, 0.06, "not distinguished"),  # read with others: by the corrected p
        (-0.2, -0.1, 0.04, "higher"),
        (-0.1, 0.2, None, "not distinguished"),
    ],
)
def test_one_rule_says_what_a_difference_allows(low, high, p_holm, word):
    line = {"low": low, "high": high}  # an estimate that is no difference has no more
    difference = pd.Series(line if p_holm is None else line | {"p_holm": p_holm})
    assert cells.said_of(difference, "lower", "higher") == word
    assert cells.left_open(difference) == (p_holm == 0.06)
    sides = {"lower": "above", "higher": "below"}
    assert len(cells.by_verdict(difference.to_frame().T)[sides.get(word, "neither")]) == 1


def test_the_rows_of_each_side_are_listed_after_its_words():
    lines = [("A", 0.1, 0.2), ("B", -0.1, 0.2), ("C", 0.3, 0.4), ("D", -0.2, -0.1)]
    differences = pd.DataFrame(lines, columns=["name", "low", "high"])
    words = {"below": "higher after", "above": "lower after"}
    assert cells.listed_by_verdict(differences, words, lambda d: d["name"]) == [
        "higher after D",
        "lower after A and C",
    ]
    assert cells.listed_by_verdict(differences.iloc[1:2], words, lambda d: d["name"]) == []


def test_a_rate_is_read_with_the_columns_of_its_interval():
    row = {"asr": 0.5, "asr_low": 0.4, "asr_high": 0.6, "helpful": 0.11}
    row |= {"helpful_low": 0.06, "helpful_high": 0.19}
    assert cells.rate_of(pd.Series(row)) == "50 % [40, 60]"
    assert cells.rate_of(pd.Series(row), "helpful") == "11 % [6, 19]"


@pytest.mark.parametrize(
    ("low", "sign", "said"),
    [(-0.001, "", "0.50 [0.00, 0.75]"), (0.25, "+", "+0.50 [0.25, 0.75]"), (math.nan, "+", "+0.50")],
)
def test_a_mean_of_one_seed_has_no_interval(low, sign, said):
    assert cells.with_interval(pd.Series({"mean": 0.5, "low": low, "high": 0.75}), sign) == said


def test_a_share_that_rounds_to_nothing_has_no_sign():
    assert (cells.share(-0.001), cells.share(-0.02), cells.share(0.305)) == ("0 %", "-2 %", "30 %")


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "word"),
    [
        (1.2, 2.0, None, "above"),
        (0.8, 2.0, None, "neither"),
        (0.4, 0.9, None, "below"),
        (1.2, float("inf"), 0.01, "above"),
        (0.4, 0.9, 0.01, "below"),
        (1.2, 2.0, 0.2, "neither"),
    ],
)
def test_a_ratio_gains_above_1(low, high, p_holm, word):
    ratio = pd.Series({"low": low, "high": high, "p_holm": p_holm})
    assert cells.said_of(ratio, "above", "below", "neither", even=1.0) == word


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((-0.0016, -0.0027, -0.0004), "-0.2 [-0.3, 0.0]"),
        ((0.0, 0.0, 0.0), "0 [0, 0]"),
        ((0.001, -0.02, 0.02), "0 [-2, 2]"),
    ],
)
def test_a_difference_that_rounds_to_nothing_is_told_from_none(numbers, text):
    assert cells.in_points(pd.Series(dict(zip(("difference", "low", "high"), numbers)))) == text
