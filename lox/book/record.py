"""Tables of runs too long for a build, kept under ``results`` with how they were made."""

from __future__ import annotations

import ast
import json
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

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
    seeds = seeds_of(name, profile, given)
    command = ["lox", "run", name, "--profile", profile, *(word for pair in given for word in ("-p", *pair))]
    folder = _folder(profile)
    kept = [Path(shutil.copy(path, folder)) for path in tables]
    return [*kept, _how(folder, name, shlex.join(command), kept, seeds, run.facts(executed))]


def record_tables(
    setup: Setup,
    name: str,
    command: str,
    tables: Mapping[str, pd.DataFrame],
    seeds: Sequence[int] | None = None,
) -> list[Path]:
    """``record`` for what no notebook made: ``tables`` by name, computed by ``command``.

    ``seeds`` are those of the tables where they are not the profile's reported ones, as in a choice of settings.
    """
    folder = _folder(setup.profile.name)
    kept = [folder / f"{table}.csv" for table in tables]
    for table, path in zip(tables.values(), kept):
        table.to_csv(path, index=False, float_format="%.6g")
    return [*kept, _how(folder, name, command, kept, list(seeds or setup.seeds), results.facts(setup))]


def _folder(profile: str) -> Path:
    folder = paths.project("results", profile)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _how(folder: Path, name: str, command: str, tables: list[Path], seeds: list[int], facts: dict) -> Path:
    """What vouches for the tables, written when they are whole."""
    names = [path.name for path in tables]
    made_by = {"command": command, "commit": _commit(), "tables": names, "seeds": seeds}
    how = folder / f"{name}.json"
    how.write_text(json.dumps(made_by | facts, indent=2) + "\n")
    return how


def seeds_of(name: str, profile: str, given: Iterable[tuple[str, str]]) -> list[int]:
    """The seeds of a notebook's run; what is None is the profile's. ValueError for one that settings were chosen on."""
    settings, values = profiles.load(profile), _values(name, profile, given)
    one = values.get("seed")
    seeds = values.get("seeds") or ([one] if one is not None else list(settings.seeds))
    if chosen_on := {*seeds, one} & set(settings.selection_seeds):
        raise ValueError(
            f"settings were chosen on seed {min(chosen_on)}: it is not reported, and so not recorded"
        )
    return seeds


def parameters(folder: str, name: str) -> dict[str, Any]:
    """What a notebook's recorded run was made with: the parameters of its command, else the notebook's."""
    how = results.how_recorded(folder, name)
    command = shlex.split(how["command"])
    places = [i for i, word in enumerate(command) if word == "-p"]
    return _values(name, how["profile"], [(command[i + 1], command[i + 2]) for i in places])


def recorded_alike(
    rows: pd.DataFrame,
    names: Mapping[str, str],
    cell: Sequence[str],
    settings: Sequence[str],
    given: Mapping[str, Any] | None = None,
) -> list[dict[str, pd.DataFrame]]:
    """``results.recorded_alike`` of each record of a run's profile, the latest first; without any the list is empty.

    With ``given``, of those that were made with these parameters of the notebook ``names["rows"]``.
    """
    found = []
    for folder in results.records_of(rows["profile"].iloc[0]):
        tables = results.recorded_alike(rows.assign(profile=folder), names, cell, settings)
        if tables and (not given or _has(parameters(folder, names["rows"]), given)):
            found.append(tables)
    return found


def _has(parameters: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return all(parameters[name] == value for name, value in given.items())


def _values(name: str, profile: str, given: Iterable[tuple[str, str]]) -> dict[str, Any]:
    defaults = {p.name: ast.literal_eval(p.default) for p in run.parameters(name)}
    return defaults | run.checked(name, profile, list(given))


def _commit() -> str:
    """The commit of the code, with "-dirty" where tracked files differ from it, recorded tables aside."""
    git = partial(subprocess.run, check=False, capture_output=True, text=True, cwd=paths.ROOT)
    commit = git(["git", "describe", "--always", "--exclude", "*"]).stdout.strip()
    changed = git(["git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results"]).stdout
    return f"{commit}{'-dirty' if changed else ''}" if commit else "not under version control"
