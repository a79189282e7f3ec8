"""Labels of a real model beside controls: what is read, and what the readings say, on made-up ones."""

import json

import pandas as pd
import pytest

from lox import paths
from lox.book.chapters.real_controls import measure, record
from lox.book.chapters.real_controls.measure import ATTACK, BEFORE, PARTS
from lox.lab.judging.sheet import blank_sheet
from lox.lab.setup import load

SEEDS, GOALS = (1, 2, 3), 8


def labels(harmful: dict[str, int], state=ATTACK, of="harmful") -> pd.DataFrame:
    """Of the goals each defence's first so many get a harmful reply, one more in seed 1; the others are refused."""
    lines = [
        {"seed": seed, "state": state, "defence": defence, "set": of, "thing": str(goal), "prompt": goal}
        | {"label": "harmful" if goal < count + (seed == 1) else "refusal", "id": f"{state}{goal}"}
        for defence, count in harmful.items()
        for seed in SEEDS
        for goal in range(GOALS)
    ]
    return pd.DataFrame(lines)


@pytest.fixture(scope="module")
def asked():
    setup = load("smoke")
    return setup, list(measure.asked(setup, [1]))


def test_every_model_is_asked_in_every_state_and_the_base_once_for_all_seeds(asked):
    _, made = asked
    states = [(cell["state"], cell["defence"]) for cell, _ in made]
    assert states[0] == (BEFORE, "unaligned")
    assert states[1:9] == [(state, step) for state in (BEFORE, ATTACK) for step in measure.STEPS]
    assert [defence for state, defence in states if state == PARTS] == list(measure.VARIANTS)


def test_what_is_recorded_holds_no_text_and_its_sheet_no_model(asked):
    setup, made = asked
    rows, tables, replies = zip(*(measure.told(cell, evaluated) for cell, evaluated in made))
    table, read = pd.concat(tables), sum(replies, [])
    assert len(read) == setup.profile.evaluation.harmful * len(made)
    assert set(table.columns) == {"seed", "state", "defence", "set", "thing", "prompt", "label", "id"}
    assert table["id"].notna().tolist() == (table["set"] == "harmful").tolist()
    sheet = blank_sheet(read)
    assert set(sheet.columns) == {"id", "request", "reply", "score"} and set(sheet["id"]) <= set(table["id"])
    read = measure.reader_labels(table, dict.fromkeys(sheet["id"], 5.0))
    assert set(read["label"]) <= {"harmful", "gibberish"}
    assert rows[0]["defence"] == "unaligned" and 0 <= rows[0]["utility"] <= 1


def test_one_command_leaves_tables_provenance_and_a_blank_sheet(asked, monkeypatch, tmp_path):
    _, made = asked
    monkeypatch.setattr(paths, "project", lambda *parts: tmp_path.joinpath(*parts))
    monkeypatch.setattr(measure, "asked", lambda setup, seeds: iter(made))
    record.main(tmp_path / "sheet.csv", profile="smoke")
    folder = tmp_path / "results" / "smoke"
    how = json.loads((folder / "real_controls.json").read_text())
    assert how["command"].endswith("real_controls.record sheet.csv") and how["seeds"] == [1, 2]
    assert how["tables"] == ["real_controls.csv", "real_controls_labels.csv"] and how["profile"] == "smoke"
    assert len(pd.read_csv(folder / "real_controls.csv")) == len(made)
    assert pd.read_csv(tmp_path / "sheet.csv")["score"].isna().all()


def test_a_reader_calls_a_five_harmful_and_gibberish_is_known_by_rule():
    table = labels({"none": 0})[:4].assign(
        id=list("abcd"), label=["refusal", "refusal", "harmful", "gibberish"]
    )
    read = measure.reader_labels(table, {"a": 5.0, "b": 1.0, "c": 3.0, "d": 5.0})
    assert read["label"].tolist() == ["harmful", "refusal", "harmless", "gibberish"]


def test_a_reply_that_the_reader_did_not_have_is_an_error():
    with pytest.raises(ValueError, match="lacks 1 different replies of 2"):
        measure.reader_labels(labels({"none": 0})[:2].assign(id=["a", "b"]), {"a": 5.0})


def test_shares_have_an_interval_over_seeds_and_each_seed():
    table = measure.shares(labels({"none": 6, "lox": 1}), "asr").set_index("defence")
    assert table.loc["none", "each"] == [7 / 8, 6 / 8, 6 / 8]
    assert table.loc["lox", "asr"] == pytest.approx((2 + 1 + 1) / 24)
    assert (table["low"] < table["asr"]).all() and (table["asr"] < table["high"]).all()
    assert table["seeds"].tolist() == [3, 3]
    kept = measure.shares(labels({"none": 6}, of="benign"), "answered")
    assert kept["answered"].item() == pytest.approx(19 / 24)


def test_the_one_base_model_has_an_interval_over_goals():
    base = labels({"unaligned": 4}, BEFORE)
    table = measure.shares(base[base["seed"] == 2], "asr").iloc[0]
    assert (table["asr"], table["seeds"], table["n"]) == (0.5, 1, 8)
    assert 0.15 < table["low"] < 0.3 < 0.7 < table["high"] < 0.85  # Wilson's for 4 of 8


def test_contrasts_are_first_minus_second_and_corrected_together():
    table = measure.contrasts(labels({"none": 6, "random": 6, "half": 3, "lox": 1})).set_index(
        ["first", "second"]
    )
    assert table.loc[("none", "random"), "difference"] == 0
    assert table.loc[("none", "lox"), "difference"] == pytest.approx(5 / 8)
    assert table.loc[("random", "lox"), "difference"] == pytest.approx(5 / 8)
    assert table.loc[("half", "lox"), "difference"] == pytest.approx(2 / 8)
    assert (table["p_holm"] >= table["p"]).all()


def test_a_missing_control_is_named():
    with pytest.raises(ValueError, match="random"):
        measure.contrasts(labels({"none": 6, "lox": 1}))


def test_a_part_of_the_attack_is_compared_with_nothing_and_with_the_whole():
    table = pd.concat(
        [
            labels({"none": 0}, BEFORE),
            labels({"none": 6}),
            labels({"inside": 3, "random inside": 0, "outside": 4}, PARTS),
        ]
    )
    found = measure.parts(table).set_index(["first", "second"])["difference"] * GOALS
    assert found.to_dict() == pytest.approx(
        {
            ("whole", "nothing"): 6,
            ("inside", "nothing"): 3,
            ("random inside", "nothing"): 0,
            ("inside", "random inside"): 3,
            ("whole", "outside"): 2,
        }
    )


def test_kinds_are_shares_of_the_replies_to_harmful_goals():
    both = pd.concat([labels({"lox": 1}), labels({"lox": 8}, of="benign")])
    (row,) = measure.by_kind(both).to_dict("records")
    assert (row["harmful"], row["refusal"]) == (pytest.approx(4 / 24), pytest.approx(20 / 24))
