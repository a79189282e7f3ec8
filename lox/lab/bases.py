"""Base models of the toy that the project keeps, so that nobody has to wait until they are trained.

A kept one is what ``lox.lab.training.pretrain`` made of a seed, its weights rounded to half precision. Its file is
named by all that determines it, the code of its training included: once that changes, no file has the name, and the
model is trained. ``python -m lox.lab.keep`` trains and keeps those of the toy's seeds anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lox import paths
from lox.lab import models
from lox.lab.fingerprint import code_fingerprint, content_hash
from lox.lab.profile import ToyModel


def root() -> Path:
    """Where kept base models lie: the folder that LOX_BASES names, else ``data/bases``; in an empty one is none."""
    return Path(os.environ.get("LOX_BASES") or paths.ROOT / "data" / "bases").absolute()


def file(recipe: dict, code: Sequence[Callable]) -> Path:
    """Where the base model of a stage's recipe and code lies, if it is kept. ``recipe`` has its seed."""
    digest = content_hash({"recipe": recipe, "code": code_fingerprint(*code)})
    return root() / f"seed-{recipe['seed']}-{digest}.safetensors"


def keep(folder: Path, kept: Path) -> None:
    """Write the model in ``folder`` to the file ``kept``, in half precision."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.half() for name, weight in models.read_weights(folder).items()}, kept)


def digest(kept: Path) -> str:
    """Sixteen hexadecimal digits that name what a kept file holds."""
    return hashlib.sha256(kept.read_bytes()).hexdigest()[:16]


def unpack(kept: Path, settings: ToyModel, words: list[str], folder: Path) -> None:
    """The kept model into ``folder``, float32, with the tokenizer of ``words``; ValueError if the file is damaged."""
    tokenizer = models.toy_tokenizer(words)
    model = models.toy_model(settings, tokenizer, seed=0)
    try:
        weights = load_file(kept)
    except SafetensorError as error:
        raise ValueError(f"{kept}: damaged ({error}); without it the base model is trained") from None
    models.set_weights(model, {name: weight.to(torch.float32) for name, weight in weights.items()})
    models.save(model, tokenizer, folder)
