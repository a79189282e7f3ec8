"""Stages on disk: folders named by what determines them, whole or absent, made once.

A stage's name is a hash of its recipe (settings, seed, data, the stages it starts from), of the definitions of
this package that compute it (``lox.lab.fingerprint``) and of the versions of the libraries that can change it.
So a change of any of them makes a new stage, and two notebooks that need the same model share it.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from lox import paths
from lox.checkpoints.unfinished import whole
from lox.lab.fingerprint import code_fingerprint, content_hash, file_hash

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
RECORD = "stage.json"

_used: dict[Path, dict] = {}  # the stages that this process asked for -> their records
_made: dict[Path, float] = {}  # those of them that it made itself -> seconds


def root() -> Path:
    """Where stages are kept: the folder that LOX_STAGES names, else ``stages`` in the project."""
    return Path(os.environ.get("LOX_STAGES") or paths.ROOT / "stages").absolute()


def stage(kind: str, recipe: dict, build: Callable[[Path], None], code: Sequence[Callable]) -> Path:
    """The folder of a stage, made by ``build(folder)`` if it is not there yet.

    ``recipe`` is plain data that, with the functions, classes or methods ``code`` and all that they use in this
    package, determines the result. Built under a temporary name and renamed when whole, under a file lock; what
    an interrupted run left half-written is removed, and a stage whose files were damaged since is made anew, with
    a warning. ``stage.json`` holds recipe, versions, digests of the files, time and memory.
    """
    made_from = {
        "kind": kind,
        "recipe": recipe,
        "code": code_fingerprint(*code),
        "versions": {name: version(name) for name in LIBRARIES},
    }
    folder = root() / kind / content_hash(made_from)
    if folder not in _used:
        if not folder.exists() or _damage(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):
                _make(folder, made_from, build)
        _used[folder] = record(folder)
    return folder


def name(folder: Path) -> str:
    """What a stage, or a folder inside one, is called in the recipe of another."""
    return str(folder.relative_to(root()))


def used() -> dict[Path, dict]:
    """The stages that this process asked for, whoever made them: folder -> record."""
    return dict(_used)


def also_used(records: dict[Path, dict]) -> None:
    """Counts what another process asked for, its ``used()``, among what this one did."""
    _used.update(records)


def record(folder: Path) -> dict:
    """What ``stage.json`` says: kind, recipe, code, versions, ``files`` with their digests, the ``seconds`` it
    took to make, and ``peak_gib``, the most memory that the process which made it had used by then."""
    return json.loads((folder / RECORD).read_text())


def _make(folder: Path, made_from: dict, build: Callable[[Path], None]) -> None:
    """Build what is not there, or no longer whole; another process may have done so in the meantime."""
    if folder.exists():
        damage = _damage(folder)
        if not damage:
            return
        warnings.warn(f"stage {name(folder)} is damaged ({damage}) and is made anew", stacklevel=3)
        shutil.rmtree(folder)
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    start, before = time.perf_counter(), sum(_made.values())
    with whole(folder, unfinished):
        build(unfinished)
        # stages that this one had to make first have times of their own
        within = sum(_made.values()) - before
        seconds = _made[folder] = round(time.perf_counter() - start - within, 2)
        peak_gib = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
        made = {"files": _digests(unfinished), "seconds": seconds, "peak_gib": peak_gib}
        (unfinished / RECORD).write_text(json.dumps(made_from | made, indent=2))


def _damage(folder: Path) -> str:
    """What is wrong with a stage's files; empty where they are as they were written."""
    try:
        files = record(folder)["files"]
    except (OSError, ValueError, KeyError):
        return f"no readable {RECORD}"
    now = _digests(folder)
    return next((f"{file} has changed" for file in files if files[file] != now.get(file)), "")


def _digests(folder: Path) -> dict[str, str]:
    """Path within the folder -> digest of each file but the record."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
    return {str(path.relative_to(folder)): file_hash(path) for path in files}
