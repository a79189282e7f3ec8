"""Energies before and after fine-tuning (equations 1 and 2), and how far the two updates interact."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import lox
from lox.energy import energy_share, nonzero_norm
from lox.lab import spectra
from lox.lab.model import Model
from lox.lab.parallel import side_by_side
from lox.lab.setup import Setup
from lox.lab.statistics import mean_of_seeds
from lox.subspace import Rank, frobenius_norm, project

MEASURES = ["r_align", "r_ft", "ratio", "r_new", "predicted", "chance", "cos_inside", "cos_outside"]
NEGLIGIBLE = 1e-6  # of the product of two updates' lengths: what is left of it then is rounding
POINTS = 40  # shares of the directions at which a profile is read
SHAPES = ((64, 64), (256, 64), (256, 256), (256, 1024))
DRAWS = 20


def energies(
    setup: Setup, seeds: Iterable[int], tasks: Iterable[str], k: Rank, workers: int = 1
) -> pd.DataFrame:
    """Energies of every linear layer, seed and task without a defence: the columns of ``of_model``, and those two."""
    models = [setup.model(seed, task) for seed in seeds for task in tasks]
    tables = side_by_side([partial(of_model, setup, model, k) for model in models], workers)
    return pd.concat(
        [table.assign(seed=model.seed, task=model.task) for model, table in zip(models, tables)],
        ignore_index=True,
    )


def of_model(setup: Setup, model: Model, k: Rank) -> pd.DataFrame:
    """``energies_of`` for every linear layer of a fine-tuned model that alignment changed, with its label."""
    folders = (setup.folder(m) for m in (model.base, model.aligned, model))
    return pd.DataFrame(
        label | energies_of(delta_align, delta_total - delta_align, k)
        for label, delta_align, delta_total in spectra.updates(*folders)
    )


def energies_of(delta_align: Tensor, delta_ft: Tensor, k: Rank) -> dict[str, float]:
    """Lengths, shares and angles of ΔW_align and ΔW_ft, both (m, n); ValueError where ΔW_align or their sum is zero.

    norm_align, norm_ft; r_align, r_ft, ratio; r_new, the share of ΔW_ft alone in the safety subspace; predicted,
    the R_ft of two updates that do not interact; chance = √(k/m); cos_inside and cos_outside, the cosine of the
    angle between the two updates inside the subspace and in its complement, below 0 where they oppose each other.
    """
    subspace = lox.safety_subspace(delta_align, k)
    parts = [project(subspace, delta) for delta in (delta_align, delta_ft)]
    rests = [delta - part for delta, part in zip((delta_align, delta_ft), parts)]
    norm_align, norm_ft = nonzero_norm(delta_align), frobenius_norm(delta_ft)
    r_align, r_ft = (energy_share(subspace, m) for m in (delta_align, delta_align + delta_ft))
    r_new = energy_share(subspace, delta_ft) if norm_ft else 0.0
    inside = (norm_align * r_align) ** 2 + (norm_ft * r_new) ** 2
    return {
        "norm_align": float(norm_align),
        "r_align": r_align,
        "norm_ft": float(norm_ft),
        "r_ft": r_ft,
        "ratio": r_ft / r_align,
        "r_new": r_new,
        "predicted": float((inside / (norm_align**2 + norm_ft**2)).sqrt()),
        "chance": (subspace.k / delta_align.shape[0]) ** 0.5,
        "cos_inside": cosine(*parts, negligible=NEGLIGIBLE * norm_align * norm_ft),
        "cos_outside": cosine(*rests, negligible=NEGLIGIBLE * norm_align * norm_ft),
    }


def cosine(one: Tensor, other: Tensor, negligible: float | Tensor = 0.0) -> float:
    """⟨A, B⟩ / (‖A‖ ‖B‖) of two matrices (m, n); 0 where the product of their lengths is ``negligible`` or less."""
    lengths = frobenius_norm(one) * frobenius_norm(other)
    return float((one.double() * other.double()).sum() / lengths) if lengths > negligible else 0.0


def seed_means(table: pd.DataFrame) -> pd.DataFrame:
    """Unweighted means over matrices, as in the paper's code, for every task and seed: ``MEASURES``."""
    return table.groupby(["task", "seed"], sort=False)[MEASURES].mean().reset_index()


def summary(means: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of every measure after every task: columns task, measure, mean, low, high, seeds."""
    return pd.DataFrame(
        {"task": task, "measure": measure} | mean_of_seeds(group[measure]).columns("mean")
        for task, group in means.groupby("task", sort=False)
        for measure in MEASURES
    )


def profiles(
    setup: Setup, seeds: Iterable[int], task: str, layers: Iterable[int] | None = None
) -> pd.DataFrame:
    """R before and after a task over the share of a matrix's directions, the mean over matrices of each seed.

    Columns share = k / min(m, n), r_align, r_ft, seed. A full SVD for every matrix of ``layers``, None for all.
    """
    return pd.concat(
        (profile_of(setup, setup.model(seed, task), layers).assign(seed=seed) for seed in seeds),
        ignore_index=True,
    )


def profile_of(setup: Setup, model: Model, layers: Iterable[int] | None = None) -> pd.DataFrame:
    """The same of one model. Raises ValueError where it has none of the layers."""
    folders = (setup.folder(m) for m in (model.base, model.aligned, model))
    per_matrix = [
        (lox.energy_profile(delta_align, delta_align), lox.energy_profile(delta_align, delta_total))
        for label, delta_align, delta_total in spectra.updates(*folders)
        if layers is None or label["layer"] in layers
    ]
    if not per_matrix:
        raise ValueError(f"there is no matrix that alignment changed in the layers {layers}")
    smallest = min(len(before) for before, _ in per_matrix)
    shares = np.unique(np.geomspace(1, smallest, POINTS).round()) / smallest
    means = [
        torch.stack([profile[places_of(shares, len(profile))] for profile in side]).mean(0)
        for side in zip(*per_matrix)
    ]
    return pd.DataFrame({"share": shares, "r_align": means[0].numpy(), "r_ft": means[1].numpy()})


def places_of(shares: np.ndarray, full: int) -> list[int]:
    """The places in a profile of length ``full`` that stand for these shares of the directions."""
    return [spectra.rank_at(share, full, full) - 1 for share in shares]


def random_shares(k: int) -> pd.DataFrame:
    """R of matrices of independent normal numbers in a fixed other subspace and in their own, from ``DRAWS`` draws.

    Columns shape, chance = √(k/m), other (mean) and other_sd, own (mean), bound = √(k/min(m, n)).
    """
    generator = torch.Generator().manual_seed(0)
    rows = []
    for m, n in SHAPES:
        other = lox.safety_subspace(torch.randn(m, n, generator=generator), k)
        draws = [torch.randn(m, n, generator=generator) for _ in range(DRAWS)]
        foreign = np.array([energy_share(other, draw) for draw in draws])
        own = np.mean([lox.r_align(draw, k) for draw in draws])
        measured = {"other": foreign.mean(), "other_sd": foreign.std(ddof=1), "own": own}
        rows.append(
            {"shape": f"{m} × {n}", "chance": (k / m) ** 0.5} | measured | {"bound": (k / min(m, n)) ** 0.5}
        )
    return pd.DataFrame(rows)
