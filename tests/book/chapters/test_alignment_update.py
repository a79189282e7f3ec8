"""The chapter on the alignment update: concentration by hand, differences seed by seed, and its exercise."""

import math

import pandas as pd
import pytest
import torch

from lox.book.chapters.alignment_update import exercise, measure
from lox.lab import spectra

LABEL = {"name": "w", "layer": 0, "kind": "q_proj", "rows": 4, "cols": 4}
MAIN, OTHER = "alignment, 8 pairs", "Dolly"


def of(*values):
    return spectra.spectra([(LABEL, torch.diag(torch.tensor(values)))])


@pytest.fixture
def by_update():
    return {
        (MAIN, 1): of(4.0, 2.0, 2.0, 1.0),
        (MAIN, 2): of(8.0, 4.0, 4.0, 2.0),
        (OTHER, 1): of(1.0, 1.0, 1.0, 1.0),
        (OTHER, 2): of(3.0, 0.0, 0.0, 0.0),
        ("random", 1): of(1.0, 1.0, 1.0, 1.0),
        ("random", 2): of(1.0, 1.0, 1.0, 1.0),
    }


def test_amounts_keep_the_published_ratio():
    assert measure.amounts(800, [65600, 22500, 22500, 32800]) == [274, 400, 800]


def test_a_row_for_each_update_and_seed(by_update):
    table = measure.overall(by_update, 1, {MAIN: 4, OTHER: 9})
    first = table.iloc[0]
    assert (first["norm"], first["stable_rank"], first["r"]) == pytest.approx((5, 25 / 16, 0.8))
    assert table["steps"].tolist()[:4] == [4, 4, 9, 9] and table["steps"].isna().sum() == 2


def test_differences_are_taken_seed_by_seed(by_update):
    table = measure.against(measure.overall(by_update, 1, {}), MAIN).set_index("other")
    assert list(table.index) == [OTHER, "random"]
    assert table.loc[OTHER, "mean"] == pytest.approx((0.3 - 0.2) / 2)
    assert table["higher"].tolist() == [1, 2]
    assert table.loc[OTHER, "low"] < 0 < table.loc[OTHER, "high"]
    assert table.loc["random", "low"] == pytest.approx(0.3)


def test_the_correlation_with_steps_needs_three_tasks():
    table = pd.DataFrame({"update": list("abc"), "seed": 1, "r": [0.1, 0.2, 0.3], "steps": [5, 9, 30]})
    assert measure.steps_correlation(table, ["a", "b", "c"]) == pytest.approx(1)
    assert math.isnan(measure.steps_correlation(table, ["a", "b"]))


def test_kinds_hold_the_update_and_chance(by_update):
    table = measure.kinds(by_update, MAIN, 2)
    assert list(table.columns) == [
        "kind",
        "stable rank",
        "stable rank, random",
        "R at k = 2",
        "R at k = 2, random",
    ]
    assert table.iloc[0].tolist() == [
        "q_proj",
        "1.56 [1.56, 1.56]",
        "4.00 [4.00, 4.00]",
        "0.89 [0.89, 0.89]",
        "0.71 [0.71, 0.71]",
    ]
    assert set(measure.profiles(by_update)["update"]) == {MAIN, OTHER, "random"}


def test_the_papers_bound_by_hand():
    table1 = pd.DataFrame({"task": ["gsm8k"] * 2, "defence": ["none", "lox"], "r_ft": [0.2, 0.4]})
    figure2 = pd.DataFrame({"pairs": [1, 2, 2], "k": [10, 10, 100], "ratio": [0.4, 0.5, 0.6]})
    bound = measure.papers_bound(table1, figure2)
    assert bound["r_align"] == pytest.approx(0.4) and bound["chance"] == pytest.approx(0.0765, abs=1e-4)


def test_the_updates_of_models(setup):
    by_update = measure.measured(setup, [1], ["dolly"], [16, 32])
    assert {name for name, _ in by_update} == {
        "alignment, 16 pairs",
        "alignment, 32 pairs",
        "Dolly",
        "random",
    }
    steps = measure.steps(setup, ["dolly"], [16, 32])
    assert steps["Dolly"] == setup.steps(setup.model(1, "dolly")) and steps["alignment, 32 pairs"] == 1
    norms = measure.overall(by_update, 6, steps).set_index("update")["norm"]
    assert norms["random"] == pytest.approx(norms["alignment, 32 pairs"])


def s(delta):
    return torch.linalg.svdvals(delta)


WRONG = {
    "one over it": lambda d: s(d)[0] ** 2 / d.norm() ** 2,
    "squares missing": lambda d: d.norm() / s(d)[0],
    "without squares": lambda d: s(d).sum() / s(d)[0],
    "ordinary rank": lambda d: torch.linalg.matrix_rank(d),
    "s_1² missing": lambda d: d.norm() ** 2,
    "largest entry": lambda d: d.norm() ** 2 / d.abs().max() ** 2,
    "nan": lambda d: math.nan,
    "TypeError": lambda d: None,
}


def test_the_exercise_accepts_what_is_right():
    assert exercise.check_stable_rank(lambda d: d.norm() ** 2 / s(d)[0] ** 2).data.startswith("**Right.**")


@pytest.mark.parametrize("slip", WRONG)
def test_the_exercise_names_the_slip(slip):
    said = exercise.check_stable_rank(WRONG[slip]).data
    assert said.startswith("**Not yet.**") and slip in said
