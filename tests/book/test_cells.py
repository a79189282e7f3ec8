"""Tables as Markdown."""

import pandas as pd

from lox.book.cells import markdown


def test_numbers_keep_their_digits_and_stand_to_the_right():
    frame = pd.DataFrame({"model": ["8-bit", "x"], "R": ["0.20", "0.25"], "n": [3, 40], "share": [0.5, 1.0]})
    assert markdown(frame).data.splitlines() == [
        "| model   |    R |   n |   share |",
        "|:--------|-----:|----:|--------:|",
        "| 8-bit   | 0.20 |   3 |     0.5 |",
        "| x       | 0.25 |  40 |     1.0 |",
    ]


def test_a_column_with_words_or_intervals_stands_to_the_left():
    frame = pd.DataFrame({"a": ["1", "–"], "b": ["1 [0, 2]", "3 [2, 4]"]})
    assert markdown(frame).data.splitlines()[1] == "|:----|:---------|"


def test_a_note_stands_below_the_table():
    assert markdown(pd.DataFrame({"a": ["x"]}), "A note.").data.endswith("| x   |\n\nA note.")
