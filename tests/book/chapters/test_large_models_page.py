"""Sentences, tables and the figure on the paper's models, on estimates made up for them."""

import pandas as pd
import pytest

from lox.book.chapters.large_models import page


def memory(gb: float) -> pd.DataFrame:
    return pd.DataFrame(
        {"profile": "big", "task": task, "part": part, "gb": gb}
        for task in ("alignment", "gsm8k")
        for part in ("weights", "logits")
    )


HOURS = pd.DataFrame(
    {"profile": ["big"], "gpus": 8, "gpu_hours": 16.0, "training": 2.0, "replies": 1.0, "all": 3.0}
)


@pytest.mark.parametrize(("gb", "said"), [(20, " fits into 80 GB"), (40, "does not fit into 80 GB")])
def test_whether_it_fits_is_decided_with_a_quarter_more(gb, said):
    found = page.finding(memory(gb), HOURS, 80.0).data
    assert said in found and f"up to {2 * gb} GB" in found and "3.0 hours" in found


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((108.0, 116.0), "That is 108 GB for `a` and 116 GB for `b`; a single GPU of 80 GB is too small for `a` and"),
        ((20.0, 116.0), "a single GPU of 80 GB is too small for `b`."),
        ((20.0, 30.0), "a single GPU of 80 GB has room for each of them."),
    ],
)  # fmt: skip
def test_what_a_single_gpu_has_room_for(sizes, said):
    table = pd.DataFrame({"profile": ["a", "b"], "gb": sizes})
    assert said in page.held_in_words(table, 80.0).data


def test_tables_hold_their_numbers():
    assert "**sum**" in page.memory_table(memory(10)).data
    counted = {"weights": 10, "counted_weights": 10, "operations": 99.0, "counted_operations": 100.0}
    assert "the same" in page.checked(pd.DataFrame([{"model": "m"} | counted])).data
    assert "1.0 %" in page.checked(pd.DataFrame([{"model": "m"} | counted])).data
    other = page.checked(pd.DataFrame([{"model": "m"} | counted | {"counted_weights": 12}])).data
    assert "the same" not in other and "12" in other
    hours = pd.DataFrame({"profile": "big", "task": ["alignment", "gsm8k"], "hours": [4.25, 0.5]})
    assert "4.25" in page.hours(hours).data and "Alignment (DPO)" in page.hours(hours).data
    assert "16" in page.robustness(HOURS).data
    read = pd.DataFrame(
        {"task": ["gsm8k"], "characters": [500.0], "n": [10], "date": "2026", "digest": "abc"}
    )
    assert "abc" in page.lengths(read).data


def test_the_figure_says_the_sum_of_each_run():
    (axes,) = page.memory(memory(10), 80.0).axes
    assert [text.get_text() for text in axes.texts] == ["20 GB", "20 GB"]
