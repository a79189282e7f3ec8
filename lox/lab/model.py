"""What a model is: one frozen description, from which its folder and the head of its result row follow."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

from lox.lab.profile import Schedule
from lox.subspace import Rank

DEFENCES = ("none", "lox", "full-rank", "random", "bottom", "safeinst", "removal")
Defence = Literal["none", "lox", "full-rank", "random", "bottom", "safeinst", "removal"]
STEPS = ("lox", "full-rank", "random", "bottom")  # defences that add an update to the aligned weights
MIXED_IN = "safeinst"  # the defence that changes the fine-tuning data
AFTERWARDS = "removal"  # the defence that changes the fine-tuned weights


@dataclass(frozen=True)
class Model:
    """A model of an experiment: base → aligned → [a defence's step] → fine-tuned on a task.

    ``Setup.model`` makes one with everything resolved against the profile. ``pairs`` are those of alignment, 0
    for the base model itself; ``k`` and ``alpha`` are the defence's, None where it has none; ``task``, ``examples``,
    ``lr``, ``schedule`` and ``epochs`` are those of fine-tuning, None before any.
    """

    seed: int
    pairs: int
    defence: Defence = "none"
    k: Rank | None = None
    alpha: float | None = None
    task: str | None = None
    examples: int | None = None
    lr: float | None = None
    schedule: Schedule | None = None
    epochs: int | None = None

    @property
    def base(self) -> Model:
        """The base model of its seed."""
        return Model(self.seed, pairs=0)

    @property
    def aligned(self) -> Model:
        """The aligned model that it comes from."""
        return Model(self.seed, self.pairs)

    @property
    def start(self) -> Model:
        """The model that fine-tuning starts from: aligned, with the defence's step where it makes one."""
        untuned = replace(self, task=None, examples=None, lr=None, schedule=None, epochs=None)
        return untuned if self.defence in STEPS else self.aligned

    @property
    def undefended(self) -> Model:
        """The same model without a defence."""
        return replace(self, defence="none", k=None, alpha=None)

    def described(self) -> dict:
        """The head of its result row; "none" where it has no task."""
        return asdict(self) | {"task": self.task or "none"}
