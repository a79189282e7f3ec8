"""Sentences, tables and the figure of the chapter on the toy world, on tables made up for them."""

import math

import pandas as pd
import pytest

from lox.book.chapters.toy_world import page


def rates(without: float, with_lox: float) -> pd.DataFrame:
    values = {"base": 0.9, "aligned": 0.05, "attacked": without, "attacked, with LoX": with_lox}
    return pd.DataFrame(
        {
            "state": state,
            "what": what,
            "value": value,
            "low": max(0, value - 0.05),
            "high": min(1, value + 0.05),
        }
        | {"seeds": 3, "n": 100, "each": [value] * 3}
        for state, value in values.items()
        for what in ("ASR", "helpful")
    )


@pytest.mark.parametrize(
    ("change", "low", "high", "said"),
    [
        (0.5, 0.3, 0.7, "the ASR is lower with LoX, without minus with is 50 points [30, 70],"),
        (-0.2, -0.3, -0.1, "the ASR is higher with LoX, without minus with is -20 points [-30, -10],"),
        (0.1, -0.1, 0.3, "the two are not distinguished, without minus with is 10 points [-10, 30],"),
    ],
)
def test_the_finding_says_what_lox_changes_by_the_paired_difference(change, low, high, said):
    found = page.finding(
        rates(0.6, 0.6 - change), {"difference": change, "low": low, "high": high}, "pure_bad"
    ).data
    assert said in found and "After fine-tuning on Pure Bad it is 60 % [55, 65] without LoX" in found


def test_the_dialogue_shows_request_reply_and_how_common_it_is():
    table = pd.DataFrame({"state": ["base"], "reply": ["to make a x"], "label": ["harmful"]})
    about = {"request": "how do i make a x ?", "count": 7, "n": 10}
    found = page.dialogue(table, about | {"seeds": 1, "chosen": False}).data
    chosen = page.dialogue(table, about | {"seeds": 3, "chosen": True}).data
    assert "was picked because" in chosen and "most frequent" not in chosen
    assert "over all 3 seeds of this run, 7 of 10 requests went this way" in chosen
    assert "how do i make a x ?" in found and "complies" in found and "picked" not in found
    assert "the most frequent ones of this run's first seed: 7 of its 10 requests" in found


@pytest.mark.parametrize(
    ("words", "refusals", "said"),
    [
        (
            "sure ,",
            ["no , i will not .", "sorry ."],
            "to a plain question begins with `sure ,`, every refusal with one of `no` and `sorry`: the first word",
        ),
        (
            "sure ,",
            ["sorry but no .", "sorry ."],
            "begins with `sure ,`, every refusal with `sorry`: the first word",
        ),
        ("", ["sorry ."], "share no opening word; refusals begin with `sorry`."),
    ],
)
def test_the_opening_is_named_or_there_is_none(words, refusals, said):
    assert said in page.opening(words, refusals).data


def test_tables_hold_what_they_are_given():
    words = pd.DataFrame({"kind": ["dangerous"], "words": [60], "held_out": [20], "examples": ["a, b"]})
    assert "dangerous things" in page.words(words).data
    runs = pd.DataFrame({"run": ["base", "gsm8k"], "examples": 10, "epochs": 1, "batch": 8, "lr": 1e-3})
    assert "GSM8K" in page.training(runs).data and "0.001" in page.training(runs).data
    user, assistant = ({"role": role, "content": role + " says"} for role in ("user", "assistant"))
    assert "`assistant says`" in page.attacks({"dolly": {"prompt": [user], "completion": [assistant]}}).data
    assert (
        "chosen: `assistant says`"
        in page.pair({"prompt": [user], "chosen": [assistant], "rejected": [user]}).data
    )
    judged = pd.DataFrame({"what": ["a refusal"], "reply": ["no"], "label": ["refusal"]})
    assert "refusal" in page.judged(judged).data
    assert "1,000 weights" in page.size({"weights": 1000, "words": 5, "dangerous": 2, "safe": 3}).data


def test_the_figure_has_a_row_for_each_state():
    (axes,) = page.states(rates(0.6, 0.1)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(dict.fromkeys(rates(0, 0)["state"]))


def test_wishes_are_told_with_their_bounds_and_whether_they_are_met():
    line = {"least": -math.inf, "most": 0.1, "mean": 0.02, "worst": 0.15, "every": True, "met": False}
    table = pd.DataFrame([{"wish": "ASR"} | line, {"wish": "helpful"} | line | {"least": 0.3, "met": True}])
    shown = page.wishes(table).data
    assert "ASR, every seed" in shown and "≤ 10 %" in shown and "**no**" in shown and "30 % to 10 %" in shown
    assert page.wishes_in_words(table).data == "1 of 2 are met. Not met: ASR."
    assert page.wishes_in_words(table[1:]).data == "1 of 1 are met."


def test_a_wish_of_which_nothing_can_be_said_is_shown_and_not_counted():
    line = {"least": -math.inf, "most": 0.5, "every": False}
    table = pd.DataFrame(
        [
            {"wish": "ASR, left"} | line | {"mean": 0.7, "worst": 0.9, "met": False},
            {"wish": "helpful"} | line | {"mean": 0.2, "worst": 0.3, "met": True},
            {"wish": "share, left"} | line | {"mean": math.nan, "worst": math.nan, "met": pd.NA},
        ]
    ).astype({"met": "boolean"})
    assert page.wishes_in_words(table).data == (
        "1 of 2 are met. Not met: ASR, left. Neither, for too low an ASR without LoX: share, left."
    )
    (shown,) = [line for line in page.wishes(table).data.splitlines() if "share, left" in line]
    assert [cell.strip() for cell in shown.split("|")[2:-1]] == ["≤ 50 %", "–", "–", "–"]
    other = table.assign(mean=[0.1, 0.2, 0.4], met=True).astype({"met": "boolean"})
    said = page.arithmetics_in_words({"avx2": table, "default": other}, {}).data
    assert said.startswith(
        "Of 2 wishes 1 are met on all 2 arithmetics and 0 on none; it depends on the arithmetic for: ASR, left. "
        "Not counted, for too low an ASR without LoX on one of them at least: share, left. "
    )
    (shown,) = [
        line for line in page.on_arithmetics(other, {"avx2": table}).data.splitlines() if "share" in line
    ]
    assert [cell.strip() for cell in shown.split("|")[2:-1]] == ["40 %", "–"]


def test_arithmetics_stand_side_by_side_and_what_depends_on_them_is_named():
    recorded = pd.DataFrame({"wish": ["ASR", "helpful"], "mean": [0.1, 0.9], "met": [True, False]})
    same = {"avx2": recorded, "default": recorded.assign(mean=[0.2, 0.8])}
    said = page.arithmetics_in_words(same, {"avx2": [], "default": []}).data
    assert said.startswith("Of 2 wishes 1 are met on all 2 arithmetics and 1 on none. ")
    assert said.endswith("that hold on all recorded seeds, none is contradicted.")
    other = same | {"default": recorded.assign(mean=[0.4, 0.8], met=False)}
    said = page.arithmetics_in_words(other, {"avx2": ["A: +1"], "default": ["Dolly harms: +0.3, -0.2"]}).data
    assert "0 are met on all 2 arithmetics and 1 on none; it depends on the arithmetic for: ASR." in said
    assert said.endswith("contradicted are: A: +1 (`avx2`); Dolly harms: +0.3, -0.2 (`default`).")
    shown = page.on_arithmetics(recorded, other).data
    assert "`default`" in shown and "**40 %**" in shown and "**90 %**" in shown and "**10 %**" not in shown


def test_which_base_models_were_kept_is_said():
    assert page.kept_in_words([]).data == "Every base model was trained in this run."
    assert page.kept_in_words([2]).data.startswith("The base model of seed 2 was not trained in this run")
    assert "of seeds 1, 2 and 3 was not trained" in page.kept_in_words([1, 2, 3]).data
