"""Replies of models: generated greedily in batches, or scored by their likelihood, and kept as stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from torch import Tensor

from lox.lab import models, stages
from lox.lab.fingerprint import content_hash
from lox.lab.profile import Evaluation, Profile
from lox.lab.worlds.messages import Messages


@dataclass(frozen=True)
class Computed:
    """Weights that are computed when they are needed: ``function(*folders, **options)``, name -> tensor.

    ``function`` is one of a module of this package, ``folders`` are models' and ``options`` plain data: the
    three determine the weights, and so the name of the stage of the replies. The first folder's model has
    the shapes, the tokenizer and the configuration.
    """

    function: Callable[..., Mapping[str, Tensor]]
    folders: tuple[Path, ...]
    options: dict = field(default_factory=dict)

    def weights(self) -> Mapping[str, Tensor]:
        return self.function(*self.folders, **self.options)

    def recipe(self) -> dict:
        return {
            "function": f"{self.function.__module__}.{self.function.__qualname__}",
            "folders": [stages.name(folder) for folder in self.folders],
            "options": self.options,
        }


def replies_of(profile: Profile, model: Path | Computed, questions: list[dict]) -> list[dict]:
    """``questions`` with each one's "reply": a stage, so that another judge never generates again.

    Each of ``questions`` has a "prompt" and either "tokens", the most that a greedy reply may have, or a given
    "reply" to score, which adds "log_prob" in nats and "reply_tokens".
    """
    computed = isinstance(model, Computed)

    def build(folder: Path) -> None:
        answered = answered_by(model, questions, profile.evaluation)
        (folder / "replies.json").write_text(json.dumps(answered, indent=1))

    recipe = {
        "model": model.recipe() if computed else stages.name(model),
        "asked": content_hash(questions),
        "batch": profile.evaluation.batch,
        "precision": profile.evaluation.precision,
    }
    code = [answered_by, *([model.function] if computed else [])]
    return json.loads((stages.stage("replies", recipe, build, code) / "replies.json").read_text())


def answered_by(model: Path | Computed, questions: list[dict], settings: Evaluation) -> list[dict]:
    """``answer`` of a model in a folder, or of computed weights, as rounded as it is asked."""
    network, tokenizer = loaded(model.folders[0] if isinstance(model, Computed) else model, settings)
    if isinstance(model, Computed):
        models.set_weights(network, model.weights())
    return answer(network, tokenizer, questions, settings.batch)


def loaded(folder: Path, settings: Evaluation):
    """(model, tokenizer) of a folder, rounded to the precision in which it is asked."""
    network, tokenizer = models.load(folder)
    if settings.precision == "bfloat16":
        network.to(torch.bfloat16)  # as such a checkpoint is served; in half the time
    return network, tokenizer


def answer(model, tokenizer, questions: list[dict], batch_size: int) -> list[dict]:
    """The questions with their replies, one call for each reply length; given replies with their likelihoods."""
    answers: dict[int, dict] = {}
    for tokens in dict.fromkeys(q.get("tokens") for q in questions):
        places = [i for i, q in enumerate(questions) if q.get("tokens") == tokens]
        prompts = [questions[i]["prompt"] for i in places]
        if tokens:
            texts = complete(model, tokenizer, prompts, max_new_tokens=tokens, batch_size=batch_size)
            answers |= {i: {"reply": text} for i, text in zip(places, texts)}
        else:
            given = [questions[i]["reply"] for i in places]
            scored = log_likelihoods(model, tokenizer, prompts, given, batch_size=batch_size)
            answers |= {i: {"log_prob": p, "reply_tokens": n} for i, (p, n) in zip(places, scored)}
    return [q | answers[i] for i, q in enumerate(questions)]


@torch.inference_mode()
def complete(
    model, tokenizer, prompts: Sequence[Messages], *, max_new_tokens: int, batch_size: int
) -> list[str]:
    """Greedy replies to chat prompts, in their order.

    Prompts are batched by length, so that few tokens are padding. Only reply text comes back,
    without special tokens. Of the model's own settings of generation only that counts where a reply ends.
    """
    own = model.generation_config
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id
    )
    texts = prompt_texts(tokenizer, prompts)
    lengths = [len(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in texts]
    order = sorted(range(len(texts)), key=lambda i: lengths[i])
    replies = [""] * len(texts)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        ids, mask = padded(tokenizer, [texts[i] for i in chosen], "left", model.device)
        output = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
        new = output[:, ids.shape[1] :]
        for i, text in zip(chosen, tokenizer.batch_decode(new, skip_special_tokens=True)):
            replies[i] = text.strip()
    return replies


@torch.inference_mode()
def reply_log_probs(
    model,
    tokenizer,
    prompts: Sequence[Messages],
    replies: Sequence[Sequence[str]],
    *,
    tokens: int | None = None,
) -> Tensor:
    """log p(reply | prompt) in nats, (prompts, replies); every prompt has the same number of replies.

    With ``tokens`` only a reply's first ones count. A prompt is read once, and its keys and values are
    shared by its replies; only its last token is read with each, for it predicts their first.
    """
    each = len(replies[0])
    texts = prompt_texts(tokenizer, prompts)
    prompt_ids, prompt_mask = padded(tokenizer, texts, "left", model.device)
    said, said_mask = padded(tokenizer, [r for own in replies for r in own], "right", model.device)
    said, said_mask = said[:, :tokens], said_mask[:, :tokens]
    positions = (prompt_mask.cumsum(1) - 1).clamp(min=0)
    cache = model(
        prompt_ids[:, :-1], attention_mask=prompt_mask[:, :-1], position_ids=positions[:, :-1], use_cache=True
    ).past_key_values
    cache.batch_repeat_interleave(each)
    last, mask, ends = (
        t.repeat_interleave(each, 0) for t in (prompt_ids[:, -1:], prompt_mask, positions[:, -1:])
    )
    logits = model(
        torch.cat([last, said[:, :-1]], 1),
        attention_mask=torch.cat([mask, said_mask[:, :-1]], 1),
        position_ids=ends + torch.arange(said.shape[1], device=model.device),
        past_key_values=cache,
    ).logits.float()
    each_token = logits.gather(-1, said[..., None])[..., 0] - logits.logsumexp(-1)
    return (each_token * said_mask).sum(1).view(-1, each).cpu()


def log_likelihoods(
    model, tokenizer, prompts: Sequence[Messages], replies: Sequence[str], *, batch_size: int
) -> list[tuple[float, int]]:
    """(log p(reply | prompt) in nats, number of tokens of the reply) of each given reply, in their order."""
    scored = []
    for start in range(0, len(prompts), batch_size):
        some = slice(start, start + batch_size)
        log_probs = reply_log_probs(model, tokenizer, prompts[some], [[reply] for reply in replies[some]])
        lengths = [len(ids) for ids in tokenizer(replies[some], add_special_tokens=False)["input_ids"]]
        scored += zip(log_probs[:, 0].tolist(), lengths, strict=True)
    return scored


def prompt_texts(tokenizer, prompts: Sequence[Messages]) -> list[str]:
    """Each chat prompt as the text after which the reply begins."""
    return [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]


def padded(tokenizer, texts: Sequence[str], side: str, device) -> tuple[Tensor, Tensor]:
    """Token ids and mask, (texts, tokens), of texts that bring their special tokens, padded on one side."""
    batch = tokenizer(
        list(texts),
        add_special_tokens=False,
        padding=True,
        padding_side=side,
        return_tensors="pt",
        return_token_type_ids=False,
    ).to(device)
    return batch["input_ids"], batch["attention_mask"]
