"""Tables of runs too long for a build, kept under ``results`` with how they were made."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import yaml

from lox import paths
from lox.book import results, run
from lox.lab import profile as profiles
from lox.lab.setup import Setup


def record(executed: Path, name: str, profile: str, given: Iterable[tuple[str, str]] = ()) -> list[Path]:
    """Keep the tables of a run under ``results/<profile>``, with ``<name>.json``: how they were made.

    ``given`` are the parameters that it was run with. Returns the files. Raises ValueError if it has no tables,
    or holds a seed on which settings were chosen: such a seed is not reported.
    """
    tables, given = run.tables(executed), list(given)
    if not tables:
        raise ValueError(f"notebook {name} makes no tables that could be recorded")
    seeds = seeds_of(profile, given)
    command = ["lox", "run", name, "--profile", profile, *(word for pair in given for word in ("-p", *pair))]
    how = _how(name, profile, shlex.join(command), [path.name for path in tables], seeds, run.facts(executed))
    return [Path(shutil.copy(path, how.parent)) for path in tables] + [how]


def record_tables(setup: Setup, name: str, command: str, tables: Mapping[str, pd.DataFrame]) -> list[Path]:
    """``record`` for what no notebook made: ``tables`` by name, computed by ``command`` on the profile's seeds."""
    profile, names = setup.profile.name, [f"{table}.csv" for table in tables]
    how = _how(name, profile, command, names, list(setup.seeds), results.facts(setup))
    for table, file in zip(tables.values(), names):
        table.to_csv(how.parent / file, index=False, float_format="%.6g")
    return [how.parent / file for file in names] + [how]


def _how(name: str, profile: str, command: str, tables: list[str], seeds: list[int], facts: dict) -> Path:
    folder = paths.project("results", profile)
    folder.mkdir(parents=True, exist_ok=True)
    made_by = {"command": command, "commit": _commit(), "tables": tables, "seeds": seeds}
    how = folder / f"{name}.json"
    how.write_text(json.dumps(made_by | facts, indent=2) + "\n")
    return how


def seeds_of(profile: str, given: Iterable[tuple[str, str]]) -> list[int]:
    """The seeds of a run, the profile's own where none are given; ValueError for one that settings were chosen on."""
    settings = profiles.load(profile)
    seeds = yaml.safe_load(dict(given).get("seeds", "null")) or list(settings.seeds)
    if chosen_on := set(seeds) & set(settings.selection_seeds):
        raise ValueError(
            f"settings were chosen on seed {min(chosen_on)}: it is not reported, and so not recorded"
        )
    return seeds


def _commit() -> str:
    """The commit of the code, with "-dirty" where files differ from it."""
    command = ["git", "-C", str(paths.ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    described = subprocess.run(command, check=False, capture_output=True, text=True)
    return described.stdout.strip() or "not under version control"
