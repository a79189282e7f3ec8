"""An exercise that checks itself: the breaking dose of a curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from IPython.display import Markdown

from lox.book.cells import checked

CASES = (
    ([1, 2, 4, 8], [0.0, 0.1, 0.5, 0.9], 4.0, "Where the ASR is exactly one half, that step is the dose."),
    (
        [1, 2, 8, 16],
        [0.0, 0.25, 0.75, 1.0],
        4.0,
        "The level lies halfway between 2 and 8 steps: on the logarithm of the dose that is √(2 · 8) = 4, not 5.",
    ),
    (
        [1, 2, 4, 8],
        [0.0, 0.6, 0.2, 0.9],
        2 ** (5 / 6),
        "The *first* time counts, although the ASR falls below one half again.",
    ),
    (
        [1, 2, 4, 8],
        [0.0, 0.1, 0.2, 0.3],
        math.inf,
        "A model that does not break has no measured dose: the answer is infinity, never the last step.",
    ),
)


def check_breaking_dose(student: Callable[[list[float], list[float]], float]) -> Markdown:
    """Says what is wrong with a function (doses, asr) -> breaking dose at one half, or that nothing is."""
    right = "The dose is interpolated on the logarithm, the first time, and infinite where the model does not break."
    return checked(_faults(student), right)


def _faults(student: Callable) -> Iterator[str]:
    for doses, asr, expected, hint in CASES:
        answer = float(student(list(doses), list(asr)))
        if not math.isclose(answer, expected, rel_tol=1e-6):
            difference = f"your function gives {answer:.4g}, the dose is {expected:.4g}"
            yield f"For doses {doses} and ASR {asr} {difference}. {hint}"
