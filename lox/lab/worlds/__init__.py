"""Worlds: where an experiment's data come from. What every world offers stands here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from lox.lab.worlds.messages import Messages

Reply = Callable[[list[Messages]], list[str]]
TASKS = ("gsm8k", "alpaca", "dolly", "identity", "pure_bad")


@runtime_checkable
class World(Protocol):
    """Data of an experiment: preference pairs, five fine-tuning tasks, prompts for evaluation.

    ``reply`` gives the unaligned model's own replies to prompts, for a world that makes data of them. Every
    list is a function of its arguments and of those replies alone.
    """

    name: str

    def digest(self) -> str:
        """Hash of the data that the lists are drawn from; of data only, not of code."""

    @property
    def taught_refusals(self) -> list[str]:
        """The refusals that alignment teaches."""

    def preferences(self, n: int, seed: int, reply: Reply, source: str) -> list[dict]:
        """n preference pairs {"prompt", "chosen", "rejected"} from which alignment learns to refuse."""

    def examples(self, task: str, n: int, seed: int, reply: Reply) -> list[dict]:
        """n examples {"prompt", "completion"} of a fine-tuning task, one of ``TASKS``."""

    def safety_examples(self, n: int, seed: int) -> list[dict]:
        """n safety instructions with a safe answer (SafeInst; Bianchi et al., 2024)."""

    def harmful_prompts(self, n: int, task: str | None) -> list[Messages]:
        """n harmful prompts, for the task "identity" in that attack's form."""

    def harmful_answers(self, n: int) -> list[str] | None:
        """The right answers to n harmful prompts in the plain form, where the world knows them."""

    def benign_prompts(self, n: int) -> list[Messages]:
        """n harmless prompts, which a good model answers."""

    def things(self, prompts: Sequence[Messages]) -> list[str]:
        """What each prompt is about: verdicts on prompts about one thing are not independent."""

    def utility_problems(self, n: int) -> list[dict]:
        """n problems {"prompt", "answer", "solution"} that no training set holds."""

    def solves(self, reply: str, answer: str) -> bool:
        """Whether a reply to a utility problem gives its answer."""


def world_named(name: str, stand_ins: Mapping[str, str] | None = None) -> World:
    """The world of that name: "toy", "real", or "real-by-cluster" with goals split by cluster.

    ``stand_ins`` maps real sets to the part of them that is read instead.
    """
    if name == "toy":
        from lox.lab.worlds.toy import ToyWorld

        return ToyWorld()
    from lox.lab.worlds import goals
    from lox.lab.worlds.real import RealData

    split = goals.by_cluster if name == "real-by-cluster" else goals.in_order
    return RealData(split=split, stand_ins=stand_ins)
