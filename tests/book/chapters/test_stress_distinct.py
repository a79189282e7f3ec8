"""Harm beside ability for each side of one task's fine-tuning, on tables made up for it."""

import pandas as pd
import pytest

from lox.book.chapters.stress import causal, in_words

VARIANTS = {("all", "whole"): 0.9, ("safety", "inside"): 0.5, ("safety", "outside"): 0.8}


def table():
    lines = []
    for seed in (1, 2, 3):
        for (subspace, part), helpful in VARIANTS.items():
            line = {"seed": seed, "subspace": subspace, "part": part}
            lines.append(line | {"helpful": helpful + 0.01 * seed, "utility": 0.7})
    return pd.DataFrame(lines)


def test_ability_is_what_is_lost_when_a_side_is_left_out():
    found = causal.ability(table()).set_index(["side", "what"])
    assert found.loc[("inside", "helpful"), "difference"] == pytest.approx(0.1)
    assert found.loc[("outside", "helpful"), "difference"] == pytest.approx(0.4)
    assert found.loc[("outside", "utility"), "difference"] == 0 and (found["seeds"] == 3).all()


def harm_of(inside, outside):
    """The contrasts of each side alone with nothing, by the lower end of their intervals; another task beside."""
    return pd.DataFrame(
        {"task": task, "first": f"safety: {side}", "second": "all: nothing"}
        | {"difference": low + 0.1, "low": low, "high": low + 0.2}
        for task, sign in (("pure_bad", 1), ("all", -1))
        for side, low in (("inside", sign * inside), ("outside", sign * outside))
    )


@pytest.mark.parametrize(
    ("inside", "outside", "words"),
    [
        (0.1, 0.1, "not confined to the subspace"),
        (0.1, -0.1, "Only the inside"),
        (-0.1, 0.1, "Only the outside"),
        (-0.1, -0.1, "Neither side alone"),
    ],
)
def test_the_verdict_goes_by_the_intervals(inside, outside, words):
    harm = harm_of(inside, outside)
    ability = pd.DataFrame(
        [{"side": "inside", "what": "utility", "difference": 0.1, "low": -0.1, "high": 0.3}]
    )
    said = in_words.distinct(harm, ability, "pure_bad").data
    assert words in said and said.startswith("After Pure Bad") and "No loss of" in said


def test_a_loss_of_ability_is_named():
    ability = pd.DataFrame(
        [{"side": "outside", "what": "utility", "difference": 0.1, "low": 0.05, "high": 0.2}]
    )
    said = in_words.distinct(harm_of(0.1, 0.1), ability, "pure_bad").data
    assert "utility without the outside (10 points) is lower" in said and "No loss of" not in said
