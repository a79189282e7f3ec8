"""Work on matrices that come one after another: a few at a time, in memory that is used again."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from lox.checkpoints.folders import first_line
from lox.extrapolation import update
from lox.subspace import frobenius_norm

Job = TypeVar("Job")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # (done, total) bytes

MAX_WORKERS = 4  # matrices in work at a time, each of which is in memory
BLOCK = 2**17  # entries of a block of rows: 512 KiB in float32 stay in the cache of a core
_scratch = threading.local()


@dataclass
class Meter:
    """Bytes done out of ``total``, told to ``progress``."""

    total: int
    progress: Progress | None
    done: int = 0

    def add(self, size: int) -> None:
        self.done += size
        if self.progress:
            self.progress(self.done, self.total)


def in_parallel(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
    """``function`` of each job, in order; as many at a time as torch has threads, at most ``MAX_WORKERS``.

    The decompositions scale badly over threads, the matrices perfectly; and reading and writing of one
    overlap with the arithmetic of another. After an error nothing further is begun.
    """
    threads, workers = torch.get_num_threads(), worker_count()
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads // workers,))
    try:
        yield from pool.map(function, jobs)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def worker_count() -> int:
    """How many matrices are in work at a time."""
    return min(torch.get_num_threads(), MAX_WORKERS)


def scratch(role: str, size: int) -> Tensor:
    """``size`` bytes, uninitialised, that the next call with the same role in the same thread gets again.

    Memory fresh from the system, page by page, takes as long as the arithmetic that is done in it.
    """
    kept = _scratch.__dict__
    if role not in kept or len(kept[role]) < size:
        kept.pop(role, None)
        kept[role] = torch.empty(size, dtype=torch.uint8)
    return kept[role][:size]


def difference(base: Tensor, aligned: Tensor, role: str = "difference") -> Tensor:
    """ΔW = W_aligned − W_base, as ``extrapolation.update``, but on a CPU in ``scratch`` memory."""
    wide = update(base[:0], aligned[:0]).dtype
    if aligned.device.type != "cpu":
        return update(base, aligned)
    delta = scratch(role, aligned.numel() * wide.itemsize).view(wide).view(aligned.shape)
    for rows in row_blocks(delta):
        delta[rows].copy_(aligned[rows]).sub_(base[rows])
    return delta


def norm(matrix: Tensor) -> float:
    """‖·‖_F by blocks of rows: ``frobenius_norm`` of the whole would copy it to float64."""
    return math.hypot(*(float(frobenius_norm(matrix[rows])) for rows in row_blocks(matrix)))


def row_blocks(matrix: Tensor) -> Iterable[slice]:
    """Slices over the rows of a matrix, each small enough for the cache of a core; one slice on a GPU."""
    step = max(1, BLOCK // matrix.shape[1]) if matrix.device.type == "cpu" else len(matrix)
    return (slice(first, first + step) for first in range(0, len(matrix), step))


def compute_device(device: str) -> torch.device:
    """The device of that name; "auto" is a GPU if there is one. ValueError for one that cannot compute."""
    if device.partition(":")[0] == "meta":
        raise ValueError(f"device {device!r}: holds no numbers; take cpu or cuda")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r}: {first_line(error)}") from None
