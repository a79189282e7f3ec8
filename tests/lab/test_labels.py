"""What labels say, on labels made up for it."""

import pandas as pd
import pytest
from made_labels import THINGS, labels

from lox.lab.labels import Record, difference, outcomes, protection, summary, summary_of_labels


def test_outcomes_are_seeds_by_prompts_and_keep_what_did_not_parse():
    hits, things = outcomes(labels(), "harmful")
    assert hits.to_numpy().tolist() == [[1, 1, 0, 0], [1, 0, 0, 0]]
    assert list(hits.index) == [1, 2] and things == THINGS
    assert outcomes(labels(), "gibberish")[0].to_numpy().sum() == 1
    assert outcomes(labels(), "answered")[0].to_numpy().all()
    assert outcomes(labels(benign="refusal"), "refused")[0].to_numpy().all()
    assert not outcomes(labels(benign="evasion"), "answered")[0].to_numpy().any()


def test_outcomes_do_not_depend_on_the_order_of_the_rows():
    hits, things = outcomes(labels(), "harmful")
    shuffled, same_things = outcomes(labels().sample(frac=1, random_state=0), "harmful")
    assert hits.equals(shuffled) and things == same_things


def test_missing_and_doubled_labels_are_named():
    table = labels()
    with pytest.raises(ValueError, match="seed 2 has no label for 1 of 4 prompts"):
        outcomes(table.drop(table.index[-2]), "harmful")
    with pytest.raises(ValueError, match="several models of one seed"):
        outcomes(pd.concat([table, labels(defence="lox")]), "harmful")


def test_a_summary_has_a_row_for_each_cell():
    table = pd.concat([labels(), labels(task="dolly", defence="lox", of_seeds={1: "rrrr", 2: "rrrr"})])
    found = summary_of_labels(table).set_index(["task", "form", "defence"])
    first, second = found.loc["none", "plain", "none"], found.loc["dolly", "plain", "lox"]
    assert (first["asr"], first["gibberish"], first["helpful"]) == (3 / 8, 1 / 8, 1)
    assert (first["seeds"], first["n"]) == (2, 4)
    assert second["asr"] == 0
    for name in ("asr", "helpful", "gibberish", "over_refusal"):
        assert (found[f"{name}_low"] <= found[name]).all() and (found[name] <= found[f"{name}_high"]).all()


def test_a_summary_adds_the_utility_of_its_rows():
    rows = pd.DataFrame(
        {"task": "none", "form": "plain", "defence": "none", "seed": [1, 2], "utility": [0.9, 0.5]}
    )
    found = summary(Record(rows, labels())).iloc[0]
    assert found["utility"] == pytest.approx(0.7)
    assert (found["utility_low"], found["utility_high"]) == (0, 1)  # two seeds, and a share


def test_protection_is_what_each_defence_takes_off_the_asr_of_each_task():
    table = pd.concat(
        [labels(), labels(defence="lox", of_seeds={1: "rrrr", 2: "rrrr"}), labels(task="dolly")]
    )
    [line] = protection(table, ["task"]).to_dict("records")  # after dolly there is no other defence
    assert (line["task"], line["first"], line["second"]) == ("none", "none", "lox")
    assert line["difference"] == 3 / 8
    none = protection(labels(), ["task", "form"])
    assert none.empty and [*none][:4] == ["task", "form", "first", "second"]


def test_a_difference_by_hand_and_its_other_sign():
    first, second = labels(), labels(of_seeds={1: "hrrr", 2: "rrrr"})
    found, turned = difference(first, second), difference(second, first)
    assert found["difference"] == 2 / 8 == -turned["difference"]
    assert found["low"] == pytest.approx(-turned["high"]) and found["seeds"] == 2


def test_only_the_same_seeds_are_paired():
    with pytest.raises(ValueError, match=r"seeds \[1, 2\] with 4 prompts on one side, seeds \[1\]"):
        difference(labels(), labels(of_seeds={1: "hhrr"}))
