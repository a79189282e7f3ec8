"""What immunising a checkpoint will do, checked and counted before a weight is read; and its common step."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from lox.checkpoints.files import Checkpoint
from lox.checkpoints.pair import Matrix, Selection, shared_matrices
from lox.checkpoints.streaming import compute_device, difference, norm, worker_count
from lox.checkpoints.unfinished import existing_parent
from lox.paths import PACKAGE
from lox.subspace import Rank, Subspace, check_rank, frobenius_norm, safety_subspace

BASE, ALIGNED = 0, 1  # the sides of a matrix


@dataclass(frozen=True)
class Plan:
    """Two checkpoints that fit together, their matrices, and what to do with them."""

    base: Checkpoint
    aligned: Checkpoint
    matrices: list[Matrix]
    selection: Selection
    k: Rank
    alpha: float
    device: torch.device

    @property
    def read_bytes(self) -> int:
        """Bytes of weights to read: all of ALIGNED, and the matrices of BASE."""
        return self.aligned.size + sum(m.size(BASE) for m in self.matrices)

    @property
    def memory_bytes(self) -> int:
        """Bytes of the matrices in work at a time, at most: both sides and their float32 difference."""
        sizes = sorted(m.size(BASE) + m.size(ALIGNED) + 4 * m.rows * m.columns for m in self.matrices)
        return sum(sizes[-worker_count() :])

    @property
    def adapter_bytes(self) -> int:
        """Bytes of the factors of an adapter, in float32."""
        return sum(4 * self.k * (m.rows + m.columns) for m in self.matrices)

    def description(self, out: Path, adapter: bool) -> str:
        """What would be read, changed and written, with sizes, for a reader."""
        others = len(self.aligned.tensors) - len({m.stored.name for m in self.matrices})
        free = shutil.disk_usage(existing_parent(out)).free
        tokens = sum(m.copied_rows(ALIGNED) for m in self.matrices)
        written = _gigabytes(self.adapter_bytes if adapter else self.aligned.size)
        target = "as an adapter" if adapter else f"in {len(self.aligned.files)} file(s)"
        largest = f"{_gigabytes(self.memory_bytes)} for the largest matrices in work"
        lines = {
            "read": f"{_gigabytes(self.read_bytes)} of {self.base.source} and {self.aligned.source}",
            "change": f"{len(self.matrices)} matrices ({self.selection}), k {self.k}, alpha {self.alpha:g}",
            "copy": f"{others} other tensors, {tokens} rows of added tokens",
            "write": f"{written} {target} to {out}",
            "free": f"{_gigabytes(free)} on that disk",
            "memory": f"about {largest}, on {self.device}",
        }
        return "\n".join(f"{name:7} {value}" for name, value in lines.items())

    def key(self, *more) -> str:
        """Twelve hexadecimal digits that name the inputs as opened, the parameters and the program."""
        files = [
            (str(path.absolute()), stamp)
            for checkpoint in (self.base, self.aligned)
            for path, stamp in zip(checkpoint.files, checkpoint.stamps)
        ]
        recipe = [files, self.k, self.alpha, self.selection, self.device.type, *program(), *more]
        return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]

    def check_unchanged(self) -> None:
        """Raise ChangedMeanwhile where BASE or ALIGNED is not what it was when it was opened."""
        self.base.check_unchanged()
        self.aligned.check_unchanged()

    def decompose(self, matrix: Matrix) -> tuple[Tensor, Subspace | None, dict]:
        """W_aligned on the device, the safety subspace of its update, and the row of the report so far.

        The subspace is None where the update is zero.
        """
        base, aligned = (matrix.read(side).to(self.device) for side in (BASE, ALIGNED))
        delta = difference(base, aligned)
        size = norm(delta)
        row = matrix.label() | {
            "k": 0,
            "r_align": math.nan,
            "added": 0.0,
            "error": 0.0,
            "survives": math.nan,
            "copied_rows": matrix.copied_rows(ALIGNED),
        }
        if size == 0:
            return aligned, None, row
        subspace = safety_subspace(delta, self.k)
        inside = float(frobenius_norm(subspace.S))
        row |= {"k": subspace.k, "r_align": min(1.0, inside / size), "error": subspace.error}
        return aligned, subspace, row | {"added": abs(self.alpha) * inside / (norm(aligned) or math.nan)}


def prepare(
    base: Path | str,
    aligned: Path | str,
    *,
    k: Rank = 6,
    alpha: float = 1.25,
    matrices: Selection = "all",
    device: str = "auto",
) -> Plan:
    """Open both checkpoints and check all that can be checked without reading weights; errors as there."""
    check_rank(k)
    if not math.isfinite(alpha):
        raise ValueError(f"alpha must be a finite number, not {alpha!r}")
    opened = {"base": Checkpoint.open(base), "aligned": Checkpoint.open(aligned)}
    shared = shared_matrices(opened, matrices)
    return Plan(*opened.values(), shared, matrices, k, alpha, compute_device(device))  # type: ignore[call-arg]


def program() -> list[str]:
    """What determines the written bytes besides the inputs: the versions, and the source of this package."""
    sources = [*PACKAGE.glob("*.py"), *(PACKAGE / "checkpoints").glob("*.py")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()
    return [version("lox-book"), version("torch"), digest]


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
