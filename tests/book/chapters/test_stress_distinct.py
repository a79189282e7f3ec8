"""Harm beside ability for each side of one task's fine-tuning, on tables made up for it."""

import pandas as pd
import pytest

from lox.book.chapters.stress import distinct, in_words

VARIANTS = {("all", "whole"): 0.9, ("safety", "inside"): 0.5, ("safety", "outside"): 0.8}


def table():
    lines = []
    for seed in (1, 2, 3):
        for (subspace, part), helpful in VARIANTS.items():
            for task in ("pure_bad", "dolly"):
                line = {"seed": seed, "task": task, "defence": "none", "subspace": subspace, "part": part}
                lines.append(line | {"helpful": helpful + 0.01 * seed, "utility": 0.7, "asr": 0.5})
    return pd.DataFrame(lines)


def differences():
    lines = []
    for first, value in (("safety: inside", 0.4), ("safety: outside", 0.1), ("all: whole", 0.6)):
        for task in ("pure_bad", "all"):
            line = {"task": task, "defence": "none", "first": first, "second": "all: nothing", "seeds": 3}
            ends = {"low": value - 0.2, "high": value + 0.2, "p_holm": 0.01 if value > 0.2 else 0.5}
            lines.append(line | {"difference": value} | ends)
    return pd.DataFrame(lines)


def test_harm_is_that_of_each_side_alone_after_the_task():
    found = distinct.harm(differences(), "pure_bad").set_index("side")
    assert found["difference"].to_dict() == {"inside": 0.4, "outside": 0.1, "whole": 0.6}


def test_ability_is_what_is_lost_when_a_side_is_left_out():
    found = distinct.ability(table(), "pure_bad").set_index(["side", "what"])
    assert found.loc[("inside", "helpful"), "difference"] == pytest.approx(0.1)
    assert found.loc[("outside", "helpful"), "difference"] == pytest.approx(0.4)
    assert found.loc[("outside", "utility"), "difference"] == 0 and (found["seeds"] == 3).all()


def test_one_task_is_shown_like_the_mean_over_tasks():
    means = pd.DataFrame({"task": ["pure_bad", "all"], "asr": [0.4, 0.5]})
    rows, chosen = distinct.of_task(table(), means, "pure_bad")
    assert set(rows["task"]) == {"pure_bad"} and chosen[["task", "asr"]].to_numpy().tolist() == [["all", 0.4]]


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
    harm = pd.DataFrame(
        {"side": side, "difference": low + 0.1, "low": low, "high": low + 0.2}
        for side, low in (("inside", inside), ("outside", outside))
    )
    ability = pd.DataFrame(
        [{"side": "inside", "what": "utility", "difference": 0.1, "low": -0.1, "high": 0.3}]
    )
    said = in_words.distinct(harm, ability, "pure_bad").data
    assert words in said and said.startswith("After Pure Bad") and "No loss of" in said


def test_a_loss_of_ability_is_named():
    harm = pd.DataFrame(
        {"side": side, "difference": 0.2, "low": 0.1, "high": 0.3} for side in ("inside", "outside")
    )
    ability = pd.DataFrame(
        [{"side": "outside", "what": "utility", "difference": 0.1, "low": 0.05, "high": 0.2}]
    )
    said = in_words.distinct(harm, ability, "pure_bad").data
    assert "utility without the outside (10 points) is lower" in said and "No loss of" not in said
