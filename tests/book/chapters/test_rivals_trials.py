"""How strong each rival is: the rule on trials made up for it, and the trials themselves on the smoke profile."""

import pandas as pd
import pytest

from lox.book import results
from lox.book.chapters.rivals import trials
from lox.lab.rivals import STRENGTHS

NONE = {
    "seed": 0,
    "defence": "none",
    "strength": None,
    "left": 1.0,
    "asr": 0.6,
    "helpful": 0.8,
    "utility": 0.4,
}


def tried(**changed) -> pd.DataFrame:
    """Trials of a rival in which more strength leaves less harm, and costs nothing but where it is given."""
    lines = [NONE]
    for strength, asr in ((0.25, 0.5), (0.5, 0.3), (1.0, 0.1)):
        line = NONE | {"defence": "resta", "strength": strength, "asr": asr}
        lines.append(
            line | {name: values[strength] for name, values in changed.items() if strength in values}
        )
    return pd.DataFrame(lines)


@pytest.mark.parametrize(
    ("changed", "strength"),
    [
        ({}, 1.0),
        ({"left": {1.0: 0.4}}, 0.5),
        ({"helpful": {1.0: 0.7}}, 0.5),
        ({"utility": {1.0: 0.3, 0.5: 0.34}}, 0.25),
        ({"left": dict.fromkeys((0.25, 0.5, 1.0), 0.1)}, None),
    ],
)
def test_the_lowest_asr_within_the_bounds_is_chosen(changed, strength):
    assert trials.chosen(tried(**changed)) == {"resta": strength}


def test_a_mean_over_seeds_and_tasks_decides():
    other = tried(asr={0.25: 0.0, 1.0: 0.6})  # of another seed
    assert trials.chosen(pd.concat([tried(), other])) == {"resta": 0.25}


def test_every_rival_is_tried_at_three_strengths_and_those_before_leave_all(setup):
    table = trials.tried(setup, [1], ["gsm8k"], ["longer", "wise-ft"])
    assert table["defence"].tolist() == ["none"] + ["longer"] * 3 + ["wise-ft"] * 3
    assert table["left"].tolist()[:4] == [1.0] * 4
    assert table["left"].tolist()[4:] == pytest.approx([1 - s for s in trials.TRIED["wise-ft"]], abs=1e-3)


def test_whoever_has_a_strength_has_three_trials():
    assert trials.TRIED.keys() == STRENGTHS.keys()
    assert all(len(set(tried)) == 3 and STRENGTHS[name] in tried for name, tried in trials.TRIED.items())


def test_strengths_are_those_that_the_recorded_trials_choose():
    assert trials.chosen(results.recorded("toy", trials.NAME)) == STRENGTHS
