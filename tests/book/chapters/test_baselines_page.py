"""The page's sentences, both ways, and its figures, on tables made up for them."""

import pandas as pd
import pytest

from lox.book.chapters.baselines import page
from lox.book.results import paper

DEFENCES = ["none", "lox", "random", "safeinst"]


def difference(low, high, first="none", second="lox", task="dolly", p_holm=None):
    """One whose p agrees with its interval, unless it is given."""
    p_holm = (0.5 if low < 0 < high else 0.01) if p_holm is None else p_holm
    columns = {"task": task, "first": first, "second": second, "p": 0.01, "p_holm": p_holm}
    return columns | {"difference": (low + high) / 2, "low": low, "high": high, "seeds": 3, "n": 8}


def table(*differences):
    return pd.DataFrame(differences)


def means():
    values = {"asr": 0.5, "unanswered": 0.1}
    line = {
        f"{name}{end}": v + d
        for name, v in values.items()
        for end, d in (("", 0), ("_low", -0.05), ("_high", 0.05))
    }
    return pd.DataFrame({"defence": d} | line for d in DEFENCES)


def rows():
    rates = {"asr": 0.5, "helpful": 0.9, "utility": 0.8, "gibberish": 0.0}
    return pd.DataFrame({"task": t, "defence": d} | rates for t in ("dolly", "gsm8k") for d in DEFENCES)


def test_the_mean_over_tasks_is_said_by_the_interval():
    said = page.averaged_in_words(
        table(
            difference(0.2, 0.4),
            difference(-0.4, -0.2, second="random"),
            difference(-0.1, 0.1, second="safeinst"),
        )
    )
    assert said == (
        "Compared with no defence, the ASR after fine-tuning, averaged over the tasks and 3 seeds, is lower with LoX "
        "(30 points [20, 40]); it is higher with random directions (-30 points [-40, -20]); it is not distinguished "
        "with SafeInst (0 points [-10, 10]). In brackets stand the points taken off the ASR; below 0 they are added."
    )
    assert "higher" not in page.averaged_in_words(table(difference(0.2, 0.4)))


def test_tasks_are_counted_by_the_corrected_p_and_the_sign():
    said = page.counted_in_words(
        table(
            difference(0.2, 0.4),
            difference(0.2, 0.4, task="alpaca", p_holm=0.2),
            difference(-0.4, -0.2, second="random"),
            difference(0.1, 0.2, task="none", p_holm=float("nan")),
        )
    )
    assert "After correction for 3 comparisons" in said
    assert said.endswith("LoX 1 of 2 and random directions 0 of 1.")


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.1, 0.3, "lower than"), (-0.3, -0.1, "higher than"), (-0.1, 0.1, "not distinguished from")],
)
def test_controls_are_said_by_the_interval(low, high, word):
    said = page.controls_in_words(table(difference(low, high, first="random")))
    taken = f"{50 * (low + high):.0f} points"
    assert f"the mean ASR with LoX is {word} that with random directions (taken off: {taken}" in said


def test_costs_are_said_by_the_interval():
    both = page.costs_in_words(table(difference(0.1, 0.3), difference(-0.1, 0.1, second="random")))
    assert "fewer benign prompts are answered with LoX (20 points [10, 30])" in both
    assert "no loss of answers is established with random directions" in both
    assert "no loss" not in page.costs_in_words(table(difference(0.1, 0.3)))
    assert "fewer" not in page.costs_in_words(table(difference(-0.1, 0.3)))


def test_the_finding_speaks_of_controls_only_where_there_are_some():
    after, costs = table(difference(0.2, 0.4)), table(difference(0.1, 0.3))
    alone = page.finding(table(difference(0.2, 0.4)), after, costs).data
    both = page.finding(table(difference(0.2, 0.4), difference(0.2, 0.4, first="bottom")), after, costs).data
    assert "same size" not in alone and "same size" in both
    assert "bottom directions" in both


def test_every_defence_is_named():
    seeds = pd.DataFrame({"defence": d, "asr": 0.5, "unanswered": 0.1} for d in DEFENCES)
    figure = page.trade(means(), seeds)
    names = sorted(text.get_text() for text in figure.axes[0].texts)
    assert names == ["LoX", "SafeInst", "none", "random directions"]


def test_a_star_marks_what_is_lower_after_correction():
    tested = table(difference(0.2, 0.4), difference(0.2, 0.4, second="random", p_holm=0.2))
    figure = page.by_task(rows(), tested)
    cells = [text.get_text() for text in figure.axes[0].texts]
    assert cells.count("50*") == 1 and cells.count("50") == 7
    figure.draw_without_rendering()


def test_tables_hold_no_raw_names_and_few_columns():
    left = pd.DataFrame({"defence": d, "answered": 0.9, "utility": 0.8, "gibberish": 0.0} for d in DEFENCES)
    lengths = pd.DataFrame(
        {"task": ["dolly"], "examples": [9], "safety": [1], "steps": [2], "steps_mixed": [3]}
    )
    shown = [
        page.defences(means(), table(difference(0.2, 0.4))),
        page.after_tasks(left),
        page.beside_paper(rows(), paper("table1"), paper("ablation")),
        page.lengths(lengths),
    ]
    for found in shown:
        assert "dolly" not in found.data and "gsm8k" not in found.data and "safeinst" not in found.data
        assert found.data.splitlines()[0].count("|") <= 6
    assert "52 → 7 → –" in shown[2].data and "11 → 0 → 2" in shown[2].data and "50 → 50 → –" in shown[2].data
