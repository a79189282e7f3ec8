"""The README's tables are those that are recorded."""

import pytest

from lox import paths
from lox.book import readme


def test_the_readme_says_what_is_recorded():
    text = paths.project("README.md").read_text()
    assert readme.filled(text, readme.tables()) == text, "run `make readme`"


def test_a_table_without_a_place_is_an_error():
    with pytest.raises(ValueError, match="has 0 places <!-- toy -->"):
        readme.filled("no place", {"toy": "| a |"})


def test_a_place_is_filled_anew():
    text = "before\n<!-- toy -->\nold\n<!-- end -->\nafter"
    once = readme.filled(text, {"toy": "| new |"})
    assert once == "before\n<!-- toy -->\n\n| new |\n\n<!-- end -->\nafter"
    assert readme.filled(once, {"toy": "| new |"}) == once
