"""One model in memory whose weights become those of every point of a grid: θ_r for each r, LoX for each k and α.

Every matrix of the update is decomposed once. A point's weights are computed from the checkpoints' own, matrix by
matrix and in the model's memory, so that nothing adds up from point to point: what replies is what
``lox extrapolate`` would write, up to rounding in the decomposition.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from lox.checkpoints.pair import RECOMPUTED, Matrix, shared_matrices
from lox.checkpoints.plan import ALIGNED, BASE, Plan
from lox.checkpoints.streaming import Meter, Progress, in_parallel
from lox.extrapolation import add_projected
from lox.lab.fingerprint import content_hash
from lox.lab.reply_file import Counted, ReplyFile, ask
from lox.lab.served import Served
from lox.subspace import Subspace


@dataclass(frozen=True)
class Point:
    """start + ``scale`` · Proj_k(ΔW_align), where it starts from the base's weights or the aligned ones."""

    start: int  # BASE or ALIGNED
    k: int
    scale: float

    @property
    def name(self) -> str:
        if self.start == BASE:
            return f"rank {self.k}" if self.k else "base"
        return f"alpha {self.scale:g}" if self.scale else "aligned"


BASE_MODEL, ALIGNED_MODEL = Point(BASE, 0, 0.0), Point(ALIGNED, 0, 0.0)


def truncated(rank: int) -> Point:
    """θ_r of equation 4."""
    return Point(BASE, rank, 1.0)


def extrapolated(k: int, alpha: float) -> Point:
    """LoX, equation 3."""
    return Point(ALIGNED, k, alpha)


@dataclass(frozen=True)
class Grid:
    """The points of a plan, whose k is the largest rank; ``served`` is the aligned model, with its tokenizer."""

    plan: Plan
    served: Served
    progress: Progress | None = None  # of the decompositions, in bytes

    def ask(
        self, point: Point, questions: list[dict], kept: ReplyFile, batch: int, done: Counted
    ) -> list[dict]:
        """``questions`` with the answers of a point; nothing is loaded or moved where all are known."""

        def load() -> tuple:
            self.move(point)
            return self.network, self.served.tokenizer

        return ask(point.name, self.key(point), load, questions, kept, batch=batch, done=done)

    def key(self, point: Point) -> str:
        """Twelve hexadecimal digits that name what determines a point's replies."""
        recipe = [point.start, point.k, point.scale if point.k else 0, self.plan.k, self.plan.selection]
        base = [str(self.plan.base.folder.resolve()), self.plan.base.stamps]
        if point == ALIGNED_MODEL:
            return self.served.key
        return content_hash([self.served.key, base, recipe])[:12]

    @cached_property
    def network(self) -> nn.Module:
        """The model, with the weights of the point that it was last moved to."""
        return self.served.network()

    @torch.no_grad()
    def move(self, point: Point) -> None:
        """Give the network the weights of a point; those that are no matrices are those of its start.

        Raises ValueError where the model has a weight under another name than its checkpoint, ChangedMeanwhile
        where a checkpoint was written to since it was opened.
        """
        self.plan.check_unchanged()
        start = (self.plan.base, self.plan.aligned)[point.start]
        for name in self._vectors:
            self._weight(name).copy_(start.tensor(name))
        for matrix, subspace in self._matrices:
            weight = matrix.read(point.start).to(self.plan.device)
            if subspace and point.k:
                weight = add_projected(weight, subspace.first(point.k), point.scale)
            rows = slice(matrix.first, matrix.first + matrix.rows)  # of a stack, or of a vocabulary
            self._weight(matrix.stored.name).view(-1, matrix.columns)[rows].copy_(weight)

    @cached_property
    def _matrices(self) -> list[tuple[Matrix, Subspace | None]]:
        """All matrices, with the update's top k triplets where it is not zero and the matrix is selected."""
        selected, total = self.plan.matrices, sum(m.size(ALIGNED) for m in self.plan.matrices)
        meter, decomposed = Meter(total, self.progress), []
        for matrix, subspace in zip(selected, in_parallel(self._decomposed, selected)):
            decomposed.append((matrix, subspace))
            meter.add(matrix.size(ALIGNED))
        return decomposed + [(matrix, None) for matrix in self._all if matrix not in selected]

    def _decomposed(self, matrix: Matrix) -> Subspace | None:
        _, subspace, _ = self.plan.decompose(matrix)
        return subspace

    @cached_property
    def _all(self) -> list[Matrix]:
        return shared_matrices({"base": self.plan.base, "aligned": self.plan.aligned}, "all")

    @cached_property
    def _vectors(self) -> list[str]:
        """What is no matrix, and what some versions store although it is computed left out."""
        matrices = {matrix.stored.name for matrix in self._all}
        names = (name for name in self.plan.aligned.tensors if name not in matrices)
        return [name for name in names if not name.endswith(RECOMPUTED)]

    @cached_property
    def _named(self) -> dict[str, Tensor]:
        parameters = self.network.named_parameters(remove_duplicate=False)
        return dict(parameters) | dict(self.network.named_buffers(remove_duplicate=False))

    def _weight(self, name: str) -> Tensor:
        """Where the network has a tensor of the checkpoint, which may be saved as the model without its head."""
        shape = self.plan.aligned.tensors[name].shape
        for own in (name, f"{getattr(self.network, 'base_model_prefix', '')}.{name}"):
            if own in self._named and self._named[own].shape == shape:
                return self._named[own]
        raise ValueError(
            f"{name}: {type(self.network).__name__} has no weight of that name and shape to be changed in memory; "
            "write the points with lox extrapolate, and compare them with lox evaluate"
        )
