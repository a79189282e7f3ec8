"""LoX on checkpoints on disk (equation 3): read, extrapolated and written matrix by matrix, of any size."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from lox.checkpoints import card
from lox.checkpoints.files import StoredTensor
from lox.checkpoints.pair import Matrix, Selection
from lox.checkpoints.plan import ALIGNED, Plan, prepare
from lox.checkpoints.streaming import Meter, Progress, in_parallel, row_blocks, scratch
from lox.checkpoints.unfinished import unfinished_folder
from lox.extras import needs
from lox.subspace import Rank, Subspace, frobenius_norm

COPY_CHUNK = 2**25  # bytes of what is copied, at a time
FLUSH_AFTER = 2**27  # bytes


@dataclass(frozen=True)
class Copy:
    """``length`` bytes of a tensor from its byte ``start`` on, taken over from ALIGNED as they are."""

    stored: StoredTensor
    start: int
    length: int

    def size(self, side: int) -> int:
        return self.length


def extrapolate_checkpoint(
    base: Path | str,
    aligned: Path | str,
    out: Path | str,
    *,
    k: Rank = 6,
    alpha: float = 1.25,
    matrices: Selection = "all",
    adapter: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """W_LoX = W_aligned + α Proj_k(ΔW_align) for every matrix, from two checkpoints into the folder ``out``.

    ``base`` and ``aligned`` are folders or Hub ids. ``out`` gets ALIGNED's files with ALIGNED's shards,
    names, types and metadata, and a model card; with ``adapter`` a PEFT LoRA adapter on ALIGNED instead.
    It appears when it is whole; an interrupted call leaves its whole shards beside it, and the same call
    goes on from there. ``progress(done, total)`` is told bytes of ALIGNED.

    Returns a row for each matrix: name, layer, kind, rows, cols; k; r_align (equation 1); added = ‖α
    Proj_k(ΔW_align)‖ / ‖W_aligned‖; error, the certified one of ``Subspace``; survives, the share of the
    update that is left after rounding to the type of ALIGNED (NaN for an adapter, which does not round);
    copied_rows, those of added tokens, which BASE does not have. Raises ValueError for what does not fit,
    FileExistsError where ``out`` is in the way, OSError where reading or writing fails.
    """
    plan = prepare(base, aligned, k=k, alpha=alpha, matrices=matrices, device=device)
    with unfinished_folder(Path(out), plan.key(adapter)) as folder:
        if adapter:
            with needs("adapter", "an adapter"):  # peft and transformers are slow to import
                from lox.checkpoints.adapter import write_adapter as write
        else:
            write = write_checkpoint
        report = pd.DataFrame(write(plan, folder, progress)).astype({"layer": "Int64"})
        (folder / "README.md").write_text(card.text(plan, report, adapter), encoding="utf-8")
    return report


def summary(report: pd.DataFrame) -> str:
    """What a report comes to, in one line."""
    changed = report[report["k"] > 0]
    parts = [f"{len(changed)} of {len(report)} matrices changed"]
    if len(changed):
        parts += [
            f"R_align {changed['r_align'].mean():.3f}",
            f"norm added {changed['added'].mean():.2%}",
            f"certified error up to {report['error'].max():.1e}",
        ]
    if changed["survives"].notna().any():
        parts.append(f"{changed['survives'].mean():.2%} of the update left after rounding")
    if report["copied_rows"].any():
        parts.append(f"{report['copied_rows'].sum()} rows of added tokens copied")
    return ", ".join(parts)


def write_checkpoint(plan: Plan, folder: Path, progress: Progress | None = None) -> list[dict]:
    """All shards, and what lies beside them, into ``folder``; shards that are there already are kept."""
    reports = {shard: folder / f"{shard.name}.report" for shard in plan.aligned.files}
    missing = [s for s, report in reports.items() if not ((folder / s.name).exists() and report.exists())]
    _require_space(folder, sum(shard.stat().st_size for shard in missing))
    meter = Meter(plan.aligned.size, progress)
    for shard in plan.aligned.files:
        if shard in missing:
            _write_shard(plan, shard, folder, meter)
        else:
            meter.add(shard.stat().st_size)
    for path in plan.aligned.companions:
        shutil.copyfile(path, folder / path.name)
    rows = [row for report in reports.values() for row in json.loads(report.read_text())]
    for report in reports.values():
        report.unlink()
    return rows


def _write_shard(plan: Plan, shard: Path, folder: Path, meter: Meter) -> None:
    """One shard, under a temporary name until it is whole, and its rows of the report."""
    part = folder / f"{shard.name}.part"
    jobs = _jobs(plan, shard)
    header = min(job.stored.start for job in jobs) if jobs else shard.stat().st_size
    with shard.open("rb") as source:
        part.write_bytes(source.read(header))  # same header: same names, types, places and metadata
    meter.add(header)
    rows, flushes, unflushed = [], [], 0
    with ThreadPoolExecutor(1) as disk:  # writes reach the disk while the next matrices are computed
        for job, row in zip(jobs, in_parallel(partial(_write_job, plan, part), jobs)):
            rows += [row] if row else []
            meter.add(job.size(ALIGNED))
            unflushed += job.size(ALIGNED)
            if unflushed > FLUSH_AFTER:
                flushes.append(disk.submit(_flush, part))
                unflushed = 0
    for flush in flushes:
        flush.result()
    _flush(part)
    (folder / f"{shard.name}.report").write_text(json.dumps(rows))
    part.rename(folder / shard.name)


def _jobs(plan: Plan, shard: Path) -> list[Matrix | Copy]:
    """What a shard is made of, in the order of its bytes: matrices to extrapolate, and the rest to copy."""
    changed: dict[str, list[Matrix]] = {}
    for matrix in plan.matrices:
        changed.setdefault(matrix.stored.name, []).append(matrix)
    jobs: list[Matrix | Copy] = []
    for name, stored in plan.aligned.tensors.items():
        if stored.path == shard:
            matrices = changed.get(name, [])
            jobs += matrices
            done = sum(matrix.size(ALIGNED) for matrix in matrices)
            chunks = range(done, stored.size, COPY_CHUNK)
            jobs += [Copy(stored, start, min(COPY_CHUNK, stored.size - start)) for start in chunks]
    return jobs


def _write_job(plan: Plan, part: Path, job: Matrix | Copy) -> dict | None:
    """Write one stretch of a shard to its place; for a matrix, its row of the report."""
    if isinstance(job, Copy):
        _write_at(part, job.stored.start + job.start, job.stored.read(job.start, scratch("copy", job.length)))
        return None
    try:
        aligned, subspace, row = plan.decompose(job)
        if subspace:
            row["survives"] = _add_projected(aligned, subspace, plan.alpha)
    except ValueError as error:
        raise ValueError(f"{job.name}: {error}") from None
    _write_at(part, job.stored.start + job.start, aligned.cpu().view(torch.uint8))
    return row


def _add_projected(aligned: Tensor, subspace: Subspace, alpha: float) -> float:
    """Add α Proj_k(ΔW) to W_aligned in place; the share of it that rounding to W_aligned's type leaves.

    That share is ⟨realised, intended⟩ / ‖intended‖²: 0 if all entries round back to what they were.
    """
    scaled = subspace.U * (alpha * subspace.S)
    intended, realised = float(frobenius_norm(alpha * subspace.S)) ** 2, 0.0
    for rows in row_blocks(aligned):
        step = scaled[rows] @ subspace.Vh
        before = aligned[rows].to(step.dtype)
        moved = (before + step).to(aligned.dtype)
        realised += float(torch.sum((moved - before) * step))
        aligned[rows] = moved
    if not math.isfinite(realised):
        raise ValueError(f"the result overflows {aligned.dtype}: take a smaller alpha, or a wider type")
    return realised / intended if intended else math.nan


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        reason = f"{needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({reason})", str(folder))


def _write_at(path: Path, offset: int, content: Tensor) -> None:
    view = memoryview(content.flatten().numpy())
    try:
        with path.open("r+b", buffering=0) as file:
            file.seek(offset)
            while view:
                view = view[file.write(view) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
