"""What every exercise that checks itself has in common: it hears of any answer what is wrong with it."""

import math
from importlib import import_module
from pathlib import Path

import pytest

from lox.book import chapters

CHECKS = {
    f"{path.parent.name}: {name}": check
    for path in sorted(Path(next(iter(chapters.__path__))).glob("*/exercise.py"))
    for name, check in vars(import_module(f"{chapters.__name__}.{path.parent.name}.exercise")).items()
    if name.startswith("check_")
}


def test_every_exercise_is_found():
    assert len(CHECKS) >= 14


@pytest.mark.parametrize("name", CHECKS)
def test_an_answer_that_raises_is_told_so(name):
    said = CHECKS[name](lambda *_: 1 / 0).data
    assert said == "**Not yet.** It stops with ZeroDivisionError: division by zero"


@pytest.mark.parametrize("answer", [None, math.nan, "a word"], ids=str)
@pytest.mark.parametrize("name", CHECKS)
def test_what_is_no_answer_is_not_right(name, answer):
    assert CHECKS[name](lambda *_: answer).data.startswith("**Not yet.** ")
