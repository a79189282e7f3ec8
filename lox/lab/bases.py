"""Base models of the toy that the project keeps, so that nobody has to wait until they are trained.

A kept one is what ``lox.lab.training.pretrain`` made of a seed, its weights rounded to half precision. Its file is
named by all that determines it, the code of its training included: once that changes, no file has the name, and the
model is trained. ``python -m lox.lab.keep`` trains and keeps those of the toy's seeds anew.
"""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lox import paths
from lox.lab import models, stages, training
from lox.lab.fingerprint import code_fingerprint, content_hash, file_hash
from lox.lab.profile import ToyModel
from lox.lab.worlds.toy import ToyWorld

# The code that makes a base model
PRETRAINING = (training.pretrain, ToyWorld.pretraining_documents, vars(ToyWorld)["vocabulary"].func)


def root() -> Path:
    """Where kept base models lie: the folder that LOX_BASES names, else ``data/bases``; in an empty one is none."""
    return Path(os.environ.get("LOX_BASES") or paths.ROOT / "data" / "bases").absolute()


def base(settings: ToyModel, world: ToyWorld, seed: int) -> Path:
    """The stage of a seed's base model: the kept one where there is one, else it is trained."""
    file, words = kept(settings, world, seed), world.vocabulary
    if not file.exists():
        return trained(settings, world, seed)

    def build(folder: Path) -> None:
        unpack(file, settings, words, folder)

    recipe = {"kept": file_hash(file), "model": settings.model_dump(), "words": content_hash(words)}
    return stages.stage("base", recipe, build, [unpack])


def kept(settings: ToyModel, world: ToyWorld, seed: int) -> Path:
    """The file in which a seed's base model is kept, whether or not it is there."""
    determined_by = {"recipe": _recipe(settings, world, seed), "code": code_fingerprint(*PRETRAINING)}
    return root() / f"seed-{seed}-{content_hash(determined_by)}.safetensors"


def trained(settings: ToyModel, world: ToyWorld, seed: int) -> Path:
    """The stage of a seed's base model, trained here even where one is kept."""

    def build(folder: Path) -> None:
        training.pretrain(settings, world, seed, folder)

    return stages.stage("base", _recipe(settings, world, seed), build, PRETRAINING)


def _recipe(settings: ToyModel, world: ToyWorld, seed: int) -> dict:
    described = settings.model_dump(exclude_defaults=True)
    return {"model": described, "seed": seed, "world": world.digest()}


def keep(folder: Path, file: Path) -> None:
    """Write the model in ``folder`` to a file, in half precision."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.half() for name, weight in models.read_weights(folder).items()}, file)


def unpack(kept: Path, settings: ToyModel, words: list[str], folder: Path) -> None:
    """The kept model into ``folder``, float32, with the tokenizer of ``words``; ValueError if the file is damaged."""
    tokenizer = models.toy_tokenizer(words)
    model = models.toy_model(settings, tokenizer, seed=0)
    try:
        weights = load_file(kept)
    except SafetensorError as error:
        raise ValueError(f"{kept}: damaged ({error}); without it the base model is trained") from None
    models.set_weights(model, weights)
    models.save(model, tokenizer, folder)
