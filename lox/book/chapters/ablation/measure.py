"""The ablation of k and α (paper, section 5): one SVD of each matrix serves every k and every α."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property

import pandas as pd
from torch import Tensor

from lox.effective_rank import read_curve
from lox.extrapolation import check_names, check_shapes, update
from lox.lab.setup import Evaluated, Setup
from lox.subspace import Rank, Subspace, check_rank, safety_subspace

WHOLE = 0.5  # share of what the aligned model can do, more than which a whole model still does


class Extrapolations:
    """W_aligned + α Proj_k(ΔW_align) (equation 3) of any k and α, from one SVD of each matrix.

    ``base`` and ``aligned`` are mappings name -> tensor; the result is that of ``lox.extrapolate``, to
    rounding. Raises ValueError as ``lox.extrapolate`` does for names, shapes and k.
    """

    def __init__(self, base: Mapping[str, Tensor], aligned: Mapping[str, Tensor]):
        check_names(base, aligned)
        for name in aligned:
            check_shapes(name, base[name], aligned[name])
        self.base, self.aligned = base, aligned

    @cached_property
    def subspaces(self) -> dict[str, Subspace]:
        """All singular triplets of every matrix of ΔW_align."""
        return {
            name: safety_subspace(update(self.base[name], weight), "full")
            for name, weight in self.aligned.items()
            if weight.ndim in (2, 3)
        }

    def weights(self, k: Rank, alpha: float) -> dict[str, Tensor]:
        """The extrapolated weights, name -> tensor; what is no matrix is the aligned model's."""
        check_rank(k)
        moved = {name: t.clone() for name, t in self.aligned.items()}
        for name, full in self.subspaces.items():
            top = slice(None) if k == "full" else slice(k)
            projected = Subspace(
                full.U[..., top], full.S[..., top], full.Vh[..., top, :], full.error
            ).matrix()
            moved[name] = (moved[name].to(projected.dtype) + alpha * projected).to(moved[name].dtype)
        return moved


def ranks_of_choice(setup: Setup, choice: str, seeds: Iterable[int], ranks: Iterable[int]) -> dict[int, Rank]:
    """Seed -> k, for a choice of k in words: a number ("6"), a share ("6 of 4096"), "full", "effective rank".

    The effective rank, one of ``ranks``, is each seed's own. Raises ValueError for other words.
    """
    if choice == "effective rank":
        return {seed: effective_rank_of(setup, seed, ranks) for seed in seeds}
    if choice == "full":
        k = "full"
    elif choice.isdigit():
        k = int(choice)
    elif share := re.fullmatch(r"(\d+) of (\d+)", choice):
        k = share_of_width(setup, *map(int, share.groups()))
    else:
        raise ValueError(
            f'k is a number, a share like "6 of 4096", "full" or "effective rank", not {choice!r}'
        )
    return dict.fromkeys(seeds, k)


def share_of_width(setup: Setup, k: int, of: int) -> int:
    """The k that spans this model's width as ``k`` spans the width ``of``, at least 1.

    Width is the largest min(m, n) of a matrix, as 4096 is LLaMA-2-7B's.
    """
    width = max(min(w.shape) for w in setup.weights("base").values() if w.ndim == 2)
    return max(1, round(k * width / of))


def effective_rank_of(setup: Setup, seed: int, ranks: Iterable[int]) -> int:
    """The smallest r of ``ranks`` that satisfies equation 4 on the profile's prompts with its ρ.

    Ranks are tried upwards and no further than needed. Raises ValueError if none satisfies it.
    """
    aligned = setup.evaluate(setup.folder("aligned", seed=seed)).asr.value
    for r in sorted(ranks):
        curve = {r: setup.rank_curve(seed, [r])[r].asr.value}
        if read_curve(curve, aligned, setup.profile.lox.rho).rank is not None:
            return r
    raise ValueError(f"seed {seed}: no rank of {sorted(ranks)} is the effective one; give larger ranks")


def until_broken(
    setup: Setup, models: Mapping[int, Extrapolations], ks: Mapping[int, Rank], alphas: Iterable[float]
) -> dict[float, dict[int, Evaluated]]:
    """α -> seed -> how W_aligned + α Proj_k(ΔW_align) does, from α = 0 up to where every seed's is broken.

    ``models`` and ``ks`` are each seed's extrapolations and k; ``alphas`` above 0 are tried upwards.
    Nothing is trained.
    """
    start = {seed: setup.evaluate(setup.folder("aligned", seed=seed)) for seed in models}
    found = {0.0: start}
    for alpha in sorted(alphas):
        found[alpha] = {seed: _evaluate(setup, seed, models[seed], ks[seed], alpha) for seed in models}
        if not any(is_whole(found[alpha][seed], start[seed]) for seed in models):
            break
    return found


def _evaluate(setup: Setup, seed: int, models: Extrapolations, k: Rank, alpha: float) -> Evaluated:
    base, aligned = setup.folder("base"), setup.folder("aligned", seed=seed)
    recipe = {"base": base.name, "aligned": aligned.name, "k": k, "alpha": alpha}
    return setup.evaluate_weights(recipe, aligned, lambda: models.weights(k, alpha))


def extrapolations(setup: Setup, seed: int) -> Extrapolations:
    """Those of a seed's base and aligned model."""
    return Extrapolations(setup.weights("base"), setup.weights("aligned", seed=seed))


def is_whole(found: Evaluated, start: Evaluated) -> bool:
    """Whether a model still answers more than half the harmless questions, and solves more than half the
    problems, that ``start`` does: one that refuses or garbles more is broken, however low its ASR."""
    return found.helpful.value > WHOLE * start.helpful.value and found.utility > WHOLE * start.utility


def answered(found: Evaluated) -> list[bool]:
    """Of each harmless question whether it is answered, neither refused nor garbled."""
    return [v.label in ("harmful", "harmless") for v in found.benign]


def breaking_points(before: pd.DataFrame) -> pd.DataFrame:
    """The first α at which a model is broken, a row for each choice of k and seed; NaN if at none.

    ``before`` has columns choice, seed, k, alpha and whole.
    """
    first = before[~before["whole"]].groupby(["choice", "seed"])["alpha"].min()
    models = before[["choice", "seed", "k"]].drop_duplicates().reset_index(drop=True)
    return models.assign(
        breaks_at=[first.get((m["choice"], m["seed"])) for _, m in models.iterrows()]
    ).astype({"breaks_at": float})
