"""The files of an immunised checkpoint: each tensor where ALIGNED has it, so that headers stay the same."""

from __future__ import annotations

import errno
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lox.checkpoints.files import StoredTensor
from lox.checkpoints.pair import Matrix
from lox.checkpoints.plan import ALIGNED, Plan
from lox.checkpoints.streaming import Meter, Progress, in_parallel, row_blocks, scratch
from lox.checkpoints.unfinished import FollowingDigest, existing_parent, finish, finished
from lox.extrapolation import add_projected
from lox.subspace import Subspace, frobenius_norm

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


def write_checkpoint(plan: Plan, folder: Path, progress: Progress | None = None) -> list[dict]:
    """All shards, and what lies beside them, into ``folder``; shards that are finished there are kept."""
    rows = finished_rows(plan, folder)
    require_space(folder, unwritten(plan, rows))
    meter = Meter(plan.aligned.size, progress)
    for shard in plan.aligned.files:
        if shard in rows:
            meter.add(shard.stat().st_size)
        else:
            rows[shard] = _write_shard(plan, shard, folder, meter)
            plan.check_unchanged()
    for path in plan.aligned.companions:
        target = folder / path.relative_to(plan.aligned.folder)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
    return [row for shard in plan.aligned.files for row in rows[shard]]


def finished_rows(plan: Plan, folder: Path) -> dict[Path, list[dict]]:
    """The report's rows of the shards of ALIGNED that an interrupted call finished in ``folder``."""
    rows = {shard: finished(folder / shard.name) for shard in plan.aligned.files}
    return {shard: report for shard, report in rows.items() if report is not None}


def unwritten(plan: Plan, rows: dict[Path, list[dict]]) -> int:
    """Bytes of the shards that are not among ``rows``."""
    return sum(shard.stat().st_size for shard in plan.aligned.files if shard not in rows)


def require_space(folder: Path, needed: int) -> None:
    """Raise OSError where less than ``needed`` bytes are free on the disk of ``folder``, there or not yet."""
    free = shutil.disk_usage(existing_parent(folder / "file")).free
    if free < needed:
        reason = f"{needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({reason})", str(folder))


def _write_shard(plan: Plan, shard: Path, folder: Path, meter: Meter) -> list[dict]:
    """One shard, under a temporary name until it is whole, and its rows of the report."""
    part = folder / f"{shard.name}.part"
    jobs = _jobs(plan, shard)
    written = min(job.stored.start for job in jobs) if jobs else shard.stat().st_size
    with shard.open("rb") as source:
        part.write_bytes(source.read(written))  # same header: same names, types, places and metadata
    meter.add(written)
    rows, tasks, flushed, digest = [], [], 0, FollowingDigest(part)
    with ThreadPoolExecutor(1) as disk:  # flushed and read again while the next matrices are computed
        for job, row in zip(jobs, in_parallel(partial(_write_job, plan, part), jobs)):
            rows += [row] if row else []
            meter.add(job.size(ALIGNED))
            written += job.size(ALIGNED)
            if written - flushed > FLUSH_AFTER:
                tasks += [disk.submit(_flush, part), disk.submit(digest.follow, written)]
                flushed = written
        tasks += [disk.submit(_flush, part), disk.submit(digest.follow, written)]
    for task in tasks:
        task.result()
    finish(part, folder / shard.name, digest.sha256.hexdigest(), rows)
    return rows


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
    """Equation 3 in place, block of rows by block; the share of its step that rounding to W_aligned's type leaves.

    That share is ⟨realised, intended⟩ / ‖intended‖², with the intended step U diag(αS) Vh and its norm ‖αS‖:
    0 if all entries round back to what they were, NaN for α = 0.
    """
    step = replace(subspace, S=alpha * subspace.S)
    size = float(frobenius_norm(step.S)) or math.nan
    # each is divided by the norm: the square of a large step would overflow float32
    left, right = step.U * (step.S / size), step.Vh.mT / size
    share = 0.0
    for rows in row_blocks(aligned):
        moved = add_projected(aligned[rows], replace(step, U=step.U[rows]), 1.0)
        realised = moved - aligned[rows].to(left.dtype)
        share += float(torch.sum(realised @ right * left[rows]))
        aligned[rows] = moved
    return share


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write_at(path: Path, offset: int, content: Tensor) -> None:
    view = memoryview(content.flatten().numpy())
    try:
        with path.open("r+b", buffering=0) as file:
            file.seek(offset)
            while view:
                view = view[file.write(view) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
