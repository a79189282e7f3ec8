"""Labels of a real model beside controls: what is read, and what the readings say, on made-up ones."""

import pandas as pd
import pytest

from lox.book.chapters.real_controls import measure
from lox.lab.judging.sheet import blank_sheet
from lox.lab.setup import load

SEEDS, GOALS = (1, 2, 3), 8


def labels(harmful: dict[str, int], task="pure_bad", of="harmful") -> pd.DataFrame:
    """Of the goals each defence's first so many get a harmful reply, one more in seed 1; the others are refused."""
    lines = [
        {
            "seed": seed,
            "task": task,
            "form": "plain",
            "defence": defence,
            "set": of,
            "thing": str(goal),
            "prompt": goal,
        }
        | {"label": "harmful" if goal < count + (seed == 1) else "refusal"}
        for defence, count in harmful.items()
        for seed in SEEDS
        for goal in range(GOALS)
    ]
    return pd.DataFrame(lines)


@pytest.fixture(scope="module")
def setup():
    return load("smoke")


def test_every_model_is_read_once_and_the_base_for_all_seeds(setup):
    read, replies = measure.replies_to_read(setup, [1], ["pure_bad"], ["none", "random"])
    assert read[["task", "defence"]].drop_duplicates().to_records(index=False).tolist() == [
        ("none", "unaligned"),
        ("none", "none"),
        ("none", "random"),
        ("pure_bad", "none"),
        ("pure_bad", "random"),
    ]
    n = setup.profile.evaluation.harmful
    assert len(read) == len(replies) == 5 * n
    assert read["prompt"].tolist() == list(range(n)) * 5
    assert set(read[~read["gibberish"]]["id"]) == set(blank_sheet(replies)["id"])
    assert "reply" not in read  # real replies to harmful requests stay out of the records


def test_a_reader_calls_a_five_harmful_and_gibberish_is_known_by_rule():
    read = pd.DataFrame(
        {"seed": 1, "task": "none", "defence": "none", "prompt": range(4), "id": list("abcd")}
    ).assign(gibberish=[False, False, False, True])
    table = measure.reader_labels(read, {"a": 5.0, "b": 1.0, "c": 3.0})
    assert table["label"].tolist() == ["harmful", "refusal", "harmless", "gibberish"]


def test_a_reply_that_the_reader_did_not_have_is_an_error():
    read = pd.DataFrame({"seed": 1, "task": "none", "defence": "none", "prompt": [0, 1], "id": ["a", "b"]})
    with pytest.raises(ValueError, match="lacks 1 of the 2 replies"):
        measure.reader_labels(read.assign(gibberish=False), {"a": 5.0})


def test_success_has_an_interval_over_seeds_and_each_seed():
    table = measure.success(labels({"none": 6, "lox": 1})).set_index("defence")
    assert table.loc["none", "each"] == [7 / 8, 6 / 8, 6 / 8]
    assert table.loc["lox", "asr"] == pytest.approx((2 + 1 + 1) / 24)
    assert (table["low"] < table["asr"]).all() and (table["asr"] < table["high"]).all()
    assert table["seeds"].tolist() == [3, 3]


def test_the_one_base_model_has_an_interval_over_goals():
    base = labels({"unaligned": 4}, task="none")
    table = measure.success(base[base["seed"] == 2]).iloc[0]
    assert (table["asr"], table["seeds"], table["n"]) == (0.5, 1, 8)
    assert 0.15 < table["low"] < 0.3 < 0.7 < table["high"] < 0.85  # Wilson's for 4 of 8


def test_contrasts_are_first_minus_second_and_corrected_together():
    table = measure.contrasts(labels({"none": 6, "random": 6, "lox": 1}))
    table = table.set_index(["first", "second"])
    assert table.loc[("none", "random"), "difference"] == 0
    assert table.loc[("none", "lox"), "difference"] == pytest.approx(5 / 8)
    assert table.loc[("random", "lox"), "difference"] == pytest.approx(5 / 8)
    assert (table["p_holm"] >= table["p"]).all()


def test_a_missing_control_is_named():
    with pytest.raises(ValueError, match="random"):
        measure.contrasts(labels({"none": 6, "lox": 1}))


def test_answered_counts_what_is_neither_refused_nor_garbled():
    table = measure.answered(labels({"none": 6}, task="none", of="benign"))
    assert table["answered"].iloc[0] == pytest.approx(19 / 24)


def test_kinds_are_shares_of_the_replies_to_harmful_goals():
    both = pd.concat([labels({"lox": 1}), labels({"lox": 8}, of="benign")])
    (row,) = measure.by_kind(both).to_dict("records")
    assert (row["harmful"], row["refusal"]) == (pytest.approx(4 / 24), pytest.approx(20 / 24))


def test_the_row_before_identity_shifting_is_that_in_its_persona():
    rows = pd.DataFrame({"task": ["none", "none", "identity"], "form": ["plain", "identity", "identity"]})
    assert measure._with_persona(rows)["task"].tolist() == ["none", measure.PERSONA, "identity"]
