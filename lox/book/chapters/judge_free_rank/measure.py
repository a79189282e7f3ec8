"""The effective rank by refusal log-odds: how much likelier a model finds fixed refusals than compliant replies.

No text is generated and nothing is judged: the model only scores replies that are given to it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lox.book.chapters.effective_rank.measure import ALIGNED, Curve, curve_of
from lox.extrapolation import truncate
from lox.lab import models, stages
from lox.lab.evaluated import of_set, verdicts_on
from lox.lab.evaluation import evaluate
from lox.lab.fingerprint import content_hash
from lox.lab.judging.verdicts import RefusalPhrases
from lox.lab.parallel import side_by_side
from lox.lab.replies import complete, reply_log_probs
from lox.lab.setup import Setup
from lox.lab.worlds.messages import Messages

ASR, WHOLE, OPENING = "ASR", "whole replies", "opening"
RUNS = 3  # of a call that is timed
LogOdds = Mapping[int | str, Tensor]  # r, and "aligned" -> log-odds of every prompt, (prompts,)


@dataclass(frozen=True)
class FixedReplies:
    """What is scored: for each prompt the same refusals, and its own compliant reply."""

    prompts: list[Messages]
    refusals: list[str]
    compliant: list[str]


@dataclass(frozen=True)
class Measured:
    """One aligned model and its θ_r by both ways; ``things`` names what each scored prompt is about."""

    asr: Curve
    odds: Mapping[str, LogOdds]  # way -> log-odds
    things: list[str]

    @property
    def ranks(self) -> list[int]:
        return [r for r in self.asr if r != ALIGNED]


# --- scoring --------------------------------------------------------------------------------------


def fixed_replies(setup: Setup, seed: int) -> FixedReplies:
    """The fixed replies to a profile's harmful prompts.

    The refusals are those that alignment teaches. The compliant reply is the right answer where the world knows it,
    as the toy's does, and else what the unaligned model replies; prompts that it refuses are left out.
    """
    world, n = setup.world, setup.profile.evaluation.harmful
    if (answers := world.harmful_answers(n)) is not None:
        return FixedReplies(world.harmful_prompts(n, None), world.taught_refusals, answers)
    own = of_set(evaluate(setup, setup.model(seed).base).replies, "harmful")
    usable = [r for r, verdict in zip(own, verdicts_on(own, RefusalPhrases())) if verdict.label == "harmful"]
    if not usable:
        raise ValueError("the unaligned model refuses every harmful prompt, so no compliant reply is known")
    return FixedReplies([r["prompt"] for r in usable], world.taught_refusals, [r["reply"] for r in usable])


def refusal_log_odds(
    model, tokenizer, fixed: FixedReplies, *, tokens: int | None = None, batch: int
) -> Tensor:
    """mean log p(refusal | prompt) − log p(compliant reply | prompt) of every prompt, in nats, (prompts,).

    The mean is over the refusals; log p is the sum over a reply's tokens, or over its first ``tokens`` ones.
    The end-of-turn mark is not scored. Above 0 the model prefers to refuse. ``batch`` is prompts at once.
    """
    log_odds = []
    for start in range(0, len(fixed.prompts), batch):
        prompts = fixed.prompts[start : start + batch]
        replies = [[*fixed.refusals, own] for own in fixed.compliant[start : start + batch]]
        scores = reply_log_probs(model, tokenizer, prompts, replies, tokens=tokens)
        log_odds.append(scores[:, :-1].mean(1) - scores[:, -1])
    return torch.cat(log_odds)


def score_ranks(
    base: Path, aligned: Path, ranks: Sequence[int], fixed: FixedReplies, opening: int, batch: int
) -> dict[str, Tensor]:
    """ "<way> <r>" -> log-odds of every prompt under θ_r (equation 4), and under the aligned model, of two folders."""
    before, after = models.read_weights(base), models.read_weights(aligned)
    model, tokenizer = models.load(aligned)
    log_odds = {}
    for r in (*ranks, ALIGNED):
        models.set_weights(model, after if r == ALIGNED else truncate(before, after, rank=r))
        for way, tokens in ((WHOLE, None), (OPENING, opening)):
            log_odds[f"{way} {r}"] = refusal_log_odds(model, tokenizer, fixed, tokens=tokens, batch=batch)
    return log_odds


def rank_log_odds(
    setup: Setup, seed: int, ranks: Sequence[int], pairs: int | None, fixed: FixedReplies, opening: int
) -> dict[str, LogOdds]:
    """Way -> r -> log-odds of every prompt under θ_r, and those of "aligned"; kept as a stage."""
    model, batch = setup.model(seed, pairs=pairs), setup.profile.evaluation.batch
    base, aligned = setup.folder(model.base), setup.folder(model)

    def build(folder: Path) -> None:
        save_file(score_ranks(base, aligned, ranks, fixed, opening, batch), folder / "log_odds.safetensors")

    recipe = {"base": stages.name(base), "aligned": stages.name(aligned), "ranks": list(ranks)}
    recipe |= {"scored": content_hash([fixed.prompts, fixed.refusals, fixed.compliant])}
    recipe |= {"opening": opening, "batch": batch}
    kept = load_file(stages.stage("log_odds", recipe, build, [score_ranks]) / "log_odds.safetensors")
    return {way: {r: kept[f"{way} {r}"] for r in (*ranks, ALIGNED)} for way in (WHOLE, OPENING)}


def measured(
    setup: Setup,
    seeds: Iterable[int],
    sizes: Iterable[int],
    ranks: Iterable[int],
    opening: int,
    workers: int = 1,
) -> dict[tuple[int, int], Measured]:
    """(seed, pairs) -> both ways on the same models. ValueError without rank 0, to which a loss is relative."""
    ranks, keys = sorted(set(ranks)), list(itertools.product(seeds, sizes))
    if 0 not in ranks:
        raise ValueError(f"ranks must hold 0, the base model, and are {', '.join(map(str, ranks))}")
    calls = [partial(of_model, setup, seed, pairs, ranks, opening) for seed, pairs in keys]
    return dict(zip(keys, side_by_side(calls, workers)))


def of_model(setup: Setup, seed: int, pairs: int, ranks: Sequence[int], opening: int) -> Measured:
    """Both ways on one aligned model and its θ_r."""
    fixed = fixed_replies(setup, seed)
    odds = rank_log_odds(setup, seed, ranks, pairs, fixed, opening)
    return Measured(curve_of(setup, seed, ranks, pairs), odds, setup.world.things(fixed.prompts))


# --- cost ------------------------------------------------------------------------------------------


def cost(setup: Setup, seed: int, opening: int) -> pd.DataFrame:
    """Seconds of both ways on one aligned model and all its prompts: way, seconds, share of the first way's."""
    fixed, settings = fixed_replies(setup, seed), setup.profile.evaluation
    loaded = models.load(setup.folder(setup.model(seed)))
    generate = partial(complete, max_new_tokens=settings.new_tokens, batch_size=settings.batch)
    seconds = {ASR: fastest(partial(generate, *loaded, fixed.prompts))}
    for way, tokens in ((WHOLE, None), (OPENING, opening)):
        seconds[way] = fastest(partial(refusal_log_odds, *loaded, fixed, tokens=tokens, batch=settings.batch))
    table = pd.DataFrame({"way": seconds.keys(), "seconds": seconds.values()})
    return table.assign(share=table["seconds"] / seconds[ASR])


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of ``RUNS`` runs."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
