"""Trains the base models of the toy's seeds and keeps them under ``data/bases``: ``python -m lox.lab.keep``.

It can be interrupted at any time: what was trained is found again.
"""

from __future__ import annotations

import typer

from lox.lab import bases
from lox.lab.profile import ToyModel, load
from lox.lab.worlds.toy import ToyWorld


def main(profile: str = "toy") -> None:
    """Train and keep the base model of every reported seed of PROFILE; kept ones of another making are removed."""
    settings, world = load(profile), ToyWorld()
    model = settings.model
    if not isinstance(model, ToyModel):
        raise typer.BadParameter(f"{profile} trains no base model", param_hint="PROFILE")
    trained = {bases.kept(model, world, seed): bases.trained(model, world, seed) for seed in settings.seeds}
    for old in set(bases.root().glob("seed-*-*.safetensors")) - set(trained):
        old.unlink()
    for file, folder in trained.items():
        bases.keep(folder, file)
        typer.echo(file)


if __name__ == "__main__":
    typer.run(main)
