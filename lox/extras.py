"""What the core does without: packages that only some commands need, and how to install them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str, purpose: str) -> Iterator[None]:
    """For imports that ``extra`` of pyproject.toml brings: ValueError in one line where one is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "lox").partition(".")[0]
        if missing == "lox":
            raise  # our own module: a bug
        raise ValueError(
            f"{purpose} needs {missing}, which is not installed: pip install 'lox-book[{extra}]'"
        ) from None
