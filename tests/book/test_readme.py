"""The README's tables are those that are recorded."""

import pandas as pd
import pytest

from lox import paths
from lox.book import readme
from lox.book.chapters.dose import measure as dose
from lox.book.chapters.real_controls import measure as controls


def test_the_readme_says_what_is_recorded():
    text = paths.project("README.md").read_text()
    assert readme.filled(text, readme.tables()) == text, "run `make readme`"


def test_a_table_without_a_place_is_an_error():
    with pytest.raises(ValueError, match="has 0 places <!-- toy -->"):
        readme.filled("no place", {"toy": "| a |"})


def test_a_place_is_filled_anew():
    text = "before\n<!-- toy -->\nold\n<!-- end -->\nafter"
    once = readme.filled(text, {"toy": "| new |"})
    assert once == "before\n<!-- toy -->\n\n| new |\n\n<!-- end -->\nafter"
    assert readme.filled(once, {"toy": "| new |"}) == once


def test_doses_are_said_with_their_control():
    steps = {"none": (0.0, 0.9, 1.0), "lox": (0.0, 0.1, 0.9), "random": (0.0, 0.9, 1.0)}
    rows = pd.DataFrame(
        {"task": "dolly", "defence": defence, "seed": seed, "step": step, "asr": asr}
        for defence, rates in steps.items()
        for seed in (1, 2)
        for step, asr in zip((0, 8, 16), rates)
    )
    line = readme.dose_table(rows, rows).splitlines()[-1]
    assert line.startswith("| Dolly")
    with_lox, random, beside, earlier = (cell.strip() for cell in line.strip("|").split("|")[1:])
    assert (with_lox, random) == ("2.55 [0.00, ∞]", "1.00 [0.00, ∞]")  # two seeds bound nothing
    assert beside == with_lox
    assert earlier == with_lox


def test_a_real_models_doses_have_a_row_a_judge_with_its_level():
    rows = pd.DataFrame(
        {"task": "pure_bad", "form": "plain", "defence": d, "seed": s, "step": step, "asr": a}
        for d, asr in (("none", (0, 0.2, 0.6)), ("lox", (0, 0.1, 0.3)))
        for s in (1, 2)
        for step, a in zip((0, 4, 8), asr)
    )
    judges = {}
    for name, level in (("read", 0.2), ("phrases", 0.5)):
        broken = dose.breaking(rows, level)
        judges[name] = dose.Judged(dose.Record(rows, rows), rows, broken, dose.ratios(broken), level)
    read, phrases = readme.real_dose_table(judges).splitlines()[2:]
    assert [cell.strip() for cell in read.split("|")[1:4]] == ["read", "20 %", "4"]
    assert [cell.strip() for cell in phrases.split("|")[1:4]] == ["phrases", "50 %", "7"]


def test_controls_stand_beside_lox_and_the_unaligned_model_has_no_state_after_an_attack():
    rate = {"harm": 0.4, "harm_low": 0.2, "harm_high": 0.95}
    rate |= {"helpful": 0.9, "helpful_low": 0.2, "helpful_high": 0.95}
    states = [("before", "unaligned"), ("persona", "unaligned")]
    states += [(state, step) for state in controls.STATES for step in controls.steps_of(state)]
    table = pd.DataFrame({"state": state, "defence": defence} | rate for state, defence in states)
    lines = readme.controls_table(table).splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[2:-1]] == list(readme.STEPS.values())
    assert [line.count("40 % [20, 95]") for line in lines[2:8]] == [5, 4, 4, 3, 3, 3]
    assert "after Dolly" in lines[6] and "after GSM8K" in lines[7]
    assert lines[8].count("90 % [20, 95]") == 5
