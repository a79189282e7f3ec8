"""The page's sentences, both ways, and its tables and figure, on tables made up for them."""

import pandas as pd
import pytest

from lox.book.chapters.rivals import page
from lox.book.names import DEFENCE_NAMES
from lox.lab.model import DEFENCES
from lox.paths import ROOT

NAMES = ["none", "lox", "resta", "wise-ft"]


def difference(low, high, first="none", second="lox"):
    columns = {
        "first": first,
        "second": second,
        "p": 0.01,
        "p_holm": 0.5 if low < 0 < high else 0.01,
        "seeds": 3,
        "n": 8,
    }
    return columns | {"difference": (low + high) / 2, "low": low, "high": high}


def means():
    lines = []
    for i, defence in enumerate(NAMES):
        line = {"defence": defence, "utility": 0.8, "seeds": 3}
        for name, value in (("asr", 0.5), ("unanswered", 0.1 * i)):
            line |= {name: value, f"{name}_low": value - 0.05, f"{name}_high": value + 0.05}
        lines.append(line)
    return pd.DataFrame(lines)


def test_every_rival_is_told_with_a_source_that_the_bibliography_has():
    bibliography = (ROOT / "book" / "references.bib").read_text()
    assert set(page.DESCRIPTIONS) == set(DEFENCES) - {"none", "random", "bottom"}
    assert all(f"{{{rule.source}," in bibliography for rule in page.DESCRIPTIONS.values())


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.3, "lower with LoX (20 points [10, 30])."),
        (-0.3, -0.1, "higher with LoX (-20 points [-30, -10])."),
        (-0.1, 0.1, "not distinguished with LoX (0 points [-10, 10])."),
    ],
)
def test_lower_than_none_is_said_by_the_interval(low, high, words):
    said = page.lower_in_words(pd.DataFrame([difference(low, high)]))
    assert said == f"compared with no defence, the ASR is {words}"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, 0.3, "lower with RESTA"),
        (-0.3, -0.1, "higher with RESTA"),
        (-0.1, 0.1, "not distinguished with RESTA"),
    ],
)
def test_beside_lox_is_said_by_the_interval(low, high, word):
    table = pd.DataFrame([difference(low, high, "lox", "resta")])
    assert page.beside_lox_in_words(table) == f"Beside LoX the ASR is {word}."


def test_the_finding_says_whose_numbers_it_gives():
    against = pd.DataFrame([difference(0.1, 0.3), difference(0.1, 0.3, "lox", "resta")])
    assert "Recorded, over 3 seeds" in page.finding(means(), against, True).data
    own = page.finding(means(), against[:1], False).data
    assert "This run, over 3 seeds" in own and "Beside LoX" not in own
    assert "unanswered is 30 %, with WiSE-FT; with LoX it is 10 %." in own


def test_tables_hold_no_raw_names_and_few_columns():
    against = pd.DataFrame([difference(0.1, 0.3), difference(0.1, 0.3, "lox", "resta")])
    left = pd.DataFrame([{"defence": "wise-ft", "left": 0.5}])
    shown = [
        page.table(means(), against, left),
        page.beside_lox(against),
        page.who(NAMES, {"resta": 0.5, "wise-ft": 0.25}),
    ]
    for found in shown:
        assert "wise-ft" not in found.data and found.data.splitlines()[0].count("|") <= 6
    assert "50 %" in shown[0].data and "0.25" in shown[2].data


def test_every_defence_is_named():
    seeds = pd.DataFrame({"defence": d, "asr": 0.5, "unanswered": 0.1} for d in NAMES)
    figure = page.trade(means(), seeds)
    names = sorted(text.get_text() for text in figure.axes[0].texts)
    assert names == ["LoX", "RESTA", "WiSE-FT", "none"]


def test_most_unanswered_prompts_are_named_and_those_of_lox():
    table = pd.DataFrame({"defence": ["none", "resta", "lox"], "unanswered": [0.1, 0.4, 0.2]})
    said = page.answers_in_words(table)
    assert f"is 40 %, with {DEFENCE_NAMES['resta']}" in said and said.endswith("with LoX it is 20 %.")
    without = page.answers_in_words(table[table["defence"] == "none"])
    assert without == "The largest share of benign prompts left unanswered is 10 %, with no defence."


def test_the_lowest_utility_is_named_beside_that_without_a_defence():
    table = pd.DataFrame({"defence": ["none", "resta", "lox"], "utility": [0.9, 0.5, 0.8]})
    assert page.utility_in_words(table).startswith(
        f"The lowest utility is 50 %, with {DEFENCE_NAMES['resta']};"
    )
    assert page.utility_in_words(table[:1]).endswith(
        "is 90 %, with no defence; without a defence it is 90 %."
    )


def test_what_was_chosen_is_bold():
    trials = pd.DataFrame({"defence": ["none", "resta", "resta"], "strength": [None, 0.25, 1.0]})
    trials = trials.assign(asr=[0.6, 0.5, 0.1], helpful=0.8, utility=0.4, left=1.0)
    lines = page.trials(trials, {"resta": 1.0}).data.splitlines()
    assert "**1**" in lines[-1] and "10 %" in lines[-1] and "**" not in "".join(lines[:-1])
