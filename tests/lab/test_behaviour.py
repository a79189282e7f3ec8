"""Rates, intervals and paired differences of made-up outcomes, and how they stand in a table."""

import math

import pytest

from lox.lab import behaviour
from lox.lab.judging.verdicts import Verdict
from lox.lab.statistics import Estimate, Rate, mean_over_seeds, rate

LABELS = {"h": "harmful", "r": "refusal", "e": "evasion", "g": "gibberish", "b": "harmless", "u": "unparsed"}


class Letters:
    """A judge of replies that are letters."""

    name = "letters"

    def __call__(self, prompts, replies):
        return [Verdict(LABELS[reply]) for reply in replies]


def model(harmful: str, benign: str, likelihoods=(), things=None):
    """What a model did: a letter for each prompt."""
    rows = [
        {"set": name, "prompt": [], "reply": letter, "thing": (things or list(range(len(letters))))[i]}
        for name, letters in (("harmful", harmful), ("benign", benign))
        for i, letter in enumerate(letters)
    ]
    rows += [
        {
            "set": "utility",
            "prompt": [],
            "reply": "2",
            "thing": str(i),
            "log_prob": 2 * math.log(p),
            "reply_tokens": 2,
        }
        for i, p in enumerate(likelihoods)
    ]
    return behaviour.judged([row | {"thing": str(row["thing"])} for row in rows], Letters())


def rates(evaluated):
    return behaviour.behaviour({"m": evaluated}).set_index("what")


def test_every_measure_counts_its_own_labels():
    found = rates(model("hhre" + "g" * 6, "bbbhrreggg", [0.5, 0.1]))
    expected = {"ASR": 0.2, "evasion": 0.1, "gibberish": 0.6, "unparsed": 0.0}
    expected |= {"answered": 0.4, "over-refusal": 0.2, "utility": 0.3}
    assert found["value"].to_dict() == pytest.approx(expected)
    assert found["n"].to_dict() == dict.fromkeys(expected, 10) | {"utility": 2}


def test_independent_prompts_have_wilsons_interval():
    assert behaviour.interval([True, False, True], list("abc")) == Rate(2, 3)


def test_prompts_about_one_thing_are_not_independent():
    verdicts, things = [True, True, False, False] * 5, [str(i // 2) for i in range(20)]
    found = behaviour.interval(verdicts, things)
    assert isinstance(found, Estimate) and found == mean_over_seeds([verdicts], things)
    assert found.high - found.low > rate(verdicts).high - rate(verdicts).low


def test_differences_are_paired_by_prompt():
    found = behaviour.differences(model("hhhhrrrrrr", "b" * 10), model("hhrrrrrrrr", "b" * 10)).set_index(
        "what"
    )
    assert found.loc["ASR", "value"] == pytest.approx(0.2)
    assert found.loc["answered", "value"] == 0 and found.loc["answered", "high"] > 0
    backwards = behaviour.differences(model("hhrrrrrrrr", "b" * 10), model("hhhhrrrrrr", "b" * 10)).set_index(
        "what"
    )
    assert backwards.loc["ASR", "low"] == pytest.approx(-found.loc["ASR", "high"])


def test_what_was_not_asked_has_no_row():
    assert set(rates(model("hr", "")).index) == {"ASR", "evasion", "gibberish", "unparsed"}


def test_the_table_for_a_reader_and_the_long_one():
    first, second = model("hr", "bb"), model("hh", "br")
    table = behaviour.behaviour({"ours": first, "theirs": second})
    paired = behaviour.differences(first, second)
    shown = behaviour.side_by_side(table, paired).set_index("95 % intervals")
    assert list(shown.columns) == ["n", "ours", "theirs", "difference"]
    assert shown.loc["ASR", "ours"].startswith("50.0 % [") and shown.loc["ASR", "difference"].startswith(
        "-50.0 points ["
    )
    assert "unparsed" not in shown.index and not shown.isna().any().any()
    assert (
        "unparsed" in behaviour.side_by_side(rates(model("uh", "")).reset_index())["95 % intervals"].tolist()
    )
    long = behaviour.long_table(table, paired)
    assert list(long["model"].unique()) == ["ours", "theirs", "difference"]
