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
SINGLE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
COMPANIONS = (  # configurations, tokenizers, index, chat template, licence, code of unusual models
    *("*config.json", "*token*.json", "vocab.json", "chat_template.json", "*.index.json"),
    *("*.txt", "*.model", "*.tiktoken", "*.jinja", "*.py", "LICENSE*", "NOTICE*"),
)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


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

    ``source`` is what it was opened by, a folder or a Hub id.
    """

    source: str
    folder: Path
    files: tuple[Path, ...]
    tensors: dict[str, StoredTensor]

    @classmethod
    def open(cls, source: str | Path) -> Checkpoint:
        """Open a local folder, or a Hub id, which is downloaded into the Hub's cache first.

        One ``model.safetensors``, or shards with their index. Raises ValueError for a damaged file, an
        index that names what is not there, and weights in another format; FileNotFoundError for a source
        that does not exist. The message names the file.
        """
        folder = _local_folder(source)
        weight_map = _weight_map(folder)
        files = tuple(folder / name for name in sorted(set(weight_map.values()) or {SINGLE_FILE}))
        tensors: dict[str, StoredTensor] = {}
        for path in files:
            for name, tensor in stored_tensors(path).items():
                if name in tensors:
                    raise ValueError(f"{path}: {name} is also in {tensors[name].path.name}")
                tensors[name] = tensor
        for name, file in weight_map.items():
            if name not in tensors or tensors[name].path.name != file:
                raise ValueError(f"{folder / INDEX}: {name} is not in {file}; download the checkpoint again")
        return cls(str(source), folder, files, tensors)

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
        return sum(path.stat().st_size for path in self.files)

    @cached_property
    def config(self) -> dict:
        """What ``config.json`` says; empty if there is none. ValueError for one that is no JSON."""
        path = self.folder / "config.json"
        return _read_json(path) if path.exists() else {}

    @property
    def companions(self) -> list[Path]:
        """The files beside the weights that make them a model: index, configuration, tokenizer, licence."""
        found = {path for pattern in COMPANIONS for path in self.folder.glob(pattern) if path.is_file()}
        return sorted(found)


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """What a safetensors file holds, in the order of its bytes. ValueError if it is damaged."""
    try:
        with safe_open(path, framework="np"):  # the library's own check of header, offsets and length
            pass
        start, header = read_header(path)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: damaged or truncated ({error}); copy or download it again") from None
    header.pop("__metadata__", None)
    found = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"{path}: {name} is of type {entry['dtype']}, which is not supported")
        first, end = entry["data_offsets"]
        found[name] = StoredTensor(
            name, path, entry["dtype"], tuple(entry["shape"]), start + first, end - first
        )
    return found


def read_header(path: Path) -> tuple[int, dict]:
    """Where the tensors' bytes begin in a safetensors file, and its header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return 8 + length, json.loads(file.read(length))


def _local_folder(source: str | Path) -> Path:
    folder = Path(source)
    if folder.is_dir():
        return folder
    if folder.exists() or str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        raise FileNotFoundError(f"{source}: no such folder, and no Hub id (owner/name) either")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(source), allow_patterns=["*.safetensors", *COMPANIONS]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileNotFoundError(
            f"{source}: no such folder here, and it could not be fetched from the Hub: {reason}"
        ) from None


def _weight_map(folder: Path) -> dict[str, str]:
    """Tensor name -> file name as the index has it; empty for a single file. ValueError if there is none."""
    index = folder / INDEX
    if not index.exists():
        if not (folder / SINGLE_FILE).exists():
            raise ValueError(_no_weights(folder))
        return {}
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index}: no weight_map; download the checkpoint again")
    for file in sorted({str(file) for file in weight_map.values()}):
        if Path(file).name != file or file in ("", ".."):
            raise ValueError(f"{index}: {file!r} is no file name in its folder")
        if not (folder / file).is_file():
            raise ValueError(f"{index}: {file} is missing; download the checkpoint again")
    return weight_map


def _no_weights(folder: Path) -> str:
    if (folder / "adapter_config.json").exists():
        return f"{folder}: an adapter, not a whole model; merge it into its base model first"
    for pattern in PICKLES:
        if found := sorted(folder.glob(pattern)):
            convert = "AutoModelForCausalLM.from_pretrained(OLD).save_pretrained(NEW)"
            return f"{found[0]}: only safetensors is read; convert it with transformers: {convert}"
    return f"{folder}: neither {SINGLE_FILE} nor {INDEX} is there"


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a JSON object was expected")
    return content


def _read_into(path: Path, offset: int, buffer: Tensor) -> None:
    view = memoryview(buffer.numpy())
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        done = 0
        while done < len(view):
            got = file.readinto(view[done:])
            if not got:
                raise OSError(f"{path}: ended {len(view) - done} bytes early; was it changed meanwhile?")
            done += got
