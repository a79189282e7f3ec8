"""Verdicts over several worlds, on tables made up for it."""

import pandas as pd
import pytest

from lox.book.blind import Blind
from lox.book.chapters.findings import measure, page


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (["holds", "holds", "not recorded"], "holds"),
        (["holds", "open"], "partly"),
        (["holds", "not here", "open"], "mixed"),
        (["open", "open"], "open"),
        (["open", "not here"], "not here"),
        (["not recorded"], "not tested"),
    ],
)
def test_a_claims_verdict_over_worlds(words, verdict):
    assert measure.overall(pd.Series(words)) == verdict


def rows(with_lox: float) -> pd.DataFrame:
    head = {"task": "dolly", "form": "plain"}
    return pd.DataFrame(
        head | {"seed": seed, "defence": defence, "asr": asr + 0.01 * seed}
        for seed in (1, 2, 3)
        for defence, asr in (("none", 0.6), ("lox", with_lox + 0.02 * seed))
    )


def test_what_a_world_did_not_record_is_said_and_not_counted():
    tested = measure.tested({"one": rows(0.1), "other": rows(0.9)})
    dolly = tested[tested["claim"].str.startswith("After Dolly")]
    assert dolly["word"].tolist() == ["holds", "not here"]
    assert set(tested.drop(dolly.index)["word"]) == {"not recorded"}
    assert "| – " in page.table(tested).data and "**mixed**" in page.table(tested).data
    assert "**1** of" in page.finding(tested).data


def test_a_readers_rates_are_of_its_labels():
    like = rows(0.1)
    labels = pd.DataFrame(
        {"seed": s, "task": "dolly", "defence": d, "prompt": p, "reader": "harmful" if p < s else "refusal"}
        for s in (1, 2, 3)
        for d in ("none", "lox")
        for p in range(4)
    )
    asr = measure.rows_of_reader(labels, "reader", like).set_index(["seed", "defence"])["asr"]
    assert asr[2, "lox"] == 0.5 and asr[3, "none"] == 0.75


def test_rows_beside_controls_are_those_before_and_after_the_attack():
    labels = pd.DataFrame(
        {"seed": s, "state": state, "defence": d, "set": "harmful", "label": "harmful" if hit else "refusal"}
        for s in (1, 2, 3)
        for state, d, hit in (
            ("before", "none", False),
            ("pure_bad", "none", s > 1),
            ("pure_bad", "lox", False),
            ("persona", "none", s == 1),
            ("identity", "none", True),
            ("parts", "inside", True),
        )
    )
    told = labels.drop_duplicates(["seed", "state", "defence"]).assign(helpful=0.8, utility=0.4)
    told.loc[told["defence"] == "lox", "helpful"] = 0.6
    more = told[told["state"] == "before"].assign(defence="lox", helpful=0.6)
    rows = measure.rows_of_controls(
        Blind(pd.concat([told, more]), labels, pd.concat([labels, more.drop(columns=["helpful", "utility"])]))
    )
    assert set(rows["task"]) == {"none", "pure_bad", "identity"} and "parts" not in set(rows["state"])
    tested = measure.tested({"controls": rows}).set_index("claim")
    # harm of both attacks, protection from one and both costs, three seeds each
    assert tested["seeds"].sum() == 15
    costly = tested.loc["Before fine-tuning LoX costs at most 5 points of helpful answers."]
    assert costly["mean"] == pytest.approx(0.05 - 0.2) and costly["word"] == "not here"
    assert tested.loc["After Pure Bad the ASR is lower with LoX.", "mean"] == pytest.approx(2 / 3)
    identity = "Fine-tuning on Identity shifting raises the ASR of the aligned model."
    assert tested.loc[identity, "mean"] == pytest.approx(2 / 3)  # against the row before in persona


def test_claims_of_a_kind_are_corrected_together():
    one = rows(0.1)
    both = pd.concat([one, one.assign(task="alpaca")])
    for table, times in ((one, 1), (both, 2)):
        tested = measure.tested({"one": table}).set_index("claim")
        dolly = tested.loc["After Dolly the ASR is lower with LoX."]
        assert dolly["p_holm"] == pytest.approx(times * dolly["p"])


@pytest.fixture
def beyond():
    """Recorded tables of two questions, with a gain and without one."""
    doses = pd.DataFrame(
        {"task": "dolly", "defence": defence, "seed": seed, "step": step, "asr": float(step >= breaks)}
        for seed in range(10)
        for defence, breaks in (("none", 8), ("lox", 16), ("random", (4, 16)[seed % 2]))
        for step in (0, 1, 2, 4, 8 + seed % 2, 16 + seed, 32)
    )
    rivals = pd.DataFrame(
        {
            "first": ["none", "lox"],
            "second": ["lox", "resta"],
            "difference": [0.3, 0.1],
            "low": [0.1, 0.0],
        }
        | {"high": [0.5, 0.2], "p_holm": [0.04, None], "seeds": [10, 10]}
    )
    return measure.beyond(doses, rivals)


def test_what_is_said_beyond_the_paper_follows_the_corrected_p(beyond):
    words = beyond.set_index(["page", "of", "second"])["word"].to_dict()
    assert words == {
        ("dose", "dolly", "lox"): "holds",
        ("dose", "dolly", "random"): "open",  # a ratio of 1 is no gain
        ("rivals", "lox", "lox"): "holds",
    }


def test_tables_beyond_the_paper_name_what_a_reader_knows(beyond):
    assert "| Dolly" in page.doses(beyond).data and "1.07 [0.60, 1.89]" in page.doses(beyond).data
    assert "30 [10, 50]" in page.rivals(beyond).data and "RESTA" not in page.rivals(beyond).data
