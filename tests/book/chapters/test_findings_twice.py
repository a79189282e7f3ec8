"""Two records of one world: which comparisons both decide, and what the page says of it, on tables made up for it."""

import pandas as pd
import pytest

from lox.book.chapters.findings import twice
from lox.book.chapters.findings.twice import Compared


@pytest.fixture
def table(monkeypatch):
    tables = {
        "gains": Compared("rivals", ("first", "second")),
        "ratios": Compared("dose", ("task",), "ratio", 1.0),
    }
    monkeypatch.setattr(twice, "TABLES", tables)
    return twice.compared(record(lox=0.3, resta=0.01, removal=-0.2, dolly=1.5).get, EARLIER.get)


def record(dolly, **gains):
    """Two tables; a gain of 0.01 is open, and so is a ratio of 1."""
    lines = [
        {"first": "none", "second": name, "difference": gain} | interval(gain, open_at=0.01)
        for name, gain in gains.items()
    ]
    ratio = {"task": "dolly", "ratio": dolly} | interval(dolly, open_at=1.0)
    return {"gains": pd.DataFrame(lines), "ratios": pd.DataFrame([ratio])}


def interval(value, open_at):
    return {"low": value - 0.1, "high": value + 0.1, "p_holm": 0.6 if value == open_at else 0.01}


EARLIER = record(**{"lox": 0.2, "resta": 0.2, "removal": 0.2, "safe-lora": 0.1, "dolly": 1.0})


def test_only_what_both_records_compared_is_compared(table):
    assert list(table["of"]) == ["none, lox", "none, resta", "none, removal", "dolly"]
    assert list(table["value_earlier"]) == [0.2, 0.2, 0.2, 1.0]


def test_a_ratio_below_one_lies_below_though_it_is_above_zero(monkeypatch):
    monkeypatch.setattr(twice, "TABLES", {"ratios": Compared("dose", ("task",), "ratio", 1.0)})
    found = twice.compared(record(dolly=0.5).get, EARLIER.get)
    assert found[["said", "said_earlier"]].to_numpy().tolist() == [["below", "open"]]


def test_outcomes_are_counted_for_each_page(table):
    found = twice.agreement(table).set_index("page")
    assert found.loc["rivals"].to_dict() == {"both": 1, "one": 1, "neither": 0, "opposite": 1}
    assert found.loc["dose"].to_dict() == {"both": 0, "one": 1, "neither": 0, "opposite": 0}
    said = twice.in_words(table).data
    assert "Of 4 comparisons that both made, 1 are distinguished in both" in said and "1 on opposite" in said
    assert "| {doc}`rivals` | 1 " in " ".join(twice.agreement_table(table).data.split())


def test_claims_that_hold_in_one_record_only_are_named():
    words = {
        "A.": ("holds", "holds"),
        "B.": ("holds", "open"),
        "C.": ("open", "open"),
        "D.": ("not here", "holds"),
    }
    tested = pd.DataFrame({"claim": claim, "word": word} for claim, pair in words.items() for word in pair)
    assert twice.claims_in_words(tested).data == (
        "Of the 4 claims above, 1 hold in both records, 1 hold in one and are open in the other, 1 are open in both "
        "and 1 are contradicted in one or both. Those that hold in one only: B."
    )
