"""How long immunising a checkpoint takes, beside copying it and beside full SVDs, and in how much memory.

    python benchmarks/checkpoint_speed.py FOLDER --table results/checkpoint_speed.csv

Makes a pair of checkpoints in bf16 in FOLDER (which needs 7 GB for the default of 22 layers, 1.1 billion
parameters in the shapes of TinyLlama): random weights, and an update of rank 16 with halving singular values
plus noise. Then measures, each in a process of its own, the files' pages dropped from the system's cache before:

- copy: reading both checkpoints and writing one, flushed to the disk;
- lox, adapter: ``extrapolate_checkpoint``, which flushes likewise;
- full svd: one ``torch.linalg.svd`` for each shape of a matrix, times the number of such matrices.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated

import pandas as pd
import torch
import typer
from safetensors.torch import save_file

import lox.checkpoints.adapter  # noqa: F401 - imported before the clock starts
from lox.checkpoints.extrapolate import extrapolate_checkpoint
from lox.checkpoints.files import Checkpoint
from lox.checkpoints.plan import prepare

HIDDEN, FFN, KEY_VALUE, VOCABULARY = 2048, 5632, 256, 32000
CHUNK = 2**24


def shapes(layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Llama with grouped-query attention."""
    found = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "lm_head.weight": (VOCABULARY, HIDDEN)}
    for i in range(layers):
        block = {
            "input_layernorm": (HIDDEN,),
            "self_attn.q_proj": (HIDDEN, HIDDEN),
            "self_attn.k_proj": (KEY_VALUE, HIDDEN),
            "self_attn.v_proj": (KEY_VALUE, HIDDEN),
            "self_attn.o_proj": (HIDDEN, HIDDEN),
            "post_attention_layernorm": (HIDDEN,),
            "mlp.gate_proj": (FFN, HIDDEN),
            "mlp.up_proj": (FFN, HIDDEN),
            "mlp.down_proj": (HIDDEN, FFN),
        }
        found |= {f"model.layers.{i}.{name}.weight": shape for name, shape in block.items()}
    return found | {"model.norm.weight": (HIDDEN,)}


def update(shape: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Sixteen ranks with halving singular values from 1.5 on, and noise of 2e-4."""
    left, right = (torch.randn(size, 16, generator=generator) for size in shape)
    values = 1.5 * 2.0 ** -torch.arange(16) / (shape[0] * shape[1]) ** 0.5
    return (left * values) @ right.mT + 2e-4 * torch.randn(shape, generator=generator)


def make_pair(folder: Path, layers: int) -> None:
    generator = torch.Generator().manual_seed(0)
    base, aligned = {}, {}
    for name, shape in shapes(layers).items():
        weight = torch.ones(shape) if len(shape) == 1 else 0.02 * torch.randn(shape, generator=generator)
        base[name] = weight.bfloat16()
        step = 0 if len(shape) == 1 else update(shape, generator)
        aligned[name] = (base[name].float() + step).bfloat16()
    for name, tensors in {"base": base, "aligned": aligned}.items():
        (folder / name).mkdir(parents=True)
        save_file(tensors, folder / name / "model.safetensors", metadata={"format": "pt"})


def cold(folder: Path) -> None:
    """Drop what the system has cached of the pair, and what an earlier measurement wrote."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    for path in folder.glob("*/*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def alone(function: Callable[[Path, str], dict], folder: Path, what: str) -> dict:
    """What a function measures in a new process, which has imported the same and found nothing cached."""
    cold(folder)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, folder, what).result()


def copying(folder: Path, _: str) -> dict:
    start, buffer = time.perf_counter(), bytearray(CHUNK)
    (folder / "out").mkdir()
    with (folder / "base" / "model.safetensors").open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    with (
        (folder / "aligned" / "model.safetensors").open("rb", buffering=0) as source,
        (folder / "out" / "model.safetensors").open("wb", buffering=0) as target,
    ):
        while size := source.readinto(buffer):
            target.write(memoryview(buffer)[:size])
        os.fsync(target.fileno())
    return {"seconds": time.perf_counter() - start}


def immunising(folder: Path, what: str) -> dict:
    before, start = peak_memory(), time.perf_counter()
    sides = (folder / name for name in ("base", "aligned", "out"))
    report = extrapolate_checkpoint(*sides, adapter=what == "adapter")
    seconds, error = time.perf_counter() - start, report["error"].max()
    return {"seconds": seconds, "peak": peak_memory(), "before": before, "error": error}


def peak_memory() -> int:
    """Bytes; getrusage would count what the parent held when it started this process."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status).group(1))


def full_svd_seconds(folder: Path) -> float:
    matrices = prepare(folder / "base", folder / "aligned").matrices
    counts = Counter((matrix.rows, matrix.columns) for matrix in matrices)
    total = 0.0
    for shape, count in counts.items():
        delta = update(shape, torch.Generator().manual_seed(0))
        start = time.perf_counter()
        torch.linalg.svd(delta, full_matrices=False)
        total += count * (time.perf_counter() - start)
    return total


def adapter_shell(folder: Path, layers: int) -> None:
    """A configuration beside the weights: an adapter is made for the modules of a known architecture."""
    from transformers import LlamaConfig

    LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=FFN,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=4,
        tie_word_embeddings=False,
        architectures=["LlamaForCausalLM"],
    ).save_pretrained(folder / "aligned")


def provenance() -> dict:
    return {
        "machine": f"{len(os.sched_getaffinity(0))} cores, "
        f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB, "
        f"{torch.backends.cpu.get_cpu_capability()}",
        "load": round(os.getloadavg()[0], 1),
        **{name: version(name) for name in ("lox-book", "torch")},
        "date": date.today().isoformat(),
    }


def main(
    folder: Annotated[Path, typer.Argument(help="Where the checkpoints are made, or are from before.")],
    table: Annotated[Path, typer.Option(help="CSV file that gets the rows of this machine.")],
    layers: int = 22,
    repeats: int = 3,
) -> None:
    """Measure, and write the rows into the table; those of other machines stay there."""
    conditions = provenance()
    if not (folder / "aligned").exists():
        make_pair(folder, layers)
    adapter_shell(folder, layers)
    aligned = Checkpoint.open(folder / "aligned")
    measured_by = {"copy": copying, "lox": immunising, "adapter": immunising}
    runs: dict[str, list[dict]] = {what: [] for what in measured_by}
    for _ in range(repeats):
        for what, function in measured_by.items():
            runs[what].append(alone(function, folder, what))
    cold(folder)
    runs["full svd"] = [{"seconds": full_svd_seconds(folder)}]
    copied = median(run["seconds"] for run in runs["copy"])
    rows = []
    for what, found in runs.items():
        seconds = median(run["seconds"] for run in found)
        row = {"what": what, "seconds": round(seconds, 1), "times_copy": round(seconds / copied, 2)}
        if "peak" in found[0]:
            row["peak_gb"] = round(max(run["peak"] for run in found) / 1e9, 2)
            row["libraries_gb"] = round(max(run["before"] for run in found) / 1e9, 2)
            row["certified_error"] = f"{max(run['error'] for run in found):.1e}"
        rows.append(row)
    sizes = {"checkpoint_gb": round(aligned.size / 1e9, 2)}
    sizes["largest_tensor_gb"] = round(max(t.size for t in aligned.tensors.values()) / 1e9, 3)
    measured = pd.DataFrame(rows).assign(**sizes, repeats=repeats, **conditions)
    if table.exists():
        before = pd.read_csv(table)
        measured = pd.concat([before[before["machine"] != conditions["machine"]], measured])
    measured.to_csv(table, index=False)
    typer.echo(table.read_text())


if __name__ == "__main__":
    typer.run(main)
