"""Progress of a run whose work happens in notebook kernels: which stages are being made, on the terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from lox.lab import stages


@contextmanager
def stage_progress(what: str) -> Iterator[None]:
    """While the block runs, show on stderr what is being made and how many stages have been made."""
    console = Console(stderr=True)
    finished = threading.Event()
    before = _made()
    with console.status(what) as status:

        def watch() -> None:
            while not finished.wait(1):
                making = sorted({path.parent.name for path in stages.root().glob("*/*.unfinished")})
                new = len(_made() - before)
                status.update(f"{what}: {new} stages made, in the making: {', '.join(making) or 'none'}")

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()


def _made() -> set:
    return set(stages.root().glob("*/*/stage.json"))
