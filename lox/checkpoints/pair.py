"""Checkpoints side by side: which matrices they share, and all misfits at once."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from lox.checkpoints.files import DTYPES, Checkpoint, StoredTensor
from lox.checkpoints.streaming import scratch

Selection = Literal["all", "linear"]

WORDS = {"embed_tokens", "embed_in", "wte", "tok_embeddings", "word_embeddings"}  # embeddings of tokens
EMBEDDINGS = WORDS | {"wpe", "embed_positions"}
HEADS = {"lm_head", "embed_out", "output"}
RECOMPUTED = (".rotary_emb.inv_freq", ".attn.masked_bias", ".attn.bias")  # stored by some versions only


@dataclass(frozen=True)
class Matrix:
    """A matrix that several checkpoints share: ``rows`` × ``columns`` from row ``first`` on of each tensor.

    Of a stack (b, m, n) each of the b matrices is one of these. An embedding with more rows on one side
    (added tokens) is shared as far as all have it.
    """

    name: str
    first: int
    rows: int
    columns: int
    sides: tuple[StoredTensor, ...]

    @property
    def kind(self) -> str:
        return kind(self.name)

    @property
    def layer(self) -> int | None:
        """The number of the layer, None outside of the layers."""
        match = re.search(r"\.(\d+)\.", self.name)
        return int(match.group(1)) if match else None

    def read(self, side: int) -> Tensor:
        """The matrix (rows, columns) of the side-th checkpoint, in its own type; in ``scratch`` memory."""
        stored = self.sides[side]
        content = stored.read(self.first * stored.row_size, scratch(f"side {side}", self.size(side)))
        return content.view(DTYPES[stored.dtype]).view(self.rows, self.columns)

    @property
    def stored(self) -> StoredTensor:
        """The tensor of the second checkpoint that it is part of."""
        return self.sides[1]

    @property
    def start(self) -> int:
        """The byte of that tensor with which it begins."""
        return self.first * self.stored.row_size

    def size(self, side: int) -> int:
        """Its bytes in the side-th checkpoint."""
        return self.rows * self.sides[side].row_size

    def copied_rows(self, side: int) -> int:
        """Rows of the side-th checkpoint's tensor that the others do not have."""
        shape = self.sides[side].shape
        return shape[0] - self.rows if len(shape) == 2 else 0

    def label(self) -> dict:
        """The columns that name a matrix in a table."""
        return {
            "name": self.name,
            "layer": self.layer,
            "kind": self.kind,
            "rows": self.rows,
            "cols": self.columns,
        }


def kind(name: str) -> str:
    """What a weight is called within its layer: ``q_proj`` of ``model.layers.0.self_attn.q_proj.weight``."""
    return re.sub(r"(\.weight)?(\[\d+\])?$", "", name).rpartition(".")[2]


def shared_matrices(checkpoints: dict[str, Checkpoint], selection: Selection) -> list[Matrix]:
    """The matrices of a model that ``checkpoints`` (role, as "base", -> checkpoint) all hold.

    In the order of the last one's files. ``selection`` "linear" leaves embeddings and the output head out.
    Raises ValueError with every misfit in it, a line each: names on one side only, shapes that differ other
    than by added tokens, weights that are not floating-point numbers.
    """
    if selection not in ("all", "linear"):
        raise ValueError(f'matrices are "all" or "linear", not {selection!r}')
    last = list(checkpoints)[-1]
    problems = [p for role, checkpoint in checkpoints.items() for p in _quantised(role, checkpoint)]
    problems += _missing(checkpoints)
    matrices = []
    for name, tensor in checkpoints[last].tensors.items():
        sides = [_stored(checkpoint, name) for checkpoint in checkpoints.values()]
        if None in sides:
            continue
        if problem := _misfit(name, dict(zip(checkpoints, sides))):
            problems.append(problem)
        elif tensor.is_matrix and not (selection == "linear" and kind(name) in EMBEDDINGS | HEADS):
            matrices += _matrices(name, sides)
    if problems:
        raise ValueError("\n".join([f"{' and '.join(checkpoints)} do not fit together:", *problems]))
    if not matrices:
        raise ValueError(f"{checkpoints[last].source}: no matrix of floating-point numbers in it")
    return matrices


def _matrices(name: str, sides: list[StoredTensor]) -> list[Matrix]:
    shape = sides[-1].shape
    if len(shape) == 2:
        return [Matrix(name, 0, min(s.shape[0] for s in sides), shape[1], tuple(sides))]
    return [Matrix(f"{name}[{i}]", i * shape[1], shape[1], shape[2], tuple(sides)) for i in range(shape[0])]


def _stored(checkpoint: Checkpoint, name: str) -> StoredTensor | None:
    """The tensor of that name; for an output head that is tied to the embeddings and not stored, those."""
    if name in checkpoint.tensors:
        return checkpoint.tensors[name]
    if kind(name) in HEADS and checkpoint.config.get("tie_word_embeddings", True):
        embeddings = [t for n, t in checkpoint.tensors.items() if kind(n) in WORDS and n != name]
        return embeddings[0] if embeddings else None
    return None


def _missing(checkpoints: dict[str, Checkpoint]) -> list[str]:
    names = dict.fromkeys(name for c in checkpoints.values() for name in c.tensors)
    return [
        f"{name}: missing in {role}"
        for name in names
        for role, checkpoint in checkpoints.items()
        if not name.endswith(RECOMPUTED) and _stored(checkpoint, name) is None
    ]


def _misfit(name: str, sides: dict[str, StoredTensor]) -> str | None:
    """What is wrong with a tensor, None if nothing is."""
    shapes = {role: s.shape for role, s in sides.items()}
    first = 1 if kind(name) in EMBEDDINGS | HEADS else 0  # added tokens: the number of rows may differ
    if len({(len(shape), shape[first:]) for shape in shapes.values()}) > 1:
        sizes = ("×".join(map(str, shape)) or "a scalar" for shape in shapes.values())
        return f"{name}: " + ", ".join(f"{role} is {size}" for role, size in zip(shapes, sizes))
    floats = [s.is_matrix or math.prod(s.shape) == 0 or len(s.shape) not in (2, 3) for s in sides.values()]
    if any(floats) != all(floats) or any(_is_quantised(s) for s in sides.values()):
        types = ", ".join(f"{role} is {s.dtype}" for role, s in sides.items())
        return f"{name}: {types}; take the checkpoint in bf16, fp16 or fp32"
    return None


def _is_quantised(stored: StoredTensor) -> bool:
    """Whether numbers of eight bits stand for weights; a buffer of another integer type is copied."""
    return stored.dtype.startswith("F8") or (stored.dtype in ("I8", "U8") and len(stored.shape) in (2, 3))


def _quantised(role: str, checkpoint: Checkpoint) -> list[str]:
    if not checkpoint.config.get("quantization_config"):
        return []
    return [f"{role} is quantised ({checkpoint.source}): take the checkpoint in bf16, fp16 or fp32"]
