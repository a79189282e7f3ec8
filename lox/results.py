"""What a page of the book shows around its results: header, downloads, published numbers, provenance."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import psutil
import torch
from IPython.display import Markdown

from lox import models
from lox.experiment import Setup

ROOT = Path(__file__).parent.parent
LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "papermill", "jupyter-book")


def save(frame: pd.DataFrame, name: str) -> Markdown:
    """Write a table as ``<name>.csv`` beside the executed notebook; shows a link to download it."""
    path = Path(f"{name}.csv")
    frame.to_csv(path, index=False, float_format="%.6g")
    return Markdown(f"Download this table: [{path}]({path}) ({len(frame)} rows)")


def paper(name: str) -> pd.DataFrame:
    """Published numbers, ``data/paper/<name>.csv``. ValueError, naming the known ones, if there are none."""
    folder = ROOT / "data" / "paper"
    path = folder / f"{name}.csv"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.csv")))
        raise ValueError(f"no published numbers {name!r}: there are {known}")
    return pd.read_csv(path)


def header(setup: Setup) -> Markdown:
    """What a page was run with: profile, data, judge, prompts and seeds, as a table."""
    profile = setup.profile
    evaluation = profile.evaluation
    return _two_columns(
        {
            "Profile": f"`{profile.name}`: {profile.description}",
            "Data": f"{profile.data} (digest `{setup.source.digest()[:12]}`)",
            "Judge": f"`{setup.judge.name}`",
            "Prompts": f"{evaluation.harmful} harmful, {evaluation.benign} benign, {evaluation.utility} "
            f"problems; greedy replies of up to {evaluation.new_tokens} tokens",
            "Seeds": f"reported {', '.join(map(str, profile.seeds))}; "
            f"settings chosen on {profile.selection_seed}",
        }
    )


def provenance(setup: Setup) -> Markdown:
    """With which versions, on what, when and how long this page was run, as a table."""
    seconds = time.time() - psutil.Process().create_time()
    memory = psutil.virtual_memory().total / 2**30
    return _two_columns(
        {
            "Run": f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, {seconds:.0f} s "
            "(stages that other pages made are reused)",
            "Machine": f"{os.cpu_count()} cores, {memory:.0f} GiB, device `{models.device()}`, "
            f"{torch.get_num_threads()} threads",
            "Python": platform.python_version(),
            "Versions": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
            "Profile": f"`{setup.profile.name}`",
        }
    )


def _two_columns(entries: dict[str, str]) -> Markdown:
    lines = ["| | |", "|:--|:--|", *(f"| {key} | {value} |" for key, value in entries.items())]
    return Markdown("\n".join(lines))
