"""R_align and R_ft of every matrix of checkpoints on disk, one matrix in memory at a time."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from lox.checkpoints.files import Checkpoint
from lox.checkpoints.pair import Matrix, Selection, shared_matrices
from lox.checkpoints.streaming import Meter, Progress, compute_device, difference, in_parallel, norm
from lox.energy import energy_share
from lox.subspace import Rank, check_rank, safety_subspace

NAN = math.nan


def energy_table(
    base: Path | str,
    aligned: Path | str,
    finetuned: Path | str | None = None,
    *,
    k: Rank = 6,
    matrices: Selection = "linear",
    device: str = "auto",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Energies (equations 1 and 2), a row for each matrix that the folders or Hub ids share.

    Columns: name, layer, kind, rows, cols; norm_align = ‖ΔW_align‖, r_align; norm_ft = ‖ΔW_ft‖, r_ft and
    ratio = r_ft / r_align, all three NaN without ``finetuned``. R of an update of zero is NaN too, which
    pandas' mean leaves out: the mean over all rows is the unweighted one of the paper's code.
    ``progress(done, total)`` is told bytes. Raises ValueError as ``shared_matrices``
    and ``r_align`` do, ChangedMeanwhile where a checkpoint is written to in between.
    """
    check_rank(k)
    sides = {"base": base, "aligned": aligned} | ({} if finetuned is None else {"finetuned": finetuned})
    checkpoints = {role: Checkpoint.open(source) for role, source in sides.items()}
    place = compute_device(device)
    jobs = shared_matrices(checkpoints, matrices)
    sizes = [sum(job.size(side) for side in range(len(checkpoints))) for job in jobs]
    meter, table = Meter(sum(sizes), progress), []
    for size, row in zip(sizes, in_parallel(partial(_energies, k=k, device=place), jobs)):
        table.append(row)
        meter.add(size)
    for checkpoint in checkpoints.values():
        checkpoint.check_unchanged()
    return pd.DataFrame(table).astype({"layer": "Int64"})


def energy_by_kind(table: pd.DataFrame) -> pd.DataFrame:
    """Unweighted means of an ``energy_table`` by kind of matrix, and over all of them in the last row."""
    columns = ["r_align", "r_ft", "ratio"] if table["norm_ft"].notna().any() else ["r_align"]
    kinds = table.groupby("kind", sort=False)[columns].mean().reset_index()
    kinds.insert(1, "matrices", table.groupby("kind", sort=False).size().to_numpy())
    return pd.concat(
        [kinds, pd.DataFrame([{"kind": "all", "matrices": len(table), **table[columns].mean()}])],
        ignore_index=True,
    )


def _energies(matrix: Matrix, k: Rank, device: torch.device) -> dict:
    try:
        base, aligned = (matrix.read(side).to(device) for side in (0, 1))
        delta_align = difference(base, aligned)
        subspace = safety_subspace(delta_align, k) if delta_align.any() else None
        row = matrix.label() | {
            "norm_align": norm(delta_align),
            "r_align": energy_share(subspace, delta_align) if subspace else NAN,
            "norm_ft": NAN,
            "r_ft": NAN,
        }
        if len(matrix.sides) == 3:
            finetuned = matrix.read(2).to(device)
            delta_total = difference(base, finetuned, "total")
            row["norm_ft"] = norm(difference(aligned, finetuned, "fine-tuning"))
            row["r_ft"] = energy_share(subspace, delta_total) if subspace and delta_total.any() else NAN
    except ValueError as error:
        raise ValueError(f"{matrix.name}: {error}") from None
    return row | {"ratio": row["r_ft"] / row["r_align"]}
