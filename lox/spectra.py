"""Spectra of weight updates: how concentrated an update is, against chance and against another update."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from lox.checkpoint import Checkpoint
from lox.checkpoint_pair import shared_matrices
from lox.energy import energy_profile, nonzero_norm
from lox.extrapolation import update
from lox.subspace import as_finite_matrix


def spectrum(delta: Tensor) -> Tensor:
    """s_i / ‖ΔW‖ of an update (m, n), descending, (min(m, n),) in float64; the squares sum to 1.

    Raises ValueError for NaN, Inf and an update of zero, which has no directions.
    """
    delta = as_finite_matrix(delta, "delta").double()
    return torch.linalg.svdvals(delta) / nonzero_norm(delta)


def updates(start: Path | str, *ends: Path | str) -> Iterator[tuple[dict, *tuple[Tensor, ...]]]:
    """For every linear layer its label (name, layer, kind, rows, cols) and W_end − W_start of each end.

    Folders or Hub ids. Matrices that are the same at the first end as at the start are left out. Raises
    ValueError, as ``shared_matrices`` does, where the checkpoints do not fit together.
    """
    roles = ["start", "end"] if len(ends) == 1 else ["start", *(f"end {i + 1}" for i in range(len(ends)))]
    checkpoints = {role: Checkpoint.open(source) for role, source in zip(roles, (start, *ends))}
    for matrix in shared_matrices(checkpoints, "linear"):
        deltas = [update(matrix.read(0), matrix.read(1 + i)) for i in range(len(ends))]
        if deltas[0].any():
            yield matrix.label(), *deltas


def random_updates(like: Iterable[tuple[dict, Tensor]], seed: int) -> Iterator[tuple[dict, Tensor]]:
    """For every update a matrix of independent normal numbers of the same shape and norm."""
    generator = torch.Generator().manual_seed(seed)
    for label, delta in like:
        draw = torch.randn(delta.shape, generator=generator, dtype=torch.float64)
        yield label, draw * (torch.linalg.matrix_norm(delta.double()) / torch.linalg.matrix_norm(draw))


def spectra(labelled: Iterable[tuple[dict, Tensor]]) -> pd.DataFrame:
    """Spectra of labelled updates, a row for each matrix and i = 1 … min(m, n).

    Columns: the label's, norm = ‖ΔW‖, i, share = s_i / ‖ΔW‖, and r = ‖Proj_i(ΔW)‖ / ‖ΔW‖ with the
    update's own top i directions (equation 1 with k = i).
    """
    tables = []
    for label, delta in labelled:
        share = spectrum(delta)
        columns = {"i": range(1, len(share) + 1), "share": share, "r": _energy(share)}
        tables.append(pd.DataFrame(label | {"norm": float(nonzero_norm(delta))} | columns))
    return pd.concat(tables, ignore_index=True)


def concentration(table: pd.DataFrame, k: int) -> pd.DataFrame:
    """Of every matrix in a table of ``spectra``: norm, stable rank, R in its own top k directions.

    The stable rank is ‖ΔW‖² / s_1² = 1 / R_1²: between 1 (one direction) and the rank (all alike).
    """
    label = ["name", "layer", "kind", "rows", "cols", "norm"]
    first = table[table["i"] == 1].set_index(label)
    own = table[table["i"] == table[["rows", "cols"]].min(axis=1).clip(upper=k)].set_index(label)
    return pd.DataFrame({"stable_rank": first["share"] ** -2, "r": own["r"]}).reset_index()


def surviving(
    base: Path | str, aligned: Path | str, finetuned: Path | str, shares: Iterable[float]
) -> pd.DataFrame:
    """R_align and R_ft (equations 1, 2) of every linear layer, at k = ⌈share · min(m, n)⌉ of each share.

    Columns: the label's, share, k, r_align, r_ft and ratio = r_ft / r_align. One full SVD a matrix.
    """
    rows = []
    for label, delta_align, delta_total in updates(base, aligned, finetuned):
        before, after = _energy(spectrum(delta_align)), energy_profile(delta_align, delta_total)
        for share in shares:
            k = rank_at(share, label["rows"], label["cols"])
            energies = {"r_align": float(before[k - 1]), "r_ft": float(after[k - 1])}
            rows.append(label | {"share": share, "k": k} | energies)
    table = pd.DataFrame(rows)
    return table.assign(ratio=table["r_ft"] / table["r_align"])


def rank_at(share: float, rows: int, cols: int) -> int:
    """⌈share · min(rows, cols)⌉: the k that is this share of a matrix's directions, rounded up."""
    if not 0 < share <= 1:
        raise ValueError(f"a share of the directions lies above 0 and up to 1, not at {share!r}")
    return math.ceil(share * min(rows, cols))


def _energy(share: Tensor) -> Tensor:
    return share.square().cumsum(0).sqrt().clamp(max=1)
