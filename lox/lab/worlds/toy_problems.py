"""Word problems of the toy world: who has how many of a food. A fifth of them is held out, for evaluation."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass

NUMBERS = range(1, 11)  # that are added and subtracted
FOLDS = 5  # one of which is held out
MARK = "####"  # comes before the answer, as in GSM8K


@dataclass(frozen=True)
class Problem:
    """A question, its worked solution, and the answer, which is one word."""

    question: str
    solution: str
    answer: str


@dataclass(frozen=True)
class Problems:
    """All problems, apart by their question alone, so that another list of problems moves none of them."""

    training: list[Problem]
    held_out: list[Problem]


def problems(lexicon: dict, templates: dict) -> Problems:
    """Every name with every food and two numbers, added and, where nothing is below zero, subtracted."""
    apart = Problems([], [])
    for name, food, a, b in itertools.product(lexicon["names"], lexicon["foods"], NUMBERS, NUMBERS):
        for kind, result in (("plus", a + b), ("minus", a - b)):
            if result >= 0:
                words = {key: lexicon["numbers"][n] for key, n in (("a", a), ("b", b), ("c", result))}
                problem = _problem(templates[kind], {"name": name, "food": food} | words)
                (apart.held_out if _is_held_out(problem) else apart.training).append(problem)
    return apart


def answer_of(reply: str) -> str | None:
    """The word after the last mark; None where there is no mark, or nothing after it."""
    _, mark, after = reply.rpartition(MARK)
    return next(iter(after.split()), None) if mark else None


def _problem(template: dict[str, str], words: dict[str, str]) -> Problem:
    question, solution = (template[part].format(**words) for part in ("question", "answer"))
    return Problem(question, solution, words["c"])


def _is_held_out(problem: Problem) -> bool:
    return hashlib.sha256(problem.question.encode()).digest()[0] % FOLDS == 0
