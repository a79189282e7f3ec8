"""CONTRIBUTING names files and definitions: they are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = sorted(set(re.findall(r"`((?:lox|tests|book|data|notebooks|results)/[\w/.-]+?)/?`", TEXT)))


@pytest.mark.parametrize("name", [name for name in FILES if "NAME" not in name and "PROFILE" not in name])
def test_a_file_that_is_named_is_there(name):
    assert (ROOT / name).exists()


@pytest.mark.parametrize(
    ("names", "file"),
    [
        (["DEFENCES", "Defence", "STEPS", "DURING", "AFTERWARDS"], "lox/lab/model.py"),
        (["REPAIRS", "STRENGTHS"], "lox/lab/rivals.py"),
        (["UNTRAINED", "UNDOING", "TRAINED", "METHODS", "after", "course"], "lox/lab/attackers.py"),
        (["TASKS"], "lox/lab/worlds/__init__.py"),
        (["form_of", "located"], "lox/lab/evaluation.py"),
        (["_stepped", "_examples", "_finetuned"], "lox/lab/setup.py"),
        (["NAMES", "NEED_NOTHING", "judge_named"], "lox/lab/judging/names.py"),
        (["RubricJudge"], "lox/lab/judging/rubric.py"),
        (["TASK_NAMES", "DEFENCE_NAMES"], "lox/book/names.py"),
        (["DEFENCE_COLORS"], "lox/book/figures.py"),
        (["EXAMPLES"], "lox/book/chapters/large_models/lengths.py"),
    ],
)
def test_a_definition_that_is_named_is_in_its_file(names, file):
    source = (ROOT / file).read_text(encoding="utf-8")
    for name in names:
        assert f"{name}`" in TEXT or f".{name}`" in TEXT
        assert re.search(rf"^(?:\s*def |class )?\b{name}\b", source, re.M), name
