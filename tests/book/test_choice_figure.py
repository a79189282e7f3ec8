"""The figure of ``lox choose``: its panels, what is marked, and a refusal that left a curve out."""

import pandas as pd

from lox.book.choice_figure import curves
from lox.lab.choice import Choice
from lox.lab.choosing import COLUMNS, Measured


def table(ranks, alphas):
    rows = [
        {"point": f"rank {r}", "k": r, "asr": 1 / (1 + r), "asr_low": 0.0, "asr_high": 1.0} for r in ranks
    ]
    rows += [
        {
            "point": f"alpha {a}",
            "k": 2,
            "alpha": a,
            "asr": 0.1,
            "loss": a / 10,
            "loss_low": 0.0,
            "loss_high": a / 5,
        }
        for a in alphas
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"alpha": float})


def measured(k, alpha):
    return Measured(Choice(k, alpha), {}, {}, 0.01, 0.02)


def test_both_curves_with_what_was_chosen():
    first, second = curves(table([0, 1, 2], [0.0, 0.5, 1.0]), measured(2, 0.5)).axes
    assert first.get_title("left") == "k = 2 chosen" and second.get_title("left") == "α = 0.5 chosen"
    assert list(first.lines[0].get_xdata()) == [0, 1, 2] and list(second.lines[0].get_xdata()) == [0.5, 1.0]


def test_a_given_k_has_no_curve_of_ranks():
    [only] = curves(table([0], [0.0, 0.5]), measured(2, 0.5)).axes
    assert only.get_xlabel() == "α"


def test_a_refusal_marks_nothing():
    [only] = curves(table([0, 1], [0.0]), measured(None, None)).axes
    assert only.get_title("left") == "" and only.get_xlabel().startswith("rank")
