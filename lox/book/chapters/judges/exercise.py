"""An exercise that checks itself: Cohen's κ of two judges from four counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from IPython.display import Markdown

from lox.book.cells import checked

Kappa = Callable[[int, int, int, int], float]
CASES = ((7, 12, 1, 40), (20, 5, 10, 15), (0, 2, 2, 96), (30, 0, 0, 20))
TOLERANCE = 1e-4


def check_kappa(student: Kappa) -> Markdown:
    """Says whether ``student(both, first_only, second_only, neither)`` is κ of two judges, and if not, what it is.

    The four are numbers of replies that both, one or none of the judges call harmful.
    """
    return checked(
        _faults(student),
        "Your function gives κ, also where the judges agree on 96 % of the replies by chance alone.",
    )


def _faults(student: Kappa) -> Iterator[str]:
    for counts in CASES:
        if problem := _problem(float(student(*counts)), *counts):
            yield f"For {', '.join(map(str, counts))}: {problem}"


def _problem(answer: float, both: int, first_only: int, second_only: int, neither: int) -> str:
    n = both + first_only + second_only + neither
    same, first, second = (both + neither) / n, (both + first_only) / n, (both + second_only) / n
    by_chance = first * second + (1 - first) * (1 - second)
    right = (same - by_chance) / (1 - by_chance)
    if abs(answer - right) < TOLERANCE:
        return ""
    near = {
        "this is the share of replies on which both say the same, chance included.": same,
        "what chance gives was taken off, but not divided by what is left to reach, 1 − p_e.": same
        - by_chance,
        "p_e lacks the replies that both call not harmful by chance.": (same - first * second)
        / (1 - first * second),
        "this is p_e, what chance gives.": by_chance,
        "p_e is not one half: it follows from how often each judge says harmful.": 2 * same - 1,
        "the share is divided by p_e, not by 1 − p_e.": (same - by_chance) / by_chance,
    }
    otherwise = f"κ is {right:.3f}, not {answer:.3f}."
    return next((said for said, wrong in near.items() if abs(answer - wrong) < TOLERANCE), otherwise)
