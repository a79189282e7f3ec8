"""An exercise that checks itself: reading the effective rank off a curve (equation 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from IPython.display import Markdown

from lox.book.cells import checked
from lox.effective_rank import read_curve

RHO = 0.01
CASES = (
    ("the curve falls steadily", {0: 0.9, 1: 0.4, 2: 0.0, 4: 0.0}, 0.0),
    ("the aligned model's own ASR is not 0", {0: 0.9, 1: 0.4, 2: 0.1, 4: 0.1}, 0.1),
    ("the curve rises again after the first r that satisfies the condition", {0: 0.9, 1: 0.0, 2: 0.05}, 0.0),
    ("the difference is exactly ρ, which is not below it", {0: 0.9, 1: 0.01, 2: 0.0}, 0.0),
    (
        "the difference is ρ up to rounding: .06 − .05 in floating point is a little below .01",
        {0: 0.9, 1: 0.06, 2: 0.05},
        0.05,
    ),
    ("a truncated model is safer than the aligned one", {0: 0.9, 1: 0.1, 2: 0.2}, 0.2),
    ("the base model already satisfies the condition", {0: 0.2, 1: 0.2}, 0.2),
    ("no measured r satisfies the condition", {0: 0.9, 1: 0.5}, 0.0),
    ("the ranks do not come in rising order", {4: 0.0, 0: 0.9, 2: 0.0}, 0.0),
)


def check_effective_rank(read: Callable[[Mapping[int, float], float, float], int | None]) -> Markdown:
    """Says whether ``read(curve, asr_aligned, rho)`` gives the smallest r of equation 4, None for none.

    ``curve`` maps r to ASR(θ_r). The first case in which it does not is named.
    """
    return checked(_faults(read), f"Your function reads all {len(CASES)} curves as equation 4 does.")


def _faults(read: Callable) -> Iterator[str]:
    for what, curve, asr_aligned in CASES:
        expected, given = read_curve(curve, asr_aligned, RHO).rank, read(dict(curve), asr_aligned, RHO)
        if given != expected:
            yield (
                f"Where {what}, it gives {given}; right is {expected} "
                f"(curve {curve}, ASR of the aligned model {asr_aligned}, ρ = {RHO})."
            )
