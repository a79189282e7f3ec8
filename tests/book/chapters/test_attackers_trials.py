"""How fast whoever trains a LoRA learns: the rule on trials made up for it, and the trials on the smoke profile."""

import pandas as pd
import pytest

from lox.book import results
from lox.book.chapters.attackers import real, trials

FULL = {"seed": 0, "attacker": "full", "rate": 1.0, "asr": 0.5, "helpful": 0.9, "utility": 0.3}


def tried(asr: dict[float, float], seed: int = 0) -> pd.DataFrame:
    lines = [{"attacker": "lora-8", "rate": rate, "asr": value} for rate, value in asr.items()]
    return pd.DataFrame([FULL | {"seed": seed}, *(FULL | line | {"seed": seed} for line in lines)])


@pytest.mark.parametrize(
    ("asr", "rate"),
    [
        ({10.0: 0.3, 20.0: 0.6, 40.0: 0.9}, 20.0),
        ({10.0: 0.45, 20.0: 0.6, 40.0: 0.9}, 10.0),
        ({40.0: 0.75, 20.0: 0.25}, 20.0),  # as near on either side: the slower
    ],
)
def test_the_rate_is_chosen_whose_asr_is_nearest_full_fine_tunings(asr, rate):
    assert trials.chosen(tried(asr)) == {"lora-8": rate}


def test_a_mean_over_seeds_decides():
    both = pd.concat([tried({10.0: 0.5, 20.0: 0.6}), tried({10.0: 0.0, 20.0: 0.6}, seed=1)])
    assert trials.chosen(both) == {"lora-8": 20.0}


def test_every_rate_is_tried_beside_full_fine_tuning(setup):
    table = trials.tried(setup, [1])
    assert list(zip(table["attacker"], table["rate"])) == [
        (attacker, rate) for attacker, rates in trials.RATES.items() for rate in rates
    ]
    assert trials.RATES["full"] == (1.0,) and set(trials.RATES) - {"full"} == set(real.RATES)


def test_rates_are_those_that_the_recorded_trials_choose():
    assert trials.chosen(results.recorded("smollm2-controls", trials.NAME)) == real.RATES
