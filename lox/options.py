"""Arguments and options that several commands share."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import typer

METHOD, RUNNING, ASKING = "Method", "Running", "Asking"  # the groups of options in --help
Base = Annotated[str, typer.Argument(metavar="BASE", help="Before alignment: a folder or a Hub id.")]
Aligned = Annotated[str, typer.Argument(metavar="ALIGNED", help="After alignment: a folder or a Hub id.")]
K = Annotated[
    str,
    typer.Option(help='Rank of the safety subspace, or "full".', metavar="INT|full", rich_help_panel=METHOD),
]
Matrices = Annotated[
    Literal["all", "linear"],
    typer.Option(help="all: every matrix; linear: no embeddings, no output head.", rich_help_panel=METHOD),
]
Device = Annotated[
    str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, …", rich_help_panel=RUNNING)
]
Profile = Annotated[
    str, typer.Option(help="Scale of the experiments: a file in lox/lab/profiles, without its ending.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but errors.", rich_help_panel=RUNNING)
]


def rank(text: str) -> int | str:
    """k as it was typed: a number where it is one; the method itself says what is wrong with it."""
    return int(text) if re.fullmatch("-?[0-9]+", text) else text
