"""Verdicts over several worlds, on tables made up for it."""

import pandas as pd
import pytest

from lox.book.chapters.findings import measure, page


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (["holds", "holds", "not recorded"], "holds"),
        (["holds", "open"], "partly"),
        (["holds", "not here"], "partly"),
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
    assert "| – " in page.table(tested).data and "**partly**" in page.table(tested).data
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
