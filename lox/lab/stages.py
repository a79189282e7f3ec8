"""Stages on disk: folders named by what determines them, whole or absent, made once.

A stage's name is a hash of its recipe (settings, seed, the stages it starts from), of the code that
makes it and of the versions of the libraries that can change it. So a change of either makes a new
stage, and two notebooks that need the same model share it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import resource
import shutil
import time
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from lox.paths import PACKAGE

LIBRARIES = ("torch", "transformers", "trl", "datasets")

_used: dict[Path, dict] = {}  # the stages that this process asked for -> their records
_made: dict[Path, float] = {}  # those of them that it made itself -> seconds


def root() -> Path:
    """Where stages are kept: the folder that LOX_STAGES names, else ``stages`` beside the package."""
    return Path(os.environ.get("LOX_STAGES") or PACKAGE.parent / "stages")


def stage(kind: str, recipe: dict, build: Callable[[Path], None], code: Callable) -> Path:
    """The folder of a stage, made by ``build(folder)`` if it is not there yet.

    ``recipe`` is plain data that, with the source of ``code`` and all of lox that it imports,
    determines the result. Built under a temporary name and renamed when whole, under a file lock;
    what an interrupted run left half-written is removed. ``stage.json`` holds recipe, versions, time, memory.
    """
    made_from = {
        "kind": kind,
        "recipe": recipe,
        "code": code_fingerprint(code),
        "versions": {name: version(name) for name in LIBRARIES},
    }
    folder = root() / kind / content_hash(made_from)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.exists():
                _build(folder, made_from, build)
    if folder not in _used:
        _used[folder] = record(folder)
    return folder


def used() -> dict[Path, dict]:
    """The stages that this process asked for, whoever made them: folder -> record."""
    return dict(_used)


def also_used(records: dict[Path, dict]) -> None:
    """Counts what another process asked for, its ``used()``, among what this one did."""
    _used.update(records)


def record(folder: Path) -> dict:
    """What ``stage.json`` says: kind, recipe, code, versions, the ``seconds`` it took to make, and
    ``peak_gib``, the most memory that the process which made it had used by then."""
    return json.loads((folder / "stage.json").read_text())


def content_hash(data) -> str:
    """Sixteen hexadecimal digits that name plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


@cache
def code_fingerprint(function: Callable) -> str:
    """Hash of the source of a function's module and of every lox module it imports, however far down."""
    sources = {}
    waiting = [function.__module__]
    while waiting:
        name = waiting.pop()
        if name not in sources:
            sources[name] = _source_file(name).read_text()
            waiting += _lox_imports(sources[name])
    return content_hash(sources)


def _source_file(module: str) -> Path:
    path = PACKAGE.parent / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _lox_imports(source: str) -> set[str]:
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "lox":
            imported.update(f"lox.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lox."):
            imported.add(node.module)
    return imported


def _build(folder: Path, made_from: dict, build: Callable[[Path], None]) -> None:
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    start, before = time.perf_counter(), sum(_made.values())
    build(unfinished)
    within = sum(_made.values()) - before  # stages that this one had to make first have times of their own
    seconds = _made[folder] = round(time.perf_counter() - start - within, 2)
    cost = {
        "seconds": seconds,
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    (unfinished / "stage.json").write_text(json.dumps(made_from | cost, indent=2))
    unfinished.rename(folder)
