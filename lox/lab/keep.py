"""Trains the base models of the toy's seeds and keeps them under ``data/bases``: ``python -m lox.lab.keep``.

It can be interrupted at any time: what was trained is found again.
"""

from __future__ import annotations

import typer

from lox.lab import bases
from lox.lab.setup import load


def main(profile: str = "toy") -> None:
    """Train and keep the base model of every reported seed of PROFILE; kept ones of another making are removed."""
    setup = load(profile)
    trained = {setup.kept_base(seed): setup.trained_base(seed) for seed in setup.seeds}
    for old in set(bases.root().glob("seed-*-*.safetensors")) - set(trained):
        old.unlink()
    for kept, folder in trained.items():
        bases.keep(folder, kept)
        typer.echo(kept)


if __name__ == "__main__":
    typer.run(main)
