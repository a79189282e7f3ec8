"""Choices of k in words, and which k each of them is for every seed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from lox.effective_rank import read_curve
from lox.lab.evaluation import evaluate, rank_curve
from lox.lab.setup import Setup
from lox.subspace import Rank

FULL = "full"

Ranks = Mapping[str, Mapping[int, Rank]]  # choice of k in words -> seed -> k


def ranks_of(setup: Setup, choices: Iterable[str], seeds: Sequence[int], ranks: Iterable[int]) -> Ranks:
    """``ranks_of_choice`` of several choices; ValueError where "full", which all are compared with, is none."""
    if FULL not in choices:
        raise ValueError(f"the choices of k are compared with {FULL!r}: name it among them")
    return {choice: ranks_of_choice(setup, choice, seeds, ranks) for choice in choices}


def ranks_of_choice(setup: Setup, choice: str, seeds: Sequence[int], ranks: Iterable[int]) -> dict[int, Rank]:
    """Seed -> k, for a choice of k in words: a number ("6"), a share ("6 of 4096"), "full", "effective rank".

    The effective rank, one of ``ranks``, is each seed's own. Raises ValueError for other words.
    """
    if choice == "effective rank":
        return {seed: effective_rank_of(setup, seed, ranks) for seed in seeds}
    if choice == FULL:
        k = FULL
    elif choice.isdigit():
        k = int(choice)
    elif share := re.fullmatch(r"(\d+) of (\d+)", choice):
        k = share_of_width(setup, seeds[0], *map(int, share.groups()))
    else:
        raise ValueError(
            f'k is a number, a share like "6 of 4096", "full" or "effective rank", not {choice!r}'
        )
    return dict.fromkeys(seeds, k)


def share_of_width(setup: Setup, seed: int, k: int, of: int) -> int:
    """The k that spans this model's width as ``k`` spans the width ``of``, at least 1.

    Width is the largest min(m, n) of a matrix, as 4096 is LLaMA-2-7B's; every seed has the same.
    """
    weights = setup.weights(setup.model(seed).base)
    width = max(min(w.shape) for w in weights.values() if w.ndim == 2)
    return max(1, round(k * width / of))


def effective_rank_of(setup: Setup, seed: int, ranks: Iterable[int]) -> int:
    """The smallest r of ``ranks`` that satisfies equation 4 on the profile's prompts with its ρ.

    Ranks are tried upwards and no further than needed. Raises ValueError if none satisfies it.
    """
    aligned = evaluate(setup, setup.model(seed)).asr.value
    for r in sorted(ranks):
        curve = {r: rank_curve(setup, seed, [r])[r].asr.value}
        if read_curve(curve, aligned, setup.profile.lox.rho).rank is not None:
            return r
    raise ValueError(f"seed {seed}: no rank of {sorted(ranks)} is the effective one; give larger ranks")
