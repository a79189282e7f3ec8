"""What a model is: one frozen description, from which its folder and the head of its result row follow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Literal, cast

from lox.lab.profile import Schedule
from lox.subspace import Rank

STEPS = ("lox", "full-rank", "random", "bottom")  # defences that add an update to the aligned weights
LONGER = "longer"  # the defence that aligns for more epochs
SLOWER = "slower"  # the defence that fine-tunes at a fraction of the rate
MIXED_IN = "safeinst"  # the defence that changes the fine-tuning data
DURING = ("guarded", "proximal")  # defences that change how it is fine-tuned
AFTERWARDS = ("removal", "safe-lora", "resta", "safemerge", "wise-ft")  # that change the fine-tuned weights
TOGETHER = ("lox+safeinst", "lox+resta")  # two that act at different times
Defence = Literal[
    "none", "lox", "full-rank", "random", "bottom", "longer", "safeinst", "slower", "guarded", "proximal", "removal",
    "safe-lora", "resta", "safemerge", "wise-ft", "lox+safeinst", "lox+resta",
]  # fmt: skip
DEFENCES = ("none", *STEPS, LONGER, MIXED_IN, SLOWER, *DURING, *AFTERWARDS, *TOGETHER)


@dataclass(frozen=True)
class Model:
    """A model of an experiment: base → aligned → [a defence's step] → fine-tuned on a task.

    ``Setup.model`` makes one with everything resolved against the profile. ``pairs`` are those of alignment, 0
    for the base model itself; ``k``, ``alpha`` and ``strength`` (``lox.lab.rivals``) are the defence's, None where
    it has none; ``task``, ``examples``, ``lr``, ``schedule`` and ``epochs`` are those of fine-tuning, None before any.
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
    strength: float | None = None

    @property
    def base(self) -> Model:
        """The base model of its seed."""
        return Model(self.seed, pairs=0)

    @property
    def aligned(self) -> Model:
        """The aligned model that it comes from."""
        return Model(self.seed, self.pairs)

    def part(self, kinds: Collection[str]) -> Defence | None:
        """Which of its defence's parts is one of ``kinds``, such as ``STEPS``."""
        first = next((part for part in self.defence.split("+") if part in kinds), None)
        return cast("Defence | None", first)

    @property
    def start(self) -> Model:
        """The model that fine-tuning starts from: aligned, for longer or with a step where the defence makes one."""
        before = self.part((*STEPS, LONGER))
        untuned = replace(self, task=None, examples=None, lr=None, schedule=None, epochs=None)
        strength = self.strength if before == LONGER else None
        return replace(untuned, defence=before, strength=strength) if before else self.aligned

    @property
    def unrepaired(self) -> Model:
        """The fine-tuned model whose weights a defence of ``AFTERWARDS`` changes."""
        step = self.part(STEPS)
        return replace(self, defence=step, strength=None) if step else self.undefended

    @property
    def undefended(self) -> Model:
        """The same model without a defence."""
        return replace(self, defence="none", k=None, alpha=None, strength=None)

    def described(self) -> dict:
        """The head of its result row; "none" where it has no task."""
        return asdict(self) | {"task": self.task or "none"}
