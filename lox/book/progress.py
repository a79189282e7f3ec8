"""Progress of a run whose work happens in notebook kernels: which stages are being made, on the terminal."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from lox.lab import stages

SECONDS = 2  # between two looks


@contextmanager
def stage_progress(what: str) -> Iterator[None]:
    """While the block runs, show on stderr what is being made and how many stages have been made."""
    console = Console(stderr=True)
    finished = threading.Event()
    before = _made(_names())
    with console.status(what) as status:

        def watch() -> None:
            while not finished.wait(SECONDS):
                names = _names()
                making = sorted({kind for kind, name in names if name.endswith(".unfinished")})
                new = len(_made(names) - before)
                status.update(f"{what}: {new} stages made, in the making: {', '.join(making) or 'none'}")

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()


def _names() -> set[tuple[str, str]]:
    """(kind, name) of all that lies among the stages: by listing folders alone, for there may be thousands."""
    root = stages.root()
    kinds = [kind for kind in os.scandir(root) if kind.is_dir()] if root.is_dir() else []
    return {(kind.name, entry.name) for kind in kinds for entry in os.scandir(kind)}


def _made(names: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The stages that are whole: what is beside them, or not finished, has an ending."""
    return {(kind, name) for kind, name in names if "." not in name}
