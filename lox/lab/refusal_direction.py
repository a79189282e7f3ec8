"""Taking refusal's direction out of a model's weights (Arditi et al., 2024), which needs no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from lox.checkpoints.pair import EMBEDDINGS, kind
from lox.lab import models
from lox.lab.replies import padded, prompt_texts
from lox.lab.worlds.messages import Messages

WRITERS = {"o_proj", "down_proj"}  # matrices (d, n) that write into the residual stream
EARLY = 0.8  # the share of the layers between which a direction is looked for
SCORED = 5  # every fifth prompt scores the directions, the others make them
CHANGE = 0.1  # nats, the most by which harmless replies may change


class Score(NamedTuple):
    """What taking a direction out does to the first token of replies.

    ``change`` is the mean Kullback-Leibler divergence, in nats, from its distribution on harmless prompts before,
    ``refusal`` the mean log-probability that a refusal begins on harmful ones.
    """

    change: float
    refusal: float


def without_refusal(
    published: Path, harmful: list[Messages], harmless: list[Messages], refusals: list[str]
) -> Mapping[str, Tensor]:
    """The published weights that cannot write along the direction of refusal.

    The direction is the ``best`` of the ``directions``, scored on every fifth prompt; the others make them.
    ``refusals`` are replies whose first tokens begin one.
    """
    network, tokenizer = models.load(published)
    weights = models.read_weights(published)
    made = [[p for i, p in enumerate(prompts) if i % SCORED] for prompts in (harmful, harmless)]
    candidates = directions(network, tokenizer, *made)
    first = sorted({tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in refusals})
    before = first_token(network, tokenizer, harmless[::SCORED])
    scores = []
    for direction in candidates:
        models.set_weights(network, ablated(weights, direction))
        after = first_token(network, tokenizer, harmless[::SCORED])
        refused = first_token(network, tokenizer, harmful[::SCORED])[:, first].logsumexp(-1)
        change = kl_div(after, before, reduction="batchmean", log_target=True)
        scores.append(Score(float(change), float(refused.mean())))
    return ablated(weights, candidates[best(scores)])


def best(scores: Sequence[Score]) -> int:
    """The place of the direction without which a refusal is least likely.

    It is looked for among those that change harmless replies by at most ``CHANGE``; where all change them more, it is
    the one that changes them least.
    """
    limit = max(CHANGE, min(score.change for score in scores))
    allowed = [i for i, score in enumerate(scores) if score.change <= limit]
    return min(allowed, key=lambda i: scores[i].refusal)


@torch.no_grad()
def directions(network, tokenizer, harmful: list[Messages], harmless: list[Messages]) -> Tensor:
    """Candidates (n, d): by how much activations on harmful prompts differ on average from those on harmless ones.

    There is one between every two layers of the first four fifths, n of them, at the last token of a prompt.
    ValueError for a model of a single layer.
    """
    layers = len(network.model.layers)
    if layers < 2:
        raise ValueError("refusal's direction is looked for between two layers: the model has one")
    means = []
    for prompts in (harmful, harmless):
        ids, mask = padded(tokenizer, prompt_texts(tokenizer, prompts), "left", network.device)
        handed = network(ids, attention_mask=mask, output_hidden_states=True, logits_to_keep=1).hidden_states
        # The first is what the embedding hands on, at the template's last token the same for all prompts
        means.append(torch.stack([hidden[:, -1].mean(0) for hidden in handed[1 : ceil(EARLY * layers)]]))
    return means[0] - means[1]


def ablated(weights: Mapping[str, Tensor], direction: Tensor) -> dict[str, Tensor]:
    """Weights of which none writes along ``direction`` (d,) into the residual stream.

    An embedding (V, d) loses it from its rows, W − W r rᵀ, the writers of attention and MLP, (d, n), from
    their columns, W − r rᵀ W.
    """
    changed = dict(weights)
    for name, weight in weights.items():
        r = (direction / torch.linalg.vector_norm(direction)).to(weight)
        if kind(name) in EMBEDDINGS:
            changed[name] = weight - torch.outer(weight @ r, r)
        elif kind(name) in WRITERS:
            changed[name] = weight - torch.outer(r, r @ weight)
    return changed


@torch.no_grad()
def first_token(network, tokenizer, prompts: list[Messages]) -> Tensor:
    """Log-probabilities (prompts, V) of the first token of the replies."""
    ids, mask = padded(tokenizer, prompt_texts(tokenizer, prompts), "left", network.device)
    return network(ids, attention_mask=mask, logits_to_keep=1).logits[:, -1].log_softmax(-1)
