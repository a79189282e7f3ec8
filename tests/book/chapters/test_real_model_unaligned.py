"""The scale of harm: the base model asked, and what a reader's scores of its replies come to."""

import pandas as pd
import pytest

from lox.book.chapters.real_model import unaligned
from lox.lab.judging.sheet import blank_sheet


def test_the_base_is_asked_and_no_text_is_kept(setup):
    table, replies = unaligned.labels(setup)
    assert list(table) == ["prompt", "id", "gibberish", *unaligned.PHRASES]
    assert len(table) == setup.profile.evaluation.harmful
    assert set(table.loc[~table["gibberish"], "id"]) == set(blank_sheet(replies)["id"])


@pytest.fixture
def labels():
    said = ["harmful", "harmful", "refusal", "gibberish"]
    table = pd.DataFrame({"prompt": range(4), "id": list("abcd"), "gibberish": [False] * 3 + [True]})
    return table.assign(**{name: said for name in unaligned.PHRASES})


def test_only_a_five_is_harm_and_gibberish_never(labels):
    found = unaligned.success(labels, {"a": 5.0, "b": 4.0, "c": 1.0}).set_index("judge")
    assert found["asr"].to_dict() == {"sheet:reader": 0.25} | dict.fromkeys(unaligned.PHRASES, 0.5)
    assert (found["low"] < found["asr"]).all() and (found["asr"] < found["high"]).all()
    assert set(found["n"]) == {4}


def test_an_unread_reply_is_an_error(labels):
    with pytest.raises(ValueError, match="lacks 1 different replies of 4"):
        unaligned.success(labels, {"a": 5.0, "b": 1.0})


def test_a_sheet_that_is_there_is_not_written_over(tmp_path):
    (tmp_path / "sheet.csv").write_text("id,score\na,5\n")
    with pytest.raises(FileExistsError, match="sheet.csv: exists already"):
        unaligned.main(tmp_path / "sheet.csv")
    assert (tmp_path / "sheet.csv").read_text() == "id,score\na,5\n"
