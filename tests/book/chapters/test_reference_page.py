"""The reference names everything that may be relied on."""

import lox
from lox.book.chapters.reference import page


def test_every_public_name_stands_with_its_docstring():
    text = page.names().data
    assert all(f"### `lox.{name}`" in text for name in lox.__all__)
    assert "W_LoX = W_aligned" in text and "Raises ValueError" in text


def test_every_command_stands_with_its_options():
    text = page.commands().data
    for words in (
        "### `lox extrapolate`",
        "--adapter",
        "### `lox energy`",
        "### `lox run`",
        "### `lox book`",
        "--open",
    ):
        assert words in text
    assert "\x1b" not in text
