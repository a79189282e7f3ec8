"""The word problems of the toy world."""

import pytest

from lox.lab.worlds.toy import ToyWorld
from lox.lab.worlds.toy_problems import Problem, Problems, answer_of, problems


@pytest.fixture(scope="module")
def found() -> Problems:
    world = ToyWorld()
    return problems(world.lexicon, world.templates["arithmetic"])


def test_every_problem_is_in_one_part(found):
    asked = [p.question for p in found.training + found.held_out]
    assert len(set(asked)) == len(asked)
    assert 0.15 < len(found.held_out) / len(asked) < 0.25


def test_solutions_end_with_the_answer(found):
    for problem in found.training[:100] + found.held_out[:100]:
        assert answer_of(problem.solution) == problem.answer


def test_where_a_problem_is_does_not_hang_on_the_others():
    world = ToyWorld()
    lexicon = world.lexicon | {"names": world.lexicon["names"][:1]}
    few, all_ = (problems(words, world.templates["arithmetic"]) for words in (lexicon, world.lexicon))
    assert set(few.held_out) < set(all_.held_out) and set(few.training) < set(all_.training)


def test_nothing_is_below_zero():
    lexicon = {"names": ["ann"], "foods": ["figs"], "numbers": [str(n) for n in range(21)]}
    template = {"question": "{name} {food} {a} {b}", "answer": "#### {c}"}
    few = problems(
        lexicon, {"plus": template, "minus": template | {"question": "{a} less {b} {name} {food}"}}
    )
    found = few.training + few.held_out
    assert len(found) == 100 + 55
    assert Problem("3 less 2 ann figs", "#### 1", "1") in found
    assert min(int(p.answer) for p in found) == 0


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("two plus two is four . #### four", "four"),
        ("#### four . #### five", "five"),
        ("#### four .", "four"),
        ("two plus two is four .", None),
        ("####", None),
        ("", None),
    ],
)
def test_the_answer_is_the_word_after_the_last_mark(reply, answer):
    assert answer_of(reply) == answer
