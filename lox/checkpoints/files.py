"""Checkpoints on disk, read lazily: names, shapes and types at once, a tensor when it is asked for.

The safetensors format (https://github.com/huggingface/safetensors): eight bytes that hold the length of
a JSON header, the header, then the tensors' bytes without gaps. The safetensors library checks each
file when it is opened; the bytes themselves are read by plain reads instead of its memory map, so what
is in memory is what was asked for.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lox.checkpoints.folders import (
    INDEX,
    SINGLE_FILE,
    ChangedMeanwhile,
    companions,
    local_folder,
    read_json,
    weight_map,
)

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
MATRIX_DTYPES = ("F64", "F32", "F16", "BF16")  # those that a difference of weights can be taken of
Stamp = tuple[int, int, int]  # size, time of change in ns, inode


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies: ``size`` bytes from ``start`` (counted from the start of the file ``path``)."""

    name: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int

    @property
    def is_matrix(self) -> bool:
        """A matrix (m, n) or a stack of them (b, m, n), of floating-point numbers and not empty."""
        return len(self.shape) in (2, 3) and self.dtype in MATRIX_DTYPES and self.size > 0

    @property
    def row_size(self) -> int:
        """Bytes of a row, along the last dimension."""
        return self.size // math.prod(self.shape[:-1])

    def read(self, start: int, buffer: Tensor) -> Tensor:
        """Its bytes from byte ``start`` on, as many as ``buffer`` (uint8) has room for, into ``buffer``."""
        if len(buffer):
            _read_into(self.path, self.start + start, buffer)
        return buffer


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights in a folder: ``tensors`` by name, in the order of ``files``; nothing is loaded yet.

    ``source`` is what it was opened by, a folder or a Hub id; ``stamps`` are those of ``files`` then.
    """

    source: str
    folder: Path
    files: tuple[Path, ...]
    stamps: tuple[Stamp, ...]
    tensors: dict[str, StoredTensor]

    @classmethod
    def open(cls, source: str | Path) -> Checkpoint:
        """Open a local folder, or a Hub id, which is downloaded into the Hub's cache first.

        One ``model.safetensors``, or shards with their index. Raises ValueError for a damaged file, an
        index that names what is not there, and weights in another format; FileNotFoundError for a source
        that does not exist. The message names the file.
        """
        folder = local_folder(source)
        names = weight_map(folder)
        files = tuple(folder / name for name in sorted(set(names.values()) or {SINGLE_FILE}))
        stamps = tuple(map(stamp, files))
        tensors: dict[str, StoredTensor] = {}
        for path in files:
            for name, tensor in stored_tensors(path).items():
                if name in tensors:
                    raise ValueError(f"{path}: {name} is also in {tensors[name].path.name}")
                tensors[name] = tensor
        for name, file in names.items():
            if name not in tensors or tensors[name].path.name != file:
                raise ValueError(f"{folder / INDEX}: {name} is not in {file}; download the checkpoint again")
        return cls(str(source), folder, files, stamps, tensors)

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name, in its own type."""
        stored = self.tensors[name]
        return (
            stored.read(0, torch.empty(stored.size, dtype=torch.uint8))
            .view(DTYPES[stored.dtype])
            .view(stored.shape)
        )

    @property
    def size(self) -> int:
        """Bytes of all files with weights, headers included."""
        return sum(size for size, *_ in self.stamps)

    @cached_property
    def config(self) -> dict:
        """What ``config.json`` says; empty if there is none. ValueError for one that is no JSON."""
        path = self.folder / "config.json"
        return read_json(path) if path.exists() else {}

    @property
    def companions(self) -> list[Path]:
        """The files beside the weights that make them a model: configuration, tokenizer, index, licence."""
        sharded = self.files != (self.folder / SINGLE_FILE,)
        return companions(self.folder) + ([self.folder / INDEX] if sharded else [])

    def check_unchanged(self) -> None:
        """Raise ChangedMeanwhile where a file is not the one that was opened."""
        for path, before in zip(self.files, self.stamps):
            if not path.exists() or stamp(path) != before:
                raise ChangedMeanwhile(f"{path}: changed while it was read; start again")


def stamp(path: Path) -> Stamp:
    """What tells a file from a later one of the same name, without reading it."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """What a safetensors file holds, in the order of its bytes. ValueError if it is damaged."""
    try:
        with safe_open(path, framework="np"):  # the library's own check of header, offsets and length
            pass
        start, header = read_header(path)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: damaged or truncated ({error}); copy or download it again") from None
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["dtype"] not in DTYPES:
            raise ValueError(
                f"{path}: {name} is of type {entry['dtype']}, which is not supported: "
                "take the checkpoint in bf16, fp16 or fp32"
            )
        first, end = entry["data_offsets"]
        tensors[name] = StoredTensor(
            name, path, entry["dtype"], tuple(entry["shape"]), start + first, end - first
        )
    return tensors


def read_header(path: Path) -> tuple[int, dict]:
    """Where the tensors' bytes begin in a safetensors file, and its header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return 8 + length, json.loads(file.read(length))


def _read_into(path: Path, offset: int, buffer: Tensor) -> None:
    view = memoryview(buffer.numpy())
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        done = 0
        while done < len(view):
            got = file.readinto(view[done:])
            if not got:
                raise ChangedMeanwhile(f"{path}: ended {len(view) - done} bytes early; start again")
            done += got
