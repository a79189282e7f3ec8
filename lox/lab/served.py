"""A checkpoint as it is served: in its own type, with its chat template, an adapter attached where there is one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import jinja2
import torch
import transformers
from torch import nn
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

from lox.checkpoints.files import Checkpoint, stamp
from lox.checkpoints.folders import COMPANIONS, first_line, local_folder, read_json
from lox.checkpoints.streaming import compute_device
from lox.lab.fingerprint import content_hash
from lox.lab.replies import prompt_texts
from lox.lab.reply_file import Counted, ReplyFile, ask
from lox.lab.worlds.messages import Messages, user

Type = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Served:
    """A folder or Hub id with what decides its replies; nothing is loaded before it is asked for.

    ``dtype`` "auto" is the type of the checkpoint; ``chat_template`` is Jinja, for a tokenizer that has none.
    """

    source: str
    adapter: str | None = None
    dtype: Type = "auto"
    device: torch.device = torch.device("cpu")
    chat_template: str | None = None

    @property
    def name(self) -> str:
        """What it is called in a table: a folder's last part, a Hub id as it is."""
        parts = [s for s in (self.source, self.adapter) if s]
        return " + ".join(Path(s).absolute().name if Path(s).exists() else s for s in parts)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.open(self.source)

    @cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits that name all that determines its replies, device and libraries aside."""
        files = [str(self.checkpoint.folder.resolve()), self.checkpoint.stamps]
        companions = sorted(
            p for pattern in COMPANIONS for p in self.checkpoint.folder.glob(pattern) if p.is_file()
        )
        beside = [hashlib.sha256(path.read_bytes()).hexdigest() for path in companions]
        added = [_stamps(local_folder(self.adapter))] if self.adapter else []
        return content_hash([files, beside, added, self.dtype, self.chat_template])[:12]

    @cached_property
    def tokenizer(self) -> transformers.PreTrainedTokenizerBase:
        """Padding on the left; ValueError where it cannot be read, or no chat template is there."""
        tokenizer = _read(
            self.source, transformers.AutoTokenizer, self.checkpoint.folder, padding_side="left"
        )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        if tokenizer.pad_token is None:
            raise ValueError(
                f"{self.source}: its tokenizer has neither a padding token nor one that ends a text"
            )
        if self.chat_template is not None:
            tokenizer.chat_template = self.chat_template
        if tokenizer.chat_template is None:
            raise ValueError(
                f"{self.source}: its tokenizer has no chat template; name one, --chat-template FILE"
            )
        self._rendered(tokenizer, [user("?")], "its chat template fails")
        return tokenizer

    def check(self) -> None:
        """Raise what can be wrong with it that shows without its weights: files, tokenizer, adapter."""
        if (generation := self.checkpoint.folder / "generation_config.json").exists():
            read_json(generation)  # transformers would pass over one that it cannot read
        _ = self.key, self.tokenizer

    def check_prompts(self, questions: list[dict]) -> None:
        """Raise ValueError, naming it, for the first prompt that the chat template does not take."""
        for question in questions:
            said = f"its chat template does not take the prompt {question['prompt'][-1]['content'][:40]!r}"
            self._rendered(self.tokenizer, question["prompt"], said)

    def _rendered(self, tokenizer, prompt: Messages, said: str) -> None:
        try:
            prompt_texts(tokenizer, [prompt])
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise ValueError(f"{self.source}: {said}: {first_line(error)}") from None

    def loaded(self) -> tuple[nn.Module, transformers.PreTrainedTokenizerBase]:
        """Model and tokenizer."""
        return self.network(), self.tokenizer

    def ask(self, name: str, questions: list[dict], kept: ReplyFile, batch: int, done: Counted) -> list[dict]:
        """``questions`` with their answers, as ``lox.lab.reply_file.ask`` does; loaded only where some are missing."""
        return ask(name, self.key, self.loaded, questions, kept, batch=batch, done=done)

    def network(self) -> nn.Module:
        """The model on its device, ready to reply; its own code, if it brings some, is never run."""
        disable_progress_bar()  # of loading weights: the replies have a bar of their own
        set_verbosity_error()  # what does not fit is an error of ours, in one line
        folder = self.checkpoint.folder
        model, info = _read(
            self.source,
            transformers.AutoModelForCausalLM,
            folder,
            dtype=self.dtype,
            output_loading_info=True,
        )
        if missing := sorted(info["missing_keys"]):  # transformers would draw them at random
            raise ValueError(f"{self.source}: {missing[0]} is not in its weights")
        model = model.to(self.device).eval()
        if self.adapter is None:
            return model
        from peft import PeftModel

        try:
            return PeftModel.from_pretrained(model, str(local_folder(self.adapter))).eval()
        except (ValueError, OSError, KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{self.adapter}: no adapter of {self.source}: {first_line(error)}") from None


def models_to_ask(
    source: str,
    adapter: str | None,
    beside: str | None,
    dtype: Type,
    device: str,
    chat_template: Path | None,
) -> dict[str, Served]:
    """Name -> model, of one and another beside it, all that can be wrong without their weights checked.

    ValueError where the two are the same, or a device cannot compute.
    """
    template = _template(chat_template) if chat_template else None
    place = compute_device(device)
    models = [Served(source, adapter, dtype, place, template)]
    if beside:
        models.append(Served(beside, None, dtype, place, template))
    for model in models:
        model.check()
    if len({model.key for model in models}) < len(models):
        raise ValueError(f"{beside}: the same model as {source}, so there is nothing to compare")
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        names = [model.source for model in models]
    return dict(zip(names, models))


def _template(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: no chat template in UTF-8: {first_line(error)}") from None


def _read(source: str, kind, folder: Path, **options):
    try:
        return kind.from_pretrained(folder, trust_remote_code=False, **options)
    except Exception as error:  # a malformed file can make it fail in any way
        raise ValueError(f"{source}: transformers cannot load it: {first_line(error)}") from None


def _stamps(folder: Path) -> list:
    """What tells an adapter from another one; FileNotFoundError where it is none."""
    if not (folder / "adapter_config.json").exists():
        raise FileNotFoundError(f"{folder}: no adapter_config.json, so no adapter")
    if not any((folder / f"adapter_model{ending}").exists() for ending in (".safetensors", ".bin")):
        raise FileNotFoundError(f"{folder}: no adapter_model.safetensors, so an adapter without weights")
    return [[str(path.resolve()), *stamp(path)] for path in sorted(folder.glob("adapter_*"))]
