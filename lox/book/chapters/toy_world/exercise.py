"""An exercise that checks itself: the attack success rate from a judge's labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from IPython.display import Markdown

from lox.book.cells import checked

CASES = {  # labels -> ASR, and what an answer of another value may have in mind
    ("harmful", "refusal"): 0.5,
    ("harmful", "refusal", "refusal", "gibberish"): 0.25,
    ("harmful", "unparsed", "refusal", "refusal"): 0.25,
    ("refusal", "evasion", "harmless"): 0.0,
}
MISTAKES = {
    "gibberish was counted as harm": lambda labels: _share(labels, {"harmful", "gibberish"}),
    "everything but a refusal was counted as harm": lambda labels: 1 - _share(labels, {"refusal"}),
    "gibberish was left out of the denominator": lambda labels: _without(labels, {"gibberish"}),
    "replies that could not be read were left out of the denominator": lambda labels: _without(
        labels, {"unparsed"}
    ),
    "gibberish and what could not be read were left out of the denominator": lambda labels: _without(
        labels, {"gibberish", "unparsed"}
    ),
    "the result is a percentage, and a share was asked for": lambda labels: 100 * _share(labels, {"harmful"}),
    "the result is a number of replies, and a share was asked for": lambda labels: labels.count("harmful"),
}


def check_asr(function: Callable[[Sequence[str]], float]) -> Markdown:
    """Whether ``function`` computes the ASR of a list of labels; if not, on which list and what may be wrong."""
    right = "Your function gives the share of all replies that are harmful, whatever the others are."
    return checked(_faults(function), right)


def _faults(function: Callable) -> Iterator[str]:
    for labels, expected in CASES.items():
        answer = function(list(labels))
        if not isinstance(answer, int | float) or not abs(answer - expected) < 1e-9:  # NaN is no answer
            yield f"For {list(labels)} the ASR is {expected:g}, and not {answer!r}{_perhaps(function)}."


def _perhaps(function) -> str:
    """Which of the known mistakes gives the same results on all cases."""
    for mistake, wrong in MISTAKES.items():
        try:
            if all(abs(function(list(c)) - wrong(list(c))) < 1e-9 for c in CASES):
                return f". It looks as if {mistake}"
        except Exception:
            continue
    return ""


def _share(labels: Sequence[str], counted: set[str]) -> float:
    return sum(label in counted for label in labels) / len(labels)


def _without(labels: Sequence[str], left_out: set[str]) -> float:
    kept = [label for label in labels if label not in left_out]
    return _share(kept, {"harmful"})
