"""The finding of the page on other tools, with a table made up for it."""

import pandas as pd

from lox.book.chapters.other_tools import page

FOUND = pd.DataFrame(
    {
        "tool": ["the paper", "another"],
        "k": [6, "full"],
        "alpha": [1.25, 1.0],
        "kept": [0.5, 1.0],
        "added": [0.012, 0.2],
        "apart": [1e-7, 3e-7],
    }
)


def test_the_finding_names_the_extremes_and_what_lox_says():
    text = page.finding(FOUND, "up_proj", "do not fit:\nup_proj: base is 11×8, aligned 12×8").data
    assert "between 1.2 % (the paper) and 20 % (another)" in text
    assert "3e-07" in text and text.rstrip().endswith("up_proj: base is 11×8, aligned 12×8.\n:::")


def test_the_table_has_a_row_for_each_tool():
    lines = page.settings(FOUND).data.splitlines()
    assert len(lines) == 4 and "full" in lines[3] and "100 %" in lines[3]
