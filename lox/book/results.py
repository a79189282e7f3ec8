"""What a page shows around its results: header, downloads, published and recorded numbers, provenance."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import psutil
import torch
from IPython.display import Markdown

from lox.lab import models, stages
from lox.lab.profile import Profile
from lox.lab.setup import Setup
from lox.lab.worlds.originals import ORIGINALS
from lox.paths import ROOT

LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "papermill", "jupyter-book")


def save(frame: pd.DataFrame, name: str) -> Markdown:
    """Write a table as ``<name>.csv`` beside the executed notebook; shows a link to download it, if it has rows."""
    path = Path(f"{name}.csv")
    frame.to_csv(path, index=False, float_format="%.6g")
    if frame.empty:
        return Markdown(f"This run leaves nothing for the table {path}.")
    return Markdown(f"Download this table: [{path}]({path}) ({len(frame)} rows)")


def paper(name: str) -> pd.DataFrame:
    """Published numbers, ``data/paper/<name>.csv``. ValueError, naming the known ones, if there are none."""
    return _table(ROOT / "data" / "paper", name, "published numbers")


def recorded_in(profile: str) -> Path:
    """Where the recorded tables of a profile are kept."""
    return ROOT / "results" / profile


def records_of(profile: str) -> list[str]:
    """The folders in which a profile's runs are recorded, the latest first; the run before it is kept as -earlier."""
    earlier = f"{profile}-earlier"
    return [profile, earlier] if recorded_in(earlier).is_dir() else [profile]


def recorded(profile: str, name: str) -> pd.DataFrame:
    """A table that a run too long for a build left, ``results/<profile>/<name>.csv`` (``lox run --record``).

    ValueError, naming the known tables, if there is no such one.
    """
    return _table(recorded_in(profile), name, f"recorded table of profile {profile}")


def recorded_alike(
    rows: pd.DataFrame, names: Mapping[str, str], cell: Sequence[str], settings: Sequence[str]
) -> dict[str, pd.DataFrame] | None:
    """The recorded tables of a run's profile, where they were made with the settings of the run.

    ``names`` are the tables' names by what they are; like the run's ``rows``, the one under "rows" has a row for each
    model. ``cell`` are the columns that say which models a row is of, as task and defence do, ``settings`` those that
    say how they were made and asked. None where a table was not recorded, where run and record share no cell, or
    where a shared one has other settings.
    """
    try:
        tables = {what: recorded(rows["profile"].iloc[0], name) for what, name in names.items()}
    except ValueError:
        return None
    ours, theirs = (_settings_of_cells(table, cell, settings) for table in (rows, tables["rows"]))
    shared = ours.keys() & theirs.keys()
    return tables if shared and all(ours[one] == theirs[one] for one in shared) else None


def how_recorded(profile: str, notebook: str) -> dict:
    """How a notebook's recorded tables were made: command, commit, seeds, versions, machine, time, memory."""
    return json.loads((recorded_in(profile) / f"{notebook}.json").read_text())


def records(profile: str) -> pd.DataFrame:
    """How the recorded tables of a profile were made, a row for each run."""
    runs = [how_recorded(profile, path.stem) for path in sorted(recorded_in(profile).glob("*.json"))]
    lines = [
        {
            "Command": f"`{run['command']}`",
            "Seeds": ", ".join(map(str, run["seeds"])),
            "Computing": f"{run['computing_seconds'] / 60:.0f} min",
            "Peak memory": f"{run['peak_memory_gib']:.1f} GiB",
            "Machine": f"{run['machine']}; {run['device']}, {run['threads']} threads",
            "When": run["when"],
            "Code": f"`{run['commit']}`",
        }
        for run in runs
    ]
    return pd.DataFrame(lines)


def header(setup: Setup) -> Markdown:
    """What a page was run with: profile, data, judge, LoX, prompts and seeds, as a table."""
    profile = setup.profile
    evaluation = profile.evaluation
    in_persona = f", in persona {evaluation.persona_tokens}" if evaluation.persona_tokens else ""
    return _two_columns(
        {
            "Profile": f"`{profile.name}`: {profile.description}",
            "Data": f"{profile.data} (digest `{setup.world.digest()[:12]}`){stood_in(profile)}",
            "Judge": f"`{setup.judge.name}`",
            "LoX": f"k = {profile.lox.k}, α = {profile.lox.alpha:g}, unless a parameter of the page says otherwise",
            "Prompts": f"{evaluation.harmful} harmful, {evaluation.benign} benign, {evaluation.utility} "
            f"problems; greedy replies of up to {evaluation.new_tokens} tokens{in_persona}",
            "Seeds": f"reported {', '.join(map(str, profile.seeds))}; "
            f"settings chosen on {', '.join(map(str, profile.selection_seeds))}",
        }
    )


def stood_in(profile: Profile) -> str:
    """The parts of real sets that a profile reads instead of the whole, in words; "" if there are none."""
    parts = [f"of {name} {ORIGINALS[part].part}" for name, part in profile.stand_ins.items()]
    return f"; {', '.join(parts)}" if parts else ""


def provenance(setup: Setup) -> Markdown:
    """With which versions, on what, when and how long this page was run, as a table.

    The same facts go with it as metadata, for ``lox.book.run.record``.
    """
    made = facts(setup)
    shown = {
        "Run": f"{made['when']}, {made['seconds']:.0f} s; the models and replies it rests on took "
        f"{made['computing_seconds']:.0f} s to compute, by this page or others",
        "Machine": f"{made['machine']}, device `{made['device']}`, "
        f"{made['threads']} {'thread' if made['threads'] == 1 else 'threads'}",
        "Memory": f"{made['peak_memory_gib']:.1f} GiB at the peak",
        "Python": made["python"],
        "Versions": ", ".join(f"{name} {number}" for name, number in made["versions"].items()),
        "Profile": f"`{setup.profile.name}`",
    }
    if made["kept_bases"]:
        shown["Base models"] = f"{made['kept_bases']} kept in `data/bases`, not trained in this run"
    return _two_columns(shown, metadata={"lox": made})


def facts(setup: Setup) -> dict:
    """When, on what and with which versions this process runs, and what the stages it used took to compute."""
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": time.time() - psutil.Process().create_time(),
        "computing_seconds": sum(stage["seconds"] for stage in stages.used().values()),
        "kept_bases": sum("kept" in stage["recipe"] for stage in stages.used().values()),
        "peak_memory_gib": max((stage.get("peak_gib", 0.0) for stage in stages.used().values()), default=0.0),
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "device": torch.cuda.get_device_name() if models.device() == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
        "profile": setup.profile.name,
        "data": setup.world.digest(),
        "stand_ins": setup.profile.stand_ins,
    }


def _table(folder: Path, name: str, what: str) -> pd.DataFrame:
    path = folder / f"{name}.csv"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.csv"))) or "none"
        raise ValueError(f"no {what} {name!r}: there are {known}")
    return pd.read_csv(path)


def _settings_of_cells(
    rows: pd.DataFrame, cell: Sequence[str], settings: Sequence[str]
) -> dict[tuple, set[tuple]]:
    """Cell -> the settings of its rows as text, for a file does not keep types; a column that is not there is empty."""
    rows = rows.reindex(columns=[*cell, *settings]).astype(object)
    return {
        one: {tuple(map(_as_in_a_file, row)) for row in group[[*settings]].itertuples(index=False)}
        for one, group in rows.groupby([*cell])
    }


def _as_in_a_file(value) -> str:
    """A value as text, the same before it is written to a file and after: 1, 1.0 and "1" are "1", no value is "nan"."""
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return "nan" if value is None else str(value)


def _two_columns(entries: dict[str, str], metadata: dict | None = None) -> Markdown:
    lines = ["| What | Value |", "|:--|:--|", *(f"| {key} | {value} |" for key, value in entries.items())]
    return Markdown("\n".join(lines), metadata=metadata)
