"""Supervised fine-tuning with one thing changed: fewer weights, a subspace, a leash, or another loss.

Each is ``training.finetune`` apart from what its name says, in one process; so are the arguments that they share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import transformers
from torch import Tensor
from torch.nn.functional import logsigmoid

from lox.checkpoints.pair import HEADS, kind
from lox.extrapolation import update
from lox.lab import models, training
from lox.lab.profile import Training
from lox.subspace import Rank, safety_subspace

SIDES = ("inside", "outside")
LORA_SCALE = 2  # lora_alpha / rank
FIRST_TOKENS = {1: 0.5, 5: 2.0}  # up to which token of a reply which β holds (Qi et al., 2025, section 4)
LATER_TOKENS = 0.1


def lora(
    start: Path,
    examples: list[dict],
    settings: Training,
    seed: int,
    precision: str,
    folder: Path,
    keep: Sequence[int] = (),
    *,
    rank: int,
) -> None:
    """A LoRA (Hu et al., 2022) on every linear layer but the head, saved merged.

    ``lora_alpha`` is twice the rank, without dropout. ValueError for a rank
    that a matrix does not have.
    """
    from peft import LoraConfig

    check_lora_rank(models.read_weights(start), rank)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=LORA_SCALE * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
    )
    training.finetune(start, examples, settings, seed, precision, folder, keep, lora=config)


def restricted(
    start: Path,
    examples: list[dict],
    settings: Training,
    seed: int,
    precision: str,
    folder: Path,
    keep: Sequence[int] = (),
    *,
    base: Path,
    k: Rank,
    side: str,
) -> None:
    """Fine-tuning whose update stays inside the safety subspace of start − base, or outside of it.

    Gradients are projected before every step, and the update after it, for AdamW's step is no multiple of the
    gradient. Inside, weights without a subspace stay as they are; outside, they are free.
    """
    from lox.lab.callbacks import Restriction

    bases = safety_bases(models.read_weights(base), models.read_weights(start), k)
    changes = [lambda model: Restriction(model, bases, side)]
    training.finetune(start, examples, settings, seed, precision, folder, keep, changes=changes)


def proximal(
    start: Path,
    examples: list[dict],
    settings: Training,
    seed: int,
    precision: str,
    folder: Path,
    keep: Sequence[int] = (),
    *,
    strength: float,
) -> None:
    """Fine-tuning with ``strength``/2 · ‖W − W_start‖² added to the loss.

    The proximal term of Lisa (Huang et al., 2024), without its turns on alignment data.
    """
    from lox.lab.callbacks import Leash

    changes = [lambda model: Leash(model, strength)]
    training.finetune(start, examples, settings, seed, precision, folder, keep, changes=changes)


def guarded(
    start: Path,
    examples: list[dict],
    settings: Training,
    seed: int,
    precision: str,
    folder: Path,
    keep: Sequence[int] = (),
    *,
    strength: float,
) -> None:
    """Fine-tuning with the token-wise constrained loss (Qi et al., 2025); ``strength`` times the first tokens' β."""
    trainer = _guarded_trainer(start, strength)
    training.finetune(start, examples, settings, seed, precision, folder, keep, trainer=trainer)


# --- what is changed --------------------------------------------------------------------------------


def check_lora_rank(weights: Mapping[str, Tensor], rank: int) -> None:
    """ValueError, naming the matrix, for a rank below 1 or larger than a linear layer has."""
    if rank < 1:
        raise ValueError(f"the rank of a LoRA is 1 or more, not {rank}")
    for name, weight in weights.items():
        adapted = weight.ndim == 2 and "layers." in name and kind(name) not in HEADS
        if adapted and rank > min(weight.shape):
            size = "×".join(map(str, weight.shape))
            raise ValueError(f"a LoRA of rank {rank} is larger than {name}, which is {size}")


def safety_bases(base: Mapping[str, Tensor], start: Mapping[str, Tensor], k: Rank) -> dict[str, Tensor]:
    """Name -> U (m, k) of start − base, of every matrix in which the two differ."""
    deltas = {name: update(base[name], weight) for name, weight in start.items() if weight.ndim == 2}
    return {name: safety_subspace(delta, k).U for name, delta in deltas.items() if delta.any()}


def projected(update: Tensor, U: Tensor | None, side: str) -> Tensor:
    """The part of an update (m, n) on one of ``SIDES`` of span(U); without U all of it is outside."""
    if side not in SIDES:
        raise ValueError(f"a side is {' or '.join(SIDES)}, not {side!r}")
    inside = torch.zeros_like(update) if U is None else U @ (U.mT @ update)
    return inside if side == "inside" else update - inside


def guarded_loss(log_ratios: Tensor, places: Tensor, strength: float) -> Tensor:
    """Mean over a batch's tokens of −(2/β_t) log σ(β_t log(π/π_start)).

    ``log_ratios`` and ``places`` are (tokens,): log π − log π_start of each right token, and which of its reply
    it is, from 1. With β → 0 it is the cross-entropy up to a constant.
    """
    beta = torch.full_like(log_ratios, LATER_TOKENS)
    for last, value in sorted(FIRST_TOKENS.items(), reverse=True):
        beta = torch.where(places <= last, torch.full_like(beta, strength * value), beta)
    return -(2 / beta * logsigmoid(beta * log_ratios)).mean()


def _guarded_trainer(start: Path, strength: float) -> type[transformers.Trainer]:
    from trl import SFTTrainer

    reference = models.load(start)[0].requires_grad_(False)  # a copy of the trainer's has its patched forward

    class Guarded(SFTTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs["labels"][:, 1:]
            trained = labels != training.IGNORED
            outputs = model(inputs["input_ids"], attention_mask=inputs["attention_mask"])
            with torch.no_grad():
                before = reference(inputs["input_ids"], attention_mask=inputs["attention_mask"])
            log_probs = [_of_labels(o.logits[:, :-1], labels) for o in (outputs, before)]
            places = trained.cumsum(1)[trained]
            loss = guarded_loss((log_probs[0] - log_probs[1])[trained], places, strength)
            return (loss, outputs) if return_outputs else loss

    return Guarded


def _of_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """log p of each label, (rows, tokens); of ignored ones something that nobody reads."""
    right = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return right - logits.logsumexp(-1)
