"""Figures, tables and the finding of the k × α grid, on tables made up for them."""

import html
import json
import re

import pandas as pd
import pytest

from lox.book import results
from lox.book.chapters.ablation import page
from lox.book.chapters.ablation.exercise import check_grid


@pytest.fixture
def before():
    """k = 6 breaks at 2 and at none, full rank at 1 in both seeds."""
    whole = {("6", 1): [1, 1, 0], ("6", 2): [1, 1, 1], ("full", 1): [1, 0], ("full", 2): [1, 0]}
    return pd.DataFrame(
        {"choice": choice, "seed": seed, "k": 6 if choice == "6" else "full", "alpha": float(alpha)}
        | dict.fromkeys(("helpful", "utility", "gibberish"), 0.5)
        | {"broken_by": "nothing" if w else "utility"}
        for (choice, seed), values in whole.items()
        for alpha, w in enumerate(values)
    )


@pytest.fixture
def breaks():
    rows = [
        ("6", 1, 6, 2.0, "answers"),
        ("6", 2, 6, None, None),
        ("full", 1, "full", 1.0, "utility"),
        ("full", 2, "full", 1.0, "utility"),
    ]
    columns = ["choice", "seed", "k", "breaks_at", "broken_by"]
    return pd.DataFrame(rows, columns=columns).astype({"breaks_at": float})


def difference(value, p, **head):
    return head | {"difference": value, "low": value - 0.1, "high": value + 0.1, "p": p, "p_holm": p}


def gain(value, p, utility=0.0, utility_p=1.0):
    head = {"choice": "6", "alpha": 1.0}
    return pd.DataFrame(
        [
            difference(value, p, what="answers", **head),
            difference(utility, utility_p, what="utility", **head),
        ]
    )


def differences(value, p):
    point = {"task": "alpaca", "choice": "6", "alpha": 0.5}
    return pd.DataFrame(
        [
            difference(0.5, 0.001, first="none", second="lox", **point),
            difference(value, p, first="full-rank", second="lox", **point),
        ]
    )


@pytest.mark.parametrize(
    ("value", "p", "harmless", "asr"),
    [
        (
            0.3,
            0.01,
            "the harmless questions that k = 6 answers are more than those that full rank answers (30 points [20, 40])",
            "low rank has the lower ASR in 1, full rank in 0; 0 are",
        ),
        (
            -0.3,
            0.01,
            "k = 6 answers are fewer than those that full rank answers",
            "lower ASR in 0, full rank in 1; 0 are",
        ),
        (
            0.3,
            0.2,
            "k = 6 answers are not distinguished in number from those",
            "lower ASR in 0, full rank in 0; 1 are",
        ),
    ],
)
def test_the_finding_says_what_the_corrected_p_allows(before, breaks, value, p, harmless, asr):
    said = page.finding(before, breaks, gain(value, p), differences(value, p)).data
    assert "Full rank breaks the model in all 2 seeds, at α = 1: by utility in 2." in said
    assert "Seeds in which low rank breaks at a larger α than full rank: k = 6: 2 of 2." in said
    assert harmless in said and asr in said
    assert "below that without a defence at all 1 points" in said


@pytest.mark.parametrize(
    ("utility", "p", "word"),
    [
        (0.3, 0.01, "higher than full rank's (30 points [20, 40])"),
        (-0.3, 0.01, "lower than full rank's (-30 points [-40, -20])"),
        (0.05, 0.3, "not distinguished from full rank's (5 points [-5, 15])"),
    ],
)
def test_utility_is_said_beside_the_answers(before, breaks, utility, p, word):
    said = page.finding(before, breaks, gain(0.3, 0.01, utility, p), differences(0, 1)).data
    assert f"and its utility is {word}" in said


def test_what_breaks_full_rank_is_counted_and_low_rank_may_break_first(before, breaks):
    breaks = breaks.assign(
        breaks_at=[2.0, 1.0, 1.0, 3.0], broken_by=["answers", "utility", "answers and utility", "answers"]
    )
    said = page.finding(before, breaks, gain(0, 1), differences(0, 1)).data
    assert "at α from 1 to 3: by answers and utility in 1 and by answers in 1." in said
    assert "than full rank: k = 6: 1 of 2." in said
    as_run = breaks.set_index("seed").loc[[2, 1]].reset_index()  # the seeds in another order
    assert (
        "than full rank: k = 6: 1 of 2." in page.finding(before, as_run, gain(0, 1), differences(0, 1)).data
    )


def test_a_full_rank_that_never_breaks_is_said(before, breaks):
    breaks = breaks.assign(breaks_at=float("nan"), broken_by=None)
    said = page.finding(before, breaks, gain(0, 1), differences(0, 1)).data
    assert "Full rank breaks the model of no seed, up to α = 2." in said


def test_choices_for_readers():
    names = [
        page.choice_name(*a)
        for a in (("6", [6, 6]), ("full", ["full"]), ("6 of 4096", [1, 1]), ("effective rank", [2, 3]))
    ]
    assert names == ["k = 6", "full rank", "6 of 4096 (k = 1)", "effective rank (k = 2, 3)"]


def test_figures_name_what_they_show(before):
    assert [axes.get_title(loc="left") for axes in page.ablation_before(before).axes] == list(
        page.BEFORE.values()
    )
    after = pd.DataFrame(
        {"task": "identity", "choice": choice, "seed": 1, "alpha": alpha, "asr": 0.5}
        for choice in ("6", "full")
        for alpha in (0.0, 0.5)
    )
    figure = page.ablation_after(after, results.paper("ablation"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Identity shifting", "paper, read off"]
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown[:2] == ["k = 6", "full rank"] and "paper's 6" in shown


def test_breaking_points_as_a_table(breaks):
    said = page.breaking(breaks, gain(0.3, 0.01, -0.2, 0.5)).data
    head, _, low, full = said.splitlines()
    assert "answered at α = 1, minus full rank (points)" in head and "utility at α = 1, minus" in head
    assert "2, never" in low and low.index("30 [20, 40]") < low.index("-20 [-30, -10]")
    assert "[" not in full and head.count("|") <= 6


def test_the_paper_beside_ours_with_and_without_intervals():
    after = pd.DataFrame(
        {"task": "gsm8k", "choice": "6", "seed": seed, "alpha": 1.25, "asr": 0.1 * seed, "helpful": 1.0}
        for seed in (1, 2)
    )
    means = pd.DataFrame(
        [{"task": "gsm8k", "choice": "6", "alpha": 1.25, "asr": 0.15, "low": 0.02, "high": 0.4}]
    )
    published = results.paper("ablation")
    assert "15 [10, 20]" in page.ablation_beside_paper(after, published).data
    with_intervals = page.ablation_beside_paper(after, published, means).data
    assert "15 % [2, 40]" in with_intervals and "0 % [0, 4]" in with_intervals


def test_low_against_full_reads_recorded_tables_too():
    recorded = results.recorded("smollm2", "ablation_paired")
    assert page.low_against_full(recorded).data.count("| Alpaca") == 2
    assert "| k = 6" in page.low_against_full(differences(0.3, 0.01)).data
    assert "not distinguished" in page.low_against_full(differences(0.3, 0.2)).data


def right(aligned, U, S, Vh, k, alpha):
    return aligned + alpha * (U[:, :k] * S[:k]) @ Vh[:k]


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (right, "**Right.**"),
        (lambda a, U, S, Vh, k, x: a + x * (U * S) @ Vh, "this is full rank"),
        (lambda a, U, S, Vh, k, x: a + (U[:, :k] * S[:k]) @ Vh[:k], "lacks its factor α"),
        (lambda a, U, S, Vh, k, x: x * (U[:, :k] * S[:k]) @ Vh[:k], "without the aligned weights"),
        (lambda a, U, S, Vh, k, x: a - (U * S) @ Vh + x * (U[:, :k] * S[:k]) @ Vh[:k], "added to the base"),
        (lambda a, U, S, Vh, k, x: a + x * (U[:, -k:] * S[-k:]) @ Vh[-k:], "S is sorted downwards"),
        (lambda a, U, S, Vh, k, x: a - x * (U[:, :k] * S[:k]) @ Vh[:k], "wrong way"),
        (lambda a, U, S, Vh, k, x: a + x * U[:, :k] @ Vh[:k], "off by up to"),
        (lambda a, U, S, Vh, k, x: U[:, :k], "must be a matrix 5×4"),
        (lambda a, U, S, Vh, k, x: a.add_(x * (U[:, :k] * S[:k]) @ Vh[:k]), "changed in place"),
    ],
)
def test_the_exercise_says_what_is_wrong(move, said):
    assert said in check_grid(move).data


def test_the_explorable_holds_means_where_every_seed_has_a_model():
    rows = pd.DataFrame(
        {
            "task": "gsm8k",
            "choice": "6",
            "k": 6,
            "seed": [1, 2, 1, 2, 1],
            "alpha": [0, 0, 0.5, 0.5, 1],
            "asr": [0.5, 0.7, 0.1, 0.3, 0.0],
            "helpful": [1.0, 0.8, 0.9, 0.7, 0.1],
        }
    )
    shown = page.explorable(rows.assign(task="none"), rows).data
    grid = json.loads(html.unescape(re.search('data-grid="(.*?)"', shown)[1]))
    assert grid["seeds"] == 2 and [task["name"] for task in grid["tasks"]][1:] == ["After GSM8K"]
    [line] = grid["tasks"][1]["choices"]
    assert line["points"] == [
        {"alpha": 0.0, "asr": 0.6, "helpful": 0.9},
        {"alpha": 0.5, "asr": 0.2, "helpful": 0.8},
    ]
