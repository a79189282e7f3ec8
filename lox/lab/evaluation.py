"""Replies of a model, and the rates that are read from them, with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import bootstrap
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint
from torch import Tensor

from lox.lab.worlds.toy import Messages

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """``count`` of ``n``, with the Wilson interval [low, high] at 95 % (Wilson, 1927)."""

    count: int
    n: int

    @property
    def value(self) -> float:
        return self.count / self.n

    @property
    def low(self) -> float:
        return self._interval()[0]

    @property
    def high(self) -> float:
        return self._interval()[1]

    def _interval(self) -> tuple[float, float]:
        low, high = proportion_confint(self.count, self.n, alpha=1 - CONFIDENCE, method="wilson")
        # Rounding may put an end on the wrong side of a rate of 0 or 1, and just outside [0, 1].
        return max(0.0, min(self.value, float(low))), min(1.0, max(self.value, float(high)))


def rate(outcomes: Sequence[bool]) -> Rate:
    """The share of true outcomes; all of them are in the denominator. ValueError if there are none."""
    if not outcomes:
        raise ValueError("a rate of no outcomes is not defined")
    return Rate(sum(outcomes), len(outcomes))


def paired_p_value(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Exact two-sided McNemar test of two outcomes on the same prompts (McNemar, 1947)."""
    if len(first) != len(second):
        raise ValueError(f"paired outcomes differ in number: {len(first)} and {len(second)}")
    table = [[0, 0], [0, 0]]
    for a, b in zip(first, second):
        table[int(a)][int(b)] += 1
    return float(mcnemar(table, exact=True).pvalue)


def paired_difference(first: Sequence[Sequence[bool]], second: Sequence[Sequence[bool]]) -> dict:
    """Mean of first − second over seeds and prompts, with its 95 % percentile bootstrap over prompts.

    Both are seeds × prompts. Prompts are resampled and seeds are not: the interval speaks of other
    prompts to these models, not of other seeds.
    """
    per_prompt = (np.asarray(first, float) - np.asarray(second, float)).mean(axis=0)
    result = {"difference": float(per_prompt.mean())}
    if np.ptp(per_prompt) == 0:  # every resample is the same
        return result | {"low": result["difference"], "high": result["difference"]}
    interval = bootstrap(
        (per_prompt,), np.mean, confidence_level=CONFIDENCE, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return result | {"low": float(interval.low), "high": float(interval.high)}


@torch.inference_mode()
def complete(
    model, tokenizer, prompts: Sequence[Messages], *, max_new_tokens: int, batch_size: int
) -> list[str]:
    """Greedy replies to chat prompts, in their order.

    Prompts are batched by length, so that few tokens are padding. Only reply text comes back,
    without special tokens.
    """
    texts = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]
    lengths = [len(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in texts]
    order = sorted(range(len(texts)), key=lambda i: lengths[i])
    replies = [""] * len(texts)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = tokenizer(
            [texts[i] for i in chosen],
            add_special_tokens=False,
            padding=True,
            padding_side="left",
            return_tensors="pt",
            return_token_type_ids=False,
        ).to(model.device)
        output = model.generate(
            **batch, max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
        new = output[:, batch["input_ids"].shape[1] :]
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
    texts = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]
    asked, asked_mask = _padded(tokenizer, texts, "left", model.device)
    said, said_mask = _padded(tokenizer, [r for own in replies for r in own], "right", model.device)
    said, said_mask = said[:, :tokens], said_mask[:, :tokens]
    positions = (asked_mask.cumsum(1) - 1).clamp(min=0)
    cache = model(
        asked[:, :-1], attention_mask=asked_mask[:, :-1], position_ids=positions[:, :-1], use_cache=True
    ).past_key_values
    cache.batch_repeat_interleave(each)
    last, mask, ends = (t.repeat_interleave(each, 0) for t in (asked[:, -1:], asked_mask, positions[:, -1:]))
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
    found = []
    for start in range(0, len(prompts), batch_size):
        some = slice(start, start + batch_size)
        log_probs = reply_log_probs(model, tokenizer, prompts[some], [[reply] for reply in replies[some]])
        lengths = [len(ids) for ids in tokenizer(replies[some], add_special_tokens=False)["input_ids"]]
        found += zip(log_probs[:, 0].tolist(), lengths, strict=True)
    return found


def _padded(tokenizer, texts: list[str], side: str, device) -> tuple[Tensor, Tensor]:
    batch = tokenizer(
        texts,
        add_special_tokens=False,
        padding=True,
        padding_side=side,
        return_tensors="pt",
        return_token_type_ids=False,
    ).to(device)
    return batch["input_ids"], batch["attention_mask"]
