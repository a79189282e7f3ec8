"""Spectra of weight updates: how concentrated an update is, against chance and against another update."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from lox.checkpoints.files import Checkpoint
from lox.checkpoints.pair import shared_matrices
from lox.energy import energy_profile, nonzero_norm
from lox.extrapolation import update
from lox.subspace import as_finite_matrix, frobenius_norm


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
        yield label, draw * (frobenius_norm(delta) / frobenius_norm(draw))


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
    """Of every matrix in a table of ``spectra``: its label, norm, stable rank, and R_k, its r at i = k.

    The stable rank ‖ΔW‖² / s_1² = 1 / R_1² is between 1 (one direction) and the rank (all alike).
    """
    label = ["name", "layer", "kind", "rows", "cols", "norm"]
    first = table[table["i"] == 1].set_index(label)
    at_k = table[table["i"] == _full_rank(table).clip(upper=k)].set_index(label)
    return pd.DataFrame({"stable_rank": first["share"] ** -2, "r": at_k["r"]}).reset_index()


def mean_profile(table: pd.DataFrame) -> pd.DataFrame:
    """R over the share of the directions, the mean over all matrices of a table of ``spectra``.

    Columns: share = j / s for j = 1 … s, the smallest matrix's number of directions; and r, which a
    matrix with more of them, f, gives at i = ⌈share · f⌉.
    """
    full = _full_rank(table)
    smallest = full.min()
    j = table["i"] * smallest // full  # the last j with j / s · f ≤ i
    on_grid = (j > 0) & (-(-j * full // smallest) == table["i"])
    return table[on_grid].assign(share=j / smallest).groupby("share")["r"].mean().reset_index()


def surviving(
    base: Path | str, aligned: Path | str, finetuned: Path | str, shares: Iterable[float]
) -> pd.DataFrame:
    """R_align and R_ft (equations 1, 2) of every linear layer, at k = ⌈share · min(m, n)⌉ of each share.

    Columns: the label's, norm_align and norm_ft = ‖ΔW_ft‖, share, k, r_align, r_ft. One full SVD a matrix.
    """
    rows = []
    for label, delta_align, delta_total in updates(base, aligned, finetuned):
        norm_ft = float(frobenius_norm(delta_total - delta_align))
        label |= {"norm_align": float(nonzero_norm(delta_align)), "norm_ft": norm_ft}
        before, after = _energy(spectrum(delta_align)), energy_profile(delta_align, delta_total)
        for share in shares:
            k = rank_at(share, label["rows"], label["cols"])
            energies = {"r_align": float(before[k - 1]), "r_ft": float(after[k - 1])}
            rows.append(label | {"share": share, "k": k} | energies)
    return pd.DataFrame(rows)


def rank_at(share: float, rows: int, cols: int) -> int:
    """⌈share · min(rows, cols)⌉: the k that is this share of a matrix's directions, rounded up."""
    if not 0 < share <= 1:
        raise ValueError(f"a share of the directions lies above 0 and up to 1, not at {share!r}")
    return math.ceil(share * min(rows, cols) - 1e-9)  # a product just above a whole number is rounding


def _full_rank(table: pd.DataFrame) -> pd.Series:
    return table[["rows", "cols"]].min(axis=1)


def _energy(share: Tensor) -> Tensor:
    return share.square().cumsum(0).sqrt().clamp(max=1)
