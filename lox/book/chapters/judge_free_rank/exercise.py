"""An exercise that checks itself: refusal log-odds from the log-probabilities of tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from IPython.display import Markdown

from lox.book.cells import checked

CLOSE = 1e-6
CASES = (
    ("every reply has one token", [[-1.0], [-3.0]], [-4.0]),
    ("replies have several tokens", [[-1.0, -0.5], [-2.0, -0.1, -0.4]], [-0.5, -0.5, -0.2, -0.3]),
    ("there is a single refusal", [[-0.2, -0.3]], [-2.0]),
    ("the model prefers to comply", [[-9.0], [-7.0, -1.0], [-5.0]], [-0.1, -0.1]),
)


def check_log_odds(log_odds: Callable[[Sequence[Sequence[float]], Sequence[float]], float]) -> Markdown:
    """Says whether ``log_odds(refusals, compliant)`` is ℓ of one prompt, and which usual slip it looks like if not.

    ``refusals`` holds the log-probabilities of the tokens of each refusal, in nats, ``compliant`` those of the
    compliant reply.
    """
    return checked(_faults(log_odds), f"Your function gives ℓ in all {len(CASES)} cases.")


def _faults(log_odds: Callable) -> Iterator[str]:
    for what, refusals, compliant in CASES:
        said, own = [sum(tokens) for tokens in refusals], sum(compliant)
        expected, given = sum(said) / len(said) - own, float(log_odds(refusals, compliant))
        if not abs(given - expected) < CLOSE:  # NaN is no answer
            known = slips(refusals, compliant)
            slip = next((text for text, wrong in known if abs(given - wrong) < CLOSE), "")
            yield f"Where {what}, it gives {given:.3f}; right is {expected:.3f} nats. {slip}".strip()


def slips(refusals: Sequence[Sequence[float]], compliant: Sequence[float]) -> Iterator[tuple[str, float]]:
    """Usual slips: what was done instead, and the value that it gives."""
    said, own = [sum(tokens) for tokens in refusals], sum(compliant)
    right = sum(said) / len(said) - own
    yield "Is the sign turned? Refusals come first.", -right
    yield "Are the refusals summed? The formula takes their mean.", sum(said) - own
    each = [total / len(tokens) for total, tokens in zip(said, refusals)]
    yield (
        "Is log p averaged over a reply's tokens? It is summed.",
        sum(each) / len(each) - own / len(compliant),
    )
    mean = math.log(sum(map(math.exp, said)) / len(said))
    yield (
        "Is the logarithm taken of the mean probability? The formula takes the mean of the logarithms.",
        mean - own,
    )
    yield "Is this a ratio of probabilities? Log-odds are a difference of logarithms.", math.exp(right)
    yield "Is only the likeliest refusal taken?", max(said) - own
    yield (
        "Is only the first token of each reply scored?",
        sum(t[0] for t in refusals) / len(said) - compliant[0],
    )
