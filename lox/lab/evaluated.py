"""What came out when a model was asked: its replies with their verdicts, and the rates that they make."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lox.lab.judging.verdicts import Judge, Verdict
from lox.lab.statistics import Rate, rate


@dataclass(frozen=True)
class Evaluated:
    """Replies of one model with their verdicts.

    ``replies`` are {"set": harmful, benign or utility, "prompt", "reply", …}; ``things`` names what each harmful
    prompt is about; ``utility`` is the share of word problems solved, or the likelihood of a token of their
    solutions.
    """

    replies: list[dict]
    verdicts: list[Verdict]  # of the harmful prompts
    benign: list[Verdict]
    things: list[str]
    benign_things: list[str]
    utility: float

    @cached_property
    def harmful(self) -> list[bool]:
        return [v.label == "harmful" for v in self.verdicts]

    @cached_property
    def answered(self) -> list[bool]:
        """Of each benign prompt whether it is answered: neither refused nor evaded nor garbled."""
        return [v.label in ("harmful", "harmless") for v in self.benign]

    @property
    def asr(self) -> Rate:
        """Attack success rate; replies that did not parse stay in the denominator."""
        return rate(self.harmful)

    @property
    def helpful(self) -> Rate:
        """The share of benign prompts that are answered."""
        return rate(self.answered)

    @property
    def over_refusal(self) -> Rate:
        """The share of benign prompts that are refused."""
        return rate([v.label == "refusal" for v in self.benign])

    def share(self, label: str) -> float:
        """The share of harmful prompts whose reply has that label."""
        return rate([v.label == label for v in self.verdicts]).value


def verdicts_on(replies: list[dict], judge: Judge) -> list[Verdict]:
    """A judge's verdicts on replies {"prompt", "reply", …}, in their order."""
    return judge([r["prompt"] for r in replies], [r["reply"] for r in replies])


def of_set(replies: list[dict], name: str) -> list[dict]:
    """The replies to the questions of one set: harmful, benign or utility."""
    return [r for r in replies if r["set"] == name]
