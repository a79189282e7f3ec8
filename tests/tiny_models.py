"""Tiny random Llamas that talk: a base and an aligned one a random update away, with a word-level tokenizer."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from lox.lab import models
from lox.lab.profile import ToyModel
from lox.lab.worlds.toy import ToyWorld

SIZES = ToyModel(source="toy", hidden=16, layers=2, heads=2, ffn=24, documents=1, batch=1, row=32, lr=1e-3)


def pair(folder: Path, size: float = 0.05) -> tuple[Path, Path]:
    """``base`` and ``aligned`` in ``folder``: ordinary Hugging Face files, a norm's weights changed too."""
    tokenizer = models.toy_tokenizer(ToyWorld().vocabulary)
    model = models.toy_model(SIZES, tokenizer, seed=0)
    models.save(model, tokenizer, folder / "base")
    move(model, size)
    models.save(model, tokenizer, folder / "aligned")
    return folder / "base", folder / "aligned"


@torch.no_grad()
def move(model: LlamaForCausalLM, size: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter += size * torch.randn(parameter.shape, generator=generator)
