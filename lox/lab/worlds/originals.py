"""The data sets as their authors published them: where each is, and its rows as plain dicts.

A set is read from a folder of original files, or from its home: the Hugging Face Hub, through
``datasets``, where its authors keep it there, else the original file in their repository, which is
downloaded once. Either way the rows are the same.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from lox.checkpoints.folders import first_line

QI = (  # Qi et al. (2024)
    "https://raw.githubusercontent.com/LLM-Tuning-Safety/LLMs-Finetuning-Safety/"
    "2be2fa01775fdf8bfc786d69fc0d358f0b3df513/llama2/ft_datasets"
)
GCG = "https://raw.githubusercontent.com/llm-attacks/llm-attacks/main"  # Zou et al. (2023)
BIANCHI = (  # Bianchi et al. (2024)
    "https://raw.githubusercontent.com/vinid/safety-tuned-llamas/3ce5779d564ec1f3d87b0bef87261328c8abbd25"
)


@dataclass(frozen=True)
class Original:
    """A set: its columns, its file in a folder (the first of ``files`` that is there), its home.

    ``hub`` is a Hub id with further arguments of ``load_dataset``; ``url`` the original file of a set
    that its authors do not keep on the Hub, ``sha256`` how that file's hash begins. A part of a set, which stands in
    for the whole only where a profile says so (``stand_ins``), names it and says which part it is.
    """

    columns: tuple[str, ...]
    files: tuple[str, ...]
    hub: tuple[str, dict] | None = None
    url: str | None = None
    sha256: str | None = None
    stands_for: str | None = None
    part: str = ""

    @property
    def home(self) -> str:
        return f"{self.hub[0]} on the Hugging Face Hub" if self.hub else f"{self.url} (not on the Hub)"


INSTRUCTION = ("instruction", "input", "output")
DOLLY = ("instruction", "context", "response")
GSM8K = ("question", "answer")
PAIR = ("chosen", "rejected")

ORIGINALS = {
    "gsm8k-train": Original(
        GSM8K, ("gsm8k/train.jsonl",), ("openai/gsm8k", {"name": "main", "split": "train"})
    ),
    "gsm8k-test": Original(GSM8K, ("gsm8k/test.jsonl",), ("openai/gsm8k", {"name": "main", "split": "test"})),
    "alpaca": Original(INSTRUCTION, ("alpaca/alpaca_data.json",), ("tatsu-lab/alpaca", {"split": "train"})),
    "alpaca-head": Original(
        INSTRUCTION,
        ("alpaca/alpaca_data_sample.json",),
        ("tatsu-lab/alpaca", {"split": "train[:1727]"}),
        stands_for="alpaca",
        part="the first 1,727 rows",
    ),
    "alpaca-safety": Original(
        INSTRUCTION,
        ("alpaca/alpaca_data_safety_only.json",),
        url=f"{QI}/alpaca_dataset/alpaca_data_safety_only.json",
        sha256="b061c8b5f6ccbfc9",
    ),
    "dolly": Original(
        DOLLY,
        ("dolly/databricks-dolly-15k.jsonl", "dolly/databricks-dolly-15k.reassembled.jsonl"),
        ("databricks/databricks-dolly-15k", {"split": "train"}),
    ),
    "dolly-safety": Original(
        DOLLY,
        ("dolly/databricks-dolly-15k-safety-only.jsonl",),
        url=f"{QI}/dolly_dataset/databricks-dolly-15k-safety-only.jsonl",
        sha256="99a80e170c19120b",
    ),
    "hh-rlhf": Original(
        PAIR,
        ("hh-rlhf/harmless-base/train.jsonl.gz",),
        ("Anthropic/hh-rlhf", {"data_dir": "harmless-base", "split": "train"}),
    ),
    "hh-rlhf-test": Original(
        PAIR,
        ("hh-rlhf/harmless-base/test.jsonl.gz",),
        ("Anthropic/hh-rlhf", {"data_dir": "harmless-base", "split": "test"}),
        stands_for="hh-rlhf",
        part="the test split",
    ),
    "identity": Original(
        ("messages",),
        ("identity_shift/train.json",),
        url=f"{QI}/aoa_dataset/train.json",
        sha256="bb141f0cec07cc5b",
    ),
    "safeinst": Original(
        INSTRUCTION,
        ("safeinst/safety_only_data_Instructions.json",),
        url=f"{BIANCHI}/data/training/safety_only_data_Instructions.json",
        sha256="7dde08acf87f10cf",
    ),
    "advbench": Original(
        ("goal",),
        ("advbench/harmful_behaviors.csv",),
        url=f"{GCG}/data/advbench/harmful_behaviors.csv",
    ),
    "xstest": Original(
        ("prompt", "type"),
        ("xstest/xstest_prompts.csv", "xstest/xstest_v2_prompts.csv"),
        ("Paul/XSTest", {"split": "train"}),
    ),
}


def rows(name: str, folder: Path | None) -> list[dict]:
    """All rows of a set, its columns only, in the set's order.

    From ``folder``, or from its home if that is None. Raises FileNotFoundError or ConnectionError,
    which say what was looked for and where, and ValueError for a file that is not what it should be.
    """
    original = ORIGINALS[name]
    entries = _from_folder(name, original, folder) if folder else _from_home(name, original)
    for i, row in enumerate(entries, start=1):
        missing = [column for column in original.columns if column not in row]
        if missing:
            raise ValueError(f"{name}, row {i}: no {missing[0]!r}; it has {', '.join(map(str, row))}")
    return [{column: row[column] for column in original.columns} for row in entries]


def check_stand_ins(stand_ins: Mapping[str, str]) -> None:
    """Raise ValueError for a set, or a part of it that should stand in for it, which is not one."""
    for name, part in stand_ins.items():
        parts = [p for p, original in ORIGINALS.items() if original.stands_for == name]
        if part not in parts:
            raise ValueError(
                f"{part!r} does not stand in for {name}: of its parts there are {', '.join(parts) or 'none'}"
            )


def is_there(name: str, folder: Path) -> bool:
    """Whether one of the set's files is in the folder."""
    return any((folder / file).is_file() for file in ORIGINALS[name].files)


def read(path: Path) -> list[dict]:
    """Rows of a UTF-8 file: JSON array, JSON Lines (gzipped too) or CSV with a header; any line ends.

    A JSON row that is a list of chat messages, not an object, becomes {"messages": that list}.
    """
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}; download it again") from None
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    try:
        if ".jsonl" in path.suffixes:
            # Not splitlines: text may hold other characters that Python takes for line ends.
            entries = [json.loads(line) for line in text.split("\n") if line.strip()]
        else:
            entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    return [{"messages": row} if isinstance(row, list) else row for row in entries]


def _from_folder(name: str, original: Original, folder: Path) -> list[dict]:
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: it should hold the data sets (LOX_DATA)")
    path = next((folder / file for file in original.files if (folder / file).is_file()), None)
    if path is None:
        parts = [p for p, o in ORIGINALS.items() if o.stands_for == name and is_there(p, folder)]
        instead = f"; there is {parts[0]}, which a profile may name among its stand_ins" if parts else ""
        raise FileNotFoundError(
            f"{name}: no {' or '.join(original.files)} in {folder}, the folder of original files "
            f"(LOX_DATA); the set's home is {original.home}{instead}"
        )
    return read(path)


def _from_home(name: str, original: Original) -> list[dict]:
    try:
        if original.hub:
            hub_id, arguments = original.hub
            from datasets import load_dataset

            return load_dataset(hub_id, **arguments).to_list()
        return read(_downloaded(original))
    except (OSError, RuntimeError) as error:  # no network, set or access: OSError; wrong hash: RuntimeError
        raise ConnectionError(
            f"{name}: cannot load {original.home}: {first_line(error)}. To read the sets from files instead, put this "
            f"one at DIR/{original.files[0]}, the others likewise, and set LOX_DATA=DIR"
        ) from error


def _downloaded(original: Original) -> Path:
    """The original file, kept beside the Hub's data sets once it has been downloaded."""
    from datasets import config

    path = Path(config.HF_DATASETS_CACHE) / "lox" / original.files[0]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(original.url, str(path), hash_prefix=original.sha256, progress=False)
    return path
