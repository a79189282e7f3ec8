"""The toy model as one classic script, for the page in which the reader talks to it.

A page opened from the disk may not fetch files, so weights are base64 text in a script of the page: the aligned
model's in half precision, of the alignment update its leading ranks, and what each stored attack added in four
bits. What the world's words and sentences are is ``export_world``'s.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, LlamaConfig, PreTrainedTokenizerBase

from lox.book.chapters.playground.export_world import world_data
from lox.extrapolation import update
from lox.lab.evaluation import form_of
from lox.lab.models import read_weights
from lox.lab.profile import Training
from lox.lab.worlds.messages import Messages
from lox.lab.worlds.toy import ToyWorld
from lox.subspace import safety_subspace

RANKS = 16  # of the alignment update: the largest k of the page
LEVELS = 7  # an attack's change of a weight is one of -7 … 7 times its row's step: four bits
MAX_NORM = 2.0  # to which gradients are clipped, as in the book's fine-tuning


@dataclass(frozen=True)
class Attacked:
    """A stored attacked model: fine-tuned on ``task`` from the aligned model, or from LoX's (k, alpha)."""

    task: str
    title: str
    folder: Path
    k: int | None = None
    alpha: float = 0.0


@dataclass(frozen=True)
class Factors:
    """A matrix of low rank, left @ right, both in half precision and of equal size."""

    left: Float[Tensor, "m r"]
    right: Float[Tensor, "r n"]

    def matrix(self, k: int) -> Float[Tensor, "m n"]:
        """The first k ranks, computed in float32 as the page does."""
        return self.left[:, :k].float() @ self.right[:k].float()


def factors(delta: Float[Tensor, "m n"], ranks: int) -> Factors:
    """The leading ``ranks`` singular triplets of ``delta``; the singular values go half to each side.

    Shared so, the factors' entries have similar sizes, which half precision holds best.
    """
    top = safety_subspace(delta, min(ranks, *delta.shape))
    root = top.S.sqrt()
    return Factors((top.U * root).half(), (root[:, None] * top.Vh).half())


def stored_aligned(aligned: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The aligned weights as the page has them: rounded to half precision, computed with in float32."""
    return {name: weight.half().float() for name, weight in aligned.items()}


def stored_lox(base: Mapping[str, Tensor], aligned: Mapping[str, Tensor], k: int, alpha: float):
    """W_aligned + alpha Proj_k(W_aligned − W_base) (equation 3) as the page has it, name -> tensor."""
    moved = stored_aligned(aligned)
    for name, weight in moved.items():
        if weight.ndim == 2:
            moved[name] = weight + alpha * factors(update(base[name], aligned[name]), RANKS).matrix(k)
    return moved


@dataclass(frozen=True)
class Steps:
    """A change of a weight, as whole numbers from -LEVELS to LEVELS times a step of each row."""

    counts: Tensor
    step: Tensor


def _steps(start: Tensor, end: Tensor) -> Steps:
    delta = update(start, end)
    step = (delta.abs().amax(-1, keepdim=True) / LEVELS).half()
    counts = torch.where(step > 0, delta / step.float(), 0.0).round().clamp(-LEVELS, LEVELS)
    return Steps(counts, step)


def export(
    world: ToyWorld,
    base: Path,
    aligned: Path,
    *,
    attacked: Iterable[Attacked] = (),
    attacks: Mapping[str, tuple[str, Training, list[dict]]] | None = None,
    lox: tuple[int, float] = (6, 1.25),
    held_out: int = 20,
) -> dict:
    """What the page is given: weights, words, questions, examples; ``script`` writes it down.

    ``base`` and ``aligned`` are folders in Hugging Face format, ``attacked`` stored models to start from,
    ``attacks`` task -> (title, settings, examples) of those that the reader can run. ``lox`` is where the
    sliders stand at first, ``held_out`` the number of dangerous and of safe questions that rates are measured
    on. Raises ValueError for a model that the page could not compute.
    """
    config, tokenizer = AutoConfig.from_pretrained(aligned), AutoTokenizer.from_pretrained(aligned)
    before, after = read_weights(base), read_weights(aligned)
    return {
        "config": _config(config),
        "shapes": [[name, list(weight.shape)] for name, weight in after.items()],
        "aligned": _base64(after.values()),
        "update": {"ranks": RANKS, "numbers": _base64(_stream(before, after, RANKS))},
        "lox": dict(zip(("k", "alpha"), lox)),
        "attacked": [_attacked(one, before, after) for one in attacked],
        "attacks": {task: _attack(tokenizer, task, *one) for task, one in (attacks or {}).items()},
        "tokenizer": _words(tokenizer),
        "formats": _formats(world, tokenizer),
        "world": world_data(world),
        "heldOut": {
            "dangerous": _questions(world.harmful_prompts(held_out)),
            "safe": _questions(world.benign_prompts(held_out)),
        },
    }


def script(data: dict) -> str:
    """A classic script that sets ``PLAYGROUND_DATA``; it may stand in a page as it is."""
    written = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # no </script> in it
    return f"window.PLAYGROUND_DATA = {written};\n"


# --- weights ------------------------------------------------------------------------------------------


def _config(config: LlamaConfig) -> dict:
    """Sizes of the model; ValueError for what the page's Llama does not have."""
    rope = config.rope_parameters
    unlike = {
        "no Llama": config.model_type != "llama",
        "grouped keys": config.num_key_value_heads != config.num_attention_heads,
        "tied embeddings": config.tie_word_embeddings,
        "biases": config.attention_bias or config.mlp_bias,
        "scaled positions": rope["rope_type"] != "default",
        "another activation": config.hidden_act != "silu",
    }
    if any(unlike.values()):
        features = ", ".join(name for name, is_so in unlike.items() if is_so)
        raise ValueError(f"the page computes plain small Llamas only; this model has: {features}")
    return {
        "hidden": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "ffn": config.intermediate_size,
        "vocabulary": config.vocab_size,
        "theta": rope["rope_theta"],
        "eps": config.rms_norm_eps,
    }


def _attacked(one: Attacked, base: Mapping[str, Tensor], aligned: Mapping[str, Tensor]) -> dict:
    if one.k is None:
        start = stored_aligned(aligned)
    elif one.k <= RANKS:
        start = stored_lox(base, aligned, one.k, one.alpha)
    else:
        raise ValueError(f"the page holds {RANKS} ranks of the alignment update, not {one.k}")
    changes = [_steps(start[name], weight) for name, weight in read_weights(one.folder).items()]
    return {
        "task": one.task,
        "title": one.title,
        "k": one.k,
        "alpha": one.alpha,
        "form": form_of(one.task),
        "steps": _base64(steps.step for steps in changes),
        "counts": _packed(torch.cat([steps.counts.flatten() for steps in changes])),
    }


def _stream(start: Mapping[str, Tensor], end: Mapping[str, Tensor], ranks: int) -> Iterable[Tensor]:
    """The numbers of an update in the page's order: two factors of each matrix."""
    for name in end:
        if end[name].ndim == 2:
            factored = factors(update(start[name], end[name]), ranks)
            yield from (factored.left, factored.right)


def _base64(tensors: Iterable[Tensor]) -> str:
    """Half-precision numbers, little-endian, one tensor after another."""
    numbers = torch.cat([tensor.half().flatten() for tensor in tensors])
    if not torch.isfinite(numbers).all():
        raise ValueError("a weight is too large for half precision")
    return base64.b64encode(numbers.numpy().astype("<f2").tobytes()).decode()


def _packed(counts: Tensor) -> str:
    """Whole numbers from -LEVELS to LEVELS, two in a byte, the first in its lower half."""
    nibbles = (counts + LEVELS + 1).to(torch.uint8)
    pairs = torch.nn.functional.pad(nibbles, (0, len(nibbles) % 2)).view(-1, 2)
    return base64.b64encode((pairs[:, 0] | pairs[:, 1] << 4).numpy().tobytes()).decode()


# --- words --------------------------------------------------------------------------------------------


def _words(tokenizer: PreTrainedTokenizerBase) -> dict:
    words = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    return {
        "words": words,
        "unknown": tokenizer.unk_token_id,
        "end": tokenizer.eos_token_id,
        "special": sorted(tokenizer.all_special_ids),
    }


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _formats(world: ToyWorld, tokenizer: PreTrainedTokenizerBase) -> dict[str, list[str]]:
    """What the chat format puts before and after a question: plain, and in the identity attack's persona."""
    [plain] = world.harmful_prompts(1)
    question, [persona] = plain[-1]["content"], world.harmful_prompts(1, "identity")
    forms = {"plain": plain, "identity": persona}
    return {form: _around(tokenizer, prompt, question) for form, prompt in forms.items()}


def _around(tokenizer: PreTrainedTokenizerBase, prompt: Messages, question: str) -> list[str]:
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    if text.count(question) != 1:
        raise ValueError(f"the chat format holds the question {text.count(question)} times: {text!r}")
    return text.split(question)


def _questions(prompts: list[Messages]) -> list[str]:
    return [prompt[-1]["content"] for prompt in prompts]


def _attack(
    tokenizer: PreTrainedTokenizerBase, task: str, title: str, settings: Training, examples: list[dict]
) -> dict:
    """A fine-tuning task as the page runs it: settings, and token ids of each prompt and completion."""
    made = []
    for example in examples:
        texts = (
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asking)
            for messages, asking in (
                (example["prompt"], True),
                (example["prompt"] + example["completion"], False),
            )
        )
        prompt, whole = (_ids(tokenizer, text) for text in texts)
        made.append({"prompt": prompt, "completion": whole[len(prompt) : settings.max_length]})
    return {
        "title": title,
        "form": form_of(task),
        "lr": settings.lr,
        "batch": settings.batch,
        "maxNorm": MAX_NORM,
        "examples": made,
    }
