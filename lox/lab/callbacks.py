"""What training does beside its steps: states are kept, updates held on one side of a subspace or on a leash.

A module of its own, for transformers' trainer takes seconds to import and only what trains needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback

from lox.lab.finetuning import projected
from lox.lab.training import save, step_folder


class KeepSteps(TrainerCallback):
    """Keeps model and tokenizer as they are after certain optimisation steps; ValueError if a step never comes."""

    def __init__(self, trainer: Trainer, folder: Path, steps: Sequence[int]):
        self.trainer, self.folder, self.steps = trainer, folder, set(steps)

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        if max(self.steps) > state.max_steps:
            raise ValueError(
                f"the run has {state.max_steps} steps: there is no model after {max(self.steps)}"
            )

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step in self.steps:
            save(self.trainer, step_folder(self.folder, state.global_step))


class Restriction(TrainerCallback):
    """Keeps the update of every weight on one side of its subspace."""

    def __init__(self, model, bases: Mapping[str, Tensor], side: str):
        self.side = side
        self.parts = [
            (p, p.detach().clone(), bases[n].to(p) if n in bases else None)
            for n, p in model.named_parameters()
        ]

    def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
        for weight, _, U in self.parts:
            weight.grad = projected(weight.grad, U, self.side)

    @torch.no_grad()
    def on_optimizer_step(self, args, state, control, **kwargs) -> None:
        for weight, start, U in self.parts:
            weight.copy_(start + projected(weight - start, U, self.side))


class Leash(TrainerCallback):
    """Adds the gradient of strength/2 · ‖W − W_start‖²."""

    def __init__(self, model, strength: float):
        self.strength = strength
        self.parts = [(p, p.detach().clone()) for p in model.parameters()]

    @torch.no_grad()
    def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
        for weight, start in self.parts:
            weight.grad += self.strength * (weight - start)
