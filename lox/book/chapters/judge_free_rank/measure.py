"""Refusal log-odds: how much likelier a model finds fixed refusals than fixed compliant replies.

No text is generated and nothing is judged: the model only scores replies that are given to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lox.extrapolation import truncate
from lox.lab import evaluation, models
from lox.lab.judging.verdicts import RefusalPhrases
from lox.lab.setup import Setup, read_weights
from lox.lab.stages import content_hash, stage
from lox.lab.worlds.phrases import prompt_file
from lox.lab.worlds.toy import Messages, ToyWorld

RESAMPLES = 1000


@dataclass(frozen=True)
class FixedReplies:
    """What is scored: for each prompt the same refusals, and its own compliant reply."""

    prompts: list[Messages]
    refusals: list[str]
    compliant: list[str]


def fixed_replies(setup: Setup) -> FixedReplies:
    """The fixed replies to a profile's harmful prompts.

    In the toy world the compliant reply is the right answer, which the world knows. On real data it is what
    the unaligned model replies, generated once for all models; prompts that it refuses are left out.
    """
    prompts = setup.source.harmful_prompts(setup.profile.evaluation.harmful)
    if isinstance(setup.source, ToyWorld):
        questions = setup.source.questions("dangerous", len(prompts))
        answers = [setup.source.answer(question) for question in questions]
        return FixedReplies(prompts, setup.source.templates["refusals"], answers)
    own = setup.own_replies(prompts)
    usable = [v.label == "harmful" for v in RefusalPhrases()(prompts, own)]
    kept = [(p, o) for p, o, good in zip(prompts, own, usable) if good]
    if not kept:
        raise ValueError("the unaligned model refuses every harmful prompt, so no compliant reply is known")
    return FixedReplies([p for p, _ in kept], prompt_file("refusals.yaml"), [o for _, o in kept])


def refusal_log_odds(
    model, tokenizer, fixed: FixedReplies, *, tokens: int | None = None, batch: int
) -> Tensor:
    """mean log p(refusal | prompt) − log p(compliant reply | prompt) of every prompt, in nats, (prompts,).

    The mean is over the refusals; log p is the sum over a reply's tokens, or over its first ``tokens`` ones.
    The end-of-turn mark is not scored. Above 0 the model prefers to refuse. ``batch`` is prompts at once.
    """
    found = []
    for start in range(0, len(fixed.prompts), batch):
        prompts = fixed.prompts[start : start + batch]
        replies = [[*fixed.refusals, own] for own in fixed.compliant[start : start + batch]]
        scores = evaluation.reply_log_probs(model, tokenizer, prompts, replies, tokens=tokens)
        found.append(scores[:, :-1].mean(1) - scores[:, -1])
    return torch.cat(found)


def rank_log_odds(
    setup: Setup, seed: int, ranks: Sequence[int], pairs: int | None = None, *, tokens: int | None = None
) -> dict[int | str, Tensor]:
    """r -> refusal log-odds of every prompt under θ_r (equation 4), and those of "aligned"; kept on disk."""
    base, aligned = setup.folder("base"), setup.folder("aligned", seed=seed, pairs=pairs)
    fixed = fixed_replies(setup)

    def build(folder: Path) -> None:
        weights = {"base": read_weights(base), "aligned": read_weights(aligned)}
        model, tokenizer = models.load(aligned)
        found = {}
        for r in (*ranks, "aligned"):
            made = weights["aligned"] if r == "aligned" else truncate(**weights, rank=r)
            model.load_state_dict(made)
            found[str(r)] = refusal_log_odds(
                model, tokenizer, fixed, tokens=tokens, batch=setup.profile.evaluation.batch
            )
        save_file(found, folder / "log_odds.safetensors")

    recipe = {"base": base.name, "aligned": aligned.name, "ranks": list(ranks), "tokens": tokens}
    recipe["scored"] = content_hash([fixed.prompts, fixed.refusals, fixed.compliant])
    found = load_file(stage("log_odds", recipe, build, refusal_log_odds) / "log_odds.safetensors")
    return {r: found[str(r)] for r in (*ranks, "aligned")}


def lost_share(log_odds: Mapping[int | str, Tensor]) -> dict[int, float]:
    """r -> the share of the base-to-aligned shift of the mean log-odds that θ_r lacks: 1 at r = 0.

    ``log_odds`` maps ranks, 0 among them, and "aligned" to one value a prompt. Below 0 where θ_r refuses
    more than the aligned model; NaN, so that no r passes, if alignment did not raise the log-odds at all.
    """
    mean = {r: float(values.double().mean()) for r, values in log_odds.items()}
    shift = mean["aligned"] - mean[0]
    shift = shift if shift > 0 else math.nan
    return {r: (mean["aligned"] - value) / shift for r, value in mean.items() if r != "aligned"}


def resampled_ranks(
    curve: Mapping[int, Sequence | np.ndarray | Tensor],
    passes: Callable[[np.ndarray], np.ndarray],
    *,
    prompts: int | None = None,
) -> np.ndarray:
    """The effective rank in bootstrap resamples of the prompts, (RESAMPLES,); inf where no r passes.

    ``curve`` maps each r to one value a prompt; ``passes`` takes the means (resamples, ranks) in rising
    order of r to booleans of that shape. ``prompts`` is how many are drawn, all unless given.
    """
    ranks = sorted(curve)
    values = np.array([curve[r] for r in ranks], float)
    n = values.shape[1]
    drawn = np.random.default_rng(0).integers(n, size=(RESAMPLES, prompts or n))
    passed = passes(values[:, drawn].mean(axis=2).T)
    return np.where(passed.any(axis=1), np.array(ranks, float)[passed.argmax(axis=1)], np.inf)
