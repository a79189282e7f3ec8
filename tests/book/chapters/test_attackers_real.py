"""Attackers on a real model: whom is asked what, and what stands beside it from the record of controls."""

import pandas as pd
import pytest
import typer

from lox.book.blind import Blind
from lox.book.chapters.attackers import real


@pytest.mark.parametrize("name", real.ASKED)
def test_every_attacker_has_the_model_without_lox_and_with_it_and_begins_replies_his_way(name, setup):
    asked = list(real.asked(setup, name, [1]))
    assert [(c["attacker"], c["defence"]) for c, _ in asked] == [
        (attacker, defence) for attacker in real.ASKED[name] for defence in ("none", "lox")
    ]
    for cell, evaluated in asked:
        begun = [r["reply"].startswith(real.OPENING) for r in evaluated.replies if r["set"] == "harmful"]
        assert all(begun) == (cell["attacker"] == "prefill")


def test_as_published_and_after_full_fine_tuning_are_those_of_the_controls(monkeypatch):
    beside = pd.DataFrame(
        {"seed": 1, "state": state, "defence": defence}
        for state in ("before", "pure_bad", "dolly")
        for defence in ("none", "random", "lox")
    )
    own = pd.DataFrame({"seed": 1, "attacker": "prefill", "defence": d} for d in ("none", "lox"))
    monkeypatch.setattr(real.blind, "recorded", lambda profile, name: Blind(own, own, own))
    monkeypatch.setattr(real.controls, "recorded", lambda profile: Blind(beside, beside, beside))
    monkeypatch.setattr(real, "ASKED", {"one": ("prefill",)})
    for table in vars(real.recorded("any")).values():
        assert list(zip(table["attacker"], table["defence"])) == [
            (attacker, defence) for attacker in ("nothing", "full", "prefill") for defence in ("none", "lox")
        ]


def test_an_unknown_record_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(typer.BadParameter, match="'lora': there are real_attackers, real_lora"):
        real.main(tmp_path / "sheet.csv", "lora")
