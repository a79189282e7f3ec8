"""Makes and records the toy world on the arithmetic that this process computes with.

``ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 python -m lox.book.chapters.toy_world.record`` computes as a
processor without AVX-512 does. Without the two variables it is the processor's own arithmetic.
"""

from __future__ import annotations

import os

import torch
import typer

from lox.book.chapters.effective_rank import measure as effective_rank
from lox.book.chapters.robustness import measure as robustness
from lox.book.chapters.toy_world.wishes import ARITHMETIC
from lox.book.record import record_tables
from lox.lab import stages
from lox.lab.setup import load

SWITCHES = (
    "ATEN_CPU_CAPABILITY",
    "MKL_ENABLE_INSTRUCTIONS",
)  # of torch's own kernels, and of its matrix products
RANKS = (0, 1, 2)


def main(profile: str = "toy", workers: int = 1) -> None:
    """Write ``arithmetic_NAME.csv`` and ``arithmetic_NAME_ranks.csv`` of PROFILE's seeds; NAME is torch's own for it.

    Models of another arithmetic are other models: each has stages of its own, and no base model is a kept one.
    """
    name = torch.backends.cpu.get_cpu_capability().lower()
    os.environ["LOX_STAGES"] = str(stages.root() / "arithmetic" / name)
    os.environ["LOX_BASES"] = os.devnull
    setup = load(profile)
    made = robustness.run(setup, list(setup.profile.attacks), setup.seeds, {"none": {}, "lox": {}}, workers)
    curves = effective_rank.evaluated(setup, setup.seeds, RANKS, workers)
    tables = {
        f"{ARITHMETIC}{name}": made.rows,
        f"{ARITHMETIC}{name}_ranks": effective_rank.curves(setup, curves),
    }
    switched = [f"{switch}={os.environ[switch]}" for switch in SWITCHES if switch in os.environ]
    command = " ".join([*switched, f"python -m {__spec__.name} --profile {profile}"])
    for path in record_tables(setup, f"{ARITHMETIC}{name}", command, tables):
        typer.echo(path)


if __name__ == "__main__":
    typer.run(main)
