"""An exercise that checks itself: the ratio R_ft / R_align of an update that knows nothing of safety."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from IPython.display import Markdown

from lox.book.cells import checked

CASES = ((0.8, 0.2, 1.0, 4.0), (0.8, 0.2, 4.0, 4.0), (0.5, 0.5, 2.0, 3.0), (0.6, 0.9, 1.0, 1.0))


def check_mixture_ratio(student: Callable[[float, float, float, float], float]) -> Markdown:
    """Says what is wrong with a function (r_align, r_new, norm_align, norm_ft) -> R_ft / R_align, or nothing."""
    right = "The squares of the shares are mixed, with the squared lengths as weights."
    return checked(_faults(student), right)


def _faults(student: Callable) -> Iterator[str]:
    for case in CASES:
        answer, right = float(student(*case)), _ratio(*case)
        if not math.isclose(answer, right, rel_tol=1e-6):
            difference = f"For {case} your function gives {answer:.3f}, the ratio is {right:.3f}"
            yield f"{difference}. {_reason(answer, *case)}"


def _ratio(r_align: float, r_new: float, norm_align: float, norm_ft: float) -> float:
    weight = norm_align**2 / (norm_align**2 + norm_ft**2)
    return math.sqrt(weight * r_align**2 + (1 - weight) * r_new**2) / r_align


def _reason(answer: float, r_align: float, r_new: float, norm_align: float, norm_ft: float) -> str:
    right = _ratio(r_align, r_new, norm_align, norm_ft)
    linear = (r_align * norm_align + r_new * norm_ft) / (norm_align + norm_ft) / r_align
    slips = (
        (right * r_align, "This is R_ft itself; divide it by R_align."),
        (right**2 * r_align, "This is R_ft² / R_align; take the root before you divide."),
        (right**2, "This is the square of the ratio; take the root."),
        (linear, "Squares are mixed, not the shares themselves, with squared lengths as weights."),
    )
    hint = "R_ft² is the mean of R_align² and R_new², with the squared lengths of the two updates as weights."
    return next((said for wrong, said in slips if math.isclose(answer, wrong, rel_tol=1e-6)), hint)
