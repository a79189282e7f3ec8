"""Two records taken together: the mean of both, numbers of seeds added, and a row of one record as it is."""

import numpy as np
import pandas as pd
import pytest

from lox.book.together import seeds_together, together

DIFFERENCE = {"task": "dolly", "difference": 0.2, "low": 0.1, "high": 0.3, "p": 0.01, "seeds": 10, "n": 128}


def test_one_record_is_as_it_is_but_for_its_correction():
    table = pd.DataFrame([DIFFERENCE | {"p_holm": 0.02}])
    pd.testing.assert_frame_equal(together([table], ["task"]), pd.DataFrame([DIFFERENCE]))


def test_a_difference_of_two_records_lies_between_them_with_a_smaller_interval():
    other = DIFFERENCE | {"difference": 0.4, "low": 0.3, "high": 0.5, "p": 0.001}
    found = together([pd.DataFrame([DIFFERENCE]), pd.DataFrame([other])], ["task"]).iloc[0]
    assert found["difference"] == pytest.approx(0.3) and found["seeds"] == 20 and found["n"] == 128
    assert found["high"] - 0.3 == pytest.approx(0.3 - found["low"]) == pytest.approx(0.1 / np.sqrt(2))
    assert found["p"] < 0.001


def test_a_ratio_is_taken_on_the_logarithmic_scale_and_compared_with_one():
    one = {"task": "dolly", "ratio": 2.0, "low": 1.0, "high": 4.0, "p": 0.04}
    other = {"task": "dolly", "ratio": 0.5, "low": 0.25, "high": 1.0, "p": 0.04}
    found = together([pd.DataFrame([one]), pd.DataFrame([other])], ["task"]).iloc[0]
    assert found["ratio"] == pytest.approx(1.0) and found["p"] == pytest.approx(1.0)
    assert found["low"] * found["high"] == pytest.approx(1.0) and found["low"] > 0.5


def test_rates_keep_ends_that_lie_at_different_distances():
    one = {
        "attacker": "full",
        "defence": "none",
        "asr": 0.1,
        "asr_low": 0.06,
        "asr_high": 0.2,
        "utility": 0.9,
    }
    found = together([pd.DataFrame([one]), pd.DataFrame([one | {"utility": 0.7}])], ["attacker", "defence"])
    assert found.loc[0, "asr"] == pytest.approx(0.1) and found.loc[0, "utility"] == pytest.approx(0.8)
    assert found.loc[0, "asr_low"] == pytest.approx(0.1 - 0.04 / np.sqrt(2))
    assert found.loc[0, "asr_high"] == pytest.approx(0.1 + 0.1 / np.sqrt(2))


def test_a_row_of_one_record_stays_as_it_is():
    other = pd.DataFrame([DIFFERENCE | {"task": "alpaca", "p_holm": 0.02}])
    found = together([pd.DataFrame([DIFFERENCE]), other], ["task"])
    pd.testing.assert_frame_equal(found, pd.DataFrame([DIFFERENCE, DIFFERENCE | {"task": "alpaca"}]))


def test_means_of_a_table_of_one_rate_and_seeds_of_two_runs():
    mean = {"task": "dolly", "asr": 0.2, "low": 0.1, "high": 0.4, "seeds": 10}
    found = together([pd.DataFrame([mean]), pd.DataFrame([mean])], ["task"]).iloc[0]
    assert (found["asr"], found["seeds"]) == (0.2, 20) and 0.1 < found["low"] < found["high"] < 0.4
    rows = pd.DataFrame({"seed": [1, 2]})
    assert seeds_together([rows, rows])["seed"].tolist() == [1, 2, 1001, 1002]
