"""What labels say, on labels made up for it; the experiment itself on the smoke profile, which claims nothing."""

import pandas as pd
import pytest
from made_labels import labels

from lox.book import results
from lox.book.chapters.baselines import measure as baselines
from lox.book.chapters.robustness import measure
from lox.lab.labels import LABELS, Record, summary_of_labels


def test_every_attack_is_compared_with_the_row_before_in_its_own_form():
    table = pd.concat(
        [
            labels(of_seeds={1: "rrrr"}),
            labels(form="identity", of_seeds={1: "hhrr"}),
            labels(task="dolly", of_seeds={1: "hhhr"}),
            labels(task="identity", form="identity", of_seeds={1: "hhhr"}),
        ]
    )
    found = measure.damage(table).set_index("task")["difference"]
    assert found.to_dict() == {"dolly": 0.75, "identity": 0.25}


def test_defences_are_compared_with_none_and_corrected_after_fine_tuning_only(monkeypatch):
    table = pd.concat(
        [labels(task=t, defence=d) for t in ("none", "dolly", "alpaca") for d in ("none", "lox", "random")]
    )
    found = measure.against_none(table)
    assert found[["task", "second"]].to_numpy().tolist() == [
        [t, d] for t in ("none", "dolly", "alpaca") for d in ("lox", "random")
    ]
    assert found["p_holm"].isna().tolist() == [True, True, False, False, False, False]
    monkeypatch.setattr(measure.rows, "holm", lambda p: [len(p)] * len(p))
    assert measure.against_none(table)["p_holm"].tolist()[2:] == [2, 2, 2, 2]  # the tasks of one defence
    assert baselines.by_task(table)["p_holm"].tolist()[2:] == [4, 4, 4, 4]  # the whole grid
    assert (found["difference"] == 0).all()
    assert measure.against_none(labels()).empty  # nothing to compare with


def test_costs_are_read_before_fine_tuning():
    rows = pd.DataFrame(
        [
            {"task": t, "form": "plain", "defence": d, "seed": s, "utility": u - s / 100}
            for t, d, u in (("none", "none", 0.9), ("none", "lox", 0.8), ("dolly", "none", 0.1))
            for s in (1, 2)
        ]
    )
    table = pd.concat([labels(), labels(defence="lox", benign="refusal"), labels(task="dolly")])
    found = measure.costs(Record(rows, table)).set_index("what")
    assert found.loc["helpful", "difference"] == 1
    assert found.loc["utility", "difference"] == pytest.approx(0.1)
    assert found.loc["utility", "low"] == pytest.approx(0.1)


def rows(k=6, alpha=1.25, judge="toy", defences=("none", "lox"), **more):
    settings = {"profile": "made-up", "seed": 1, "judge": judge, "task": "none", "form": "plain", "n": 4}
    return pd.DataFrame(
        [
            settings
            | {"defence": d, "k": None if d == "none" else k, "alpha": None if d == "none" else alpha}
            | more
            for d in defences
        ]
    )


def test_a_record_is_used_only_where_it_is_of_the_same_settings(monkeypatch):
    both = pd.concat([labels(), labels(defence="lox"), labels(defence="random")])
    kept = {"robustness": rows(k="6", defences=("none", "lox", "random")), "robustness_labels": both}
    monkeypatch.setattr(results, "recorded", lambda profile, name: kept[name])
    found = measure.recorded(Record(rows(), labels()))
    assert set(found.rows["defence"]) == set(found.labels["defence"]) == {"none", "lox"}
    found = measure.recorded(Record(rows(defences=("none", "bottom")), labels()))
    assert set(found.labels["defence"]) == {"none"}  # what both have
    for other in (
        rows(k=5),
        rows(alpha=0.5),
        rows(judge="phrases"),
        rows(n=8),
        rows(pairs=10),
        rows(form="identity"),
    ):
        assert measure.recorded(Record(other, labels())) is None


def test_seeds_of_two_records_are_other_base_models(monkeypatch):
    kept = {"robustness": rows(k="6"), "robustness_labels": pd.concat([labels(), labels(defence="lox")])}
    monkeypatch.setattr(results, "recorded", lambda profile, name: kept[name])
    monkeypatch.setattr(results, "records_of", lambda profile: [profile, f"{profile}-earlier"])
    found = measure.recorded(Record(rows(), labels()))
    assert set(found.rows["seed"]) == {1, 1001} and len(found.labels) == 2 * len(kept["robustness_labels"])
    whole = measure.of_records("made-up")
    assert len(whole.rows) == len(found.rows) and set(whole.labels["seed"]) == set(found.labels["seed"])


def test_without_a_record_there_is_none():
    assert measure.recorded(Record(rows(), labels())) is None


def test_a_run_needs_the_model_that_others_are_compared_with(setup):
    with pytest.raises(ValueError, match="compared with none, which is not among lox, random"):
        measure.run(setup, ["dolly"], [1], {"lox": {}, "random": {}})


def test_a_run_has_every_row_before_in_the_form_of_the_row_after(setup):
    found = measure.run(setup, ["identity"], [1], {"none": {}, "safeinst": {}, "lox": {"alpha": 0.5}})
    cells = found.rows[["task", "form", "defence"]].to_numpy().tolist()
    assert cells == [
        [task, form, defence]
        for defence in ("none", "safeinst", "lox")
        for task, form in (("none", "plain"), ("none", "identity"), ("identity", "identity"))
    ]
    asr = summary_of_labels(found.labels)["asr"]
    assert asr.to_numpy() == pytest.approx(found.rows["asr"].to_numpy(dtype=float))
    before = found.rows[found.rows["task"] == "none"].set_index(["form", "defence"])["asr"]
    assert before["plain", "none"] == before["plain", "safeinst"]
    assert list(found.labels.columns) == LABELS
