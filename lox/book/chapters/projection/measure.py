"""What a few directions of an update hold, and how fast and how exactly they are found."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pandas as pd
import torch
from torch import Tensor

import lox
from lox.lab import spectra
from lox.lab.setup import Setup

T = TypeVar("T")
RANDOM = "random"  # the kind under which random matrices stand in a table of spectra


def spectra_of(setup: Setup, seed: int) -> pd.DataFrame:
    """Spectra of one aligned model's update, and of a random matrix of the shape of each of its matrices.

    The columns of ``lox.lab.spectra.spectra``; the random matrices have the kind "random".
    """
    model = setup.model(seed)
    folders = setup.folder(model.base), setup.folder(model)
    random = spectra.spectra(spectra.random_updates(spectra.updates(*folders), seed))
    return pd.concat(
        [spectra.spectra(spectra.updates(*folders)), random.assign(kind=RANDOM)], ignore_index=True
    )


def matrices(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """What Proj_k keeps of every matrix of a table of ``spectra_of``, without the random ones.

    Columns name, kind, r_align; energy = R²; numbers, the share k (m + n) / (m n) of numbers that it takes to write
    Proj_k down, at most 1; random, the R of the random matrix of the same shape.
    """
    is_random = table["kind"] == RANDOM
    own, random = (spectra.concentration(table[chosen], k) for chosen in (~is_random, is_random))
    numbers = k * (own["rows"] + own["cols"]) / (own["rows"] * own["cols"])
    described = own[["name", "kind"]].assign(
        r_align=own["r"], energy=own["r"] ** 2, numbers=numbers.clip(upper=1)
    )
    return described.merge(random[["name", "r"]].rename(columns={"r": "random"}), on="name")


def means_by_kind(by_matrix: pd.DataFrame) -> pd.DataFrame:
    """Means of ``matrices`` by kind of matrix."""
    return by_matrix.drop(columns="name").groupby("kind", sort=False).mean().reset_index()


def timing(k: int, size: int) -> pd.DataFrame:
    """``lox.safety_subspace`` against a full SVD on three (size, size) matrices, a row each.

    Columns spectrum; seconds; full, the full SVD's seconds; faster = full / seconds; certified, ``Subspace.error``; and
    measured, the relative error of ‖Proj_k(ΔW)‖.
    """
    return pd.DataFrame({"spectrum": name} | _timed(matrix, k) for name, matrix in with_spectra(size).items())


def with_spectra(size: int) -> dict[str, Tensor]:
    """Square matrices with singular values 1/i and 1/√i, and one of random numbers."""
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(size, size, generator=generator) for _ in range(3)]
    left, right = (torch.linalg.qr(draw).Q for draw in draws[:2])
    i = torch.arange(1, size + 1)
    return {"1 / i": left / i @ right.mT, "1 / √i": left / i.sqrt() @ right.mT, "random numbers": draws[2]}


def _timed(matrix: Tensor, k: int) -> dict:
    subspace, seconds = timed(lambda: lox.safety_subspace(matrix, k))
    exact, full = timed(lambda: torch.linalg.svd(matrix, full_matrices=False))
    measured = abs(subspace.S.norm() / exact.S[:k].norm() - 1).item()
    return {"seconds": seconds, "full": full, "faster": full / seconds} | {
        "certified": subspace.error,
        "measured": measured,
    }


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """A call's result and the seconds that it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
