"""Folders that appear only when they are whole, and are gone on with after an interruption."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def unfinished_folder(out: Path, key: str) -> Iterator[Path]:
    """A folder beside ``out`` to write into, which becomes ``out`` when the block ends without an error.

    ``key`` names what determines the content: the next call with the same one gets the same folder with
    the files that were finished (their names do not end in ``.part``); after an error a folder without any
    is removed. Raises FileExistsError where ``out`` is there and is no empty folder, ValueError where
    another process is at work on the same.
    """
    out = Path(os.path.abspath(out))
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(f"{out}: exists already; remove it, or write somewhere else")
    folder = out.with_name(f".{out.name}.{key}.unfinished")
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        with lock.acquire(timeout=0):
            yield folder
    except Timeout:
        raise ValueError(f"{out}: another process is writing it") from None
    except BaseException:
        if all(path.suffix in (".part", ".lock", "") for path in folder.iterdir()):
            shutil.rmtree(folder)
        raise
    (folder / ".lock").unlink(missing_ok=True)
    if out.exists():
        out.rmdir()
    folder.rename(out)
