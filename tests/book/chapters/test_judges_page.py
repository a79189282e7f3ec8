"""Figures, tables and the finding of the chapter on judges, on tables made up for them."""

import math

import pandas as pd
import pytest

from lox.book import results
from lox.book.chapters.judges import page
from lox.book.chapters.judges.exercise import check_kappa


def agreed(kappa=0.4, low=0.2):
    columns = {"kappa": kappa, "low": low, "high": 0.6, "n": 8, "left_out": 2, "same": 0.5}
    points = (("gsm8k", "none"), ("gsm8k", "lox"), ("all", "all"))
    return pd.DataFrame(
        {"task": t, "defence": d, "first": "exact", "second": "blunt"} | columns for t, d in points
    )


def difference(value, p_holm, **head):
    return head | {"difference": value, "low": value - 0.1, "high": value + 0.1, "p_holm": p_holm}


def moved(value, p):
    return pd.DataFrame(
        [
            difference(value, p, task="gsm8k", defence=d, judge="blunt", reference="exact")
            for d in ("none", "lox")
        ]
    )


def concluded(value, p):
    rows = [("exact", 0.5, 0.01), ("blunt", value, p)]
    return pd.DataFrame([difference(v, q, task="gsm8k", judge=judge) for judge, v, q in rows])


@pytest.mark.parametrize(
    ("value", "p", "said"),
    [
        (
            0.3,
            0.01,
            [
                "The first judge's ASR is *established* as higher in 2 of 2 rows (task, with or without LoX) and as "
                "lower in 0; the largest difference is 30 points [20, 40], after GSM8K without LoX.",
                "They say the same of LoX in 1 of 1 rows.",
            ],
        ),
        (
            -0.3,
            0.01,
            [
                "higher in 0 of 2 rows",
                "lower in 2; the largest difference is -30 points [-40, -20],",
                "They say the same of LoX in 0 of 1 rows, but not after GSM8K.",
            ],
        ),
        (
            0.3,
            0.2,
            [
                "higher in 0 of 2 rows",
                "lower in 0; the largest difference is 30 points [20, 40], corrected p = 0.2, after GSM8K without",
                "They say the same of LoX in 0 of 1 rows, but not after GSM8K.",
            ],
        ),
    ],
)
def test_the_finding_says_what_the_corrected_p_allows(value, p, said):
    found = page.finding(agreed(), moved(value, p), concluded(value, p), "exact").data
    assert "- `blunt` and `exact` agree with κ = 0.40 [0.20, 0.60]." in found
    for sentence in said:
        assert sentence in found


def test_the_largest_difference_has_its_row_and_none_is_told_where_all_are_equal():
    table = moved(0.1, 0.01)
    table.loc[1, ["task", "difference"]] = "none", -0.2
    assert "is -20 points [0, 20], before fine-tuning with LoX." in page._moved_in_words(table)
    assert "lower in 0; in no row do the two differ." in page._moved_in_words(moved(0.0, 1.0))


def test_judges_of_whom_neither_establishes_a_change_agree_on_little():
    nothing = concluded(0.0, 1.0).assign(p_holm=1.0)
    assert page._concluded_in_words(nothing, "blunt", "exact") == (
        "They say the same of LoX in 1 of 1 rows; in none of them does either judge establish a change, so this says "
        "little."
    )
    both = concluded(0.5, 0.01)
    assert page._concluded_in_words(both, "blunt", "exact") == "They say the same of LoX in 1 of 1 rows."


def test_a_kappa_that_is_not_defined_is_said_so():
    said = page.finding(agreed(kappa=math.nan), moved(0, 1), concluded(0, 1), "exact").data
    assert "agree with a κ that is not defined, and on 50 % of the replies." in said
    assert "not defined" in page.agreements(agreed(kappa=math.nan)).data
    assert "0.40 [not defined]" in page.agreements(agreed(low=math.nan)).data


def test_tables_of_agreement():
    assert "| `blunt` | 0.40 [0.20, 0.60]" in page.agreements(agreed()).data
    each = page.agreements_by_model(agreed()).data
    assert each.count("GSM8K") == 2 and "all" not in each


def test_confusion_counts_every_reply_once():
    labels = pd.DataFrame(
        {"exact": ["harmful", "refusal", "gibberish"], "blunt": ["harmful", "harmful", "refusal"]}
    )
    said = page.confusion(labels, "exact", "blunt").data
    assert said.startswith("**`exact`** in rows, **`blunt`** in columns")
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in said.splitlines()[2:]]
    assert cells[0][1:] == ["harmful", "refusal", "gibberish"]
    assert cells[2:] == [["harmful", "1", "0", "0"], ["refusal", "1", "0", "0"], ["gibberish", "0", "1", "0"]]


def test_refusals_that_the_list_lacks_are_counted():
    found = pd.DataFrame({"refusal": ["no .", "sorry ."], "replies": [3, 2], "recognised": [False, True]})
    assert "recognises 1 of the 2. 3 of the replies" in page.refusals(found).data


def test_the_figure_has_a_bar_for_each_judge_and_task():
    rows = pd.DataFrame(
        {"seed": 1, "task": "gsm8k", "defence": d, "judge": j, "asr": asr}
        for d, j, asr in (
            ("none", "exact", 0.75),
            ("none", "blunt", 1.0),
            ("lox", "exact", 0.0),
            ("lox", "blunt", 0.5),
        )
    )
    figure = page.rates(rows)
    heights = [[bar.get_height() for bar in axes.patches if bar.get_width()] for axes in figure.axes]
    assert heights == [[0.75, 1.0], [0.0, 0.5]]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["exact", "blunt"]


def test_scores_in_words():
    head = {"judge": "reader", "task": "gsm8k", "least": 5, "none": 0.25, "lox": 0.0}
    said = page.conclusions_by_score(pd.DataFrame([difference(0.25, 1, **head)])).data
    assert "| `reader` | GSM8K   | 25 % → 0 %, a difference of 25 [15, 35]" in said
    assert "No judge on this page gives scores" in page.conclusions_by_score(pd.DataFrame()).data


def test_recorded_tables_are_readable():
    read = {name: results.recorded("smollm2", f"judges{name}") for name in ("_conclusions", "_by_score")}
    assert "lower" in page.conclusions(read["_conclusions"]).data
    assert "a difference of" in page.conclusions_by_score(read["_by_score"]).data
    assert "GSM8K" in page.overstatements(results.recorded("smollm2", "judges_overstatement")).data


def right(both, first_only, second_only, neither):
    n = both + first_only + second_only + neither
    first, second = (both + first_only) / n, (both + second_only) / n
    by_chance = first * second + (1 - first) * (1 - second)
    return ((both + neither) / n - by_chance) / (1 - by_chance)


def shares(a, b, c, d):
    n = a + b + c + d
    return (a + d) / n, (a + b) / n, (a + c) / n


def chance(*counts):
    _, first, second = shares(*counts)
    return first * second + (1 - first) * (1 - second)


@pytest.mark.parametrize(
    ("student", "said"),
    [
        (right, "**Right.**"),
        (lambda *n: shares(*n)[0], "chance included"),
        (lambda *n: shares(*n)[0] - chance(*n), "not divided by what is left"),
        (
            lambda *n: (shares(*n)[0] - shares(*n)[1] * shares(*n)[2]) / (1 - shares(*n)[1] * shares(*n)[2]),
            "p_e lacks",
        ),
        (chance, "this is p_e"),
        (lambda *n: (shares(*n)[0] - chance(*n)) / chance(*n), "not by 1 − p_e"),
        (lambda *n: 0.1, "not 0.100"),
    ],
)
def test_the_exercise_says_what_is_wrong(student, said):
    assert said in check_kappa(student).data
