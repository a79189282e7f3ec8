"""A table as a new CSV file: that it can be written is known before the work, and nothing is overwritten."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd


@contextmanager
def new_table(path: Path | None, outside: Path | None = None) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that writes a table to ``path``, whole or not at all; it does nothing for None.

    Raises at once FileExistsError where ``path`` is there, ValueError where it lies in ``outside``, a folder
    that is to appear later, and OSError where its folder is not there or nothing can be written to it.
    A table that cannot be written after all, on a full disk, is printed instead of lost.
    """
    if path is None:
        yield lambda table: None
        return
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe or a terminal
        yield lambda table: table.to_csv(path, index=False)
        return
    if os.path.lexists(path):
        raise FileExistsError(f"{path}: exists already; remove it, or name another file")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path}: its folder does not exist")
    if outside and path.absolute().is_relative_to(outside.absolute()):
        raise ValueError(f"{path}: lies in {outside}, which appears only when it is whole; name another file")
    part = path.with_name(f".{path.name}.part")
    try:
        part.touch()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        yield lambda table: _write(table, part, path)
    finally:
        part.unlink(missing_ok=True)


def _write(table: pd.DataFrame, part: Path, path: Path) -> None:
    try:
        table.to_csv(part, index=False)
        if os.path.lexists(path):
            raise FileExistsError(f"{path}: appeared in the meantime")
        part.rename(path)
    except OSError as error:
        table.to_csv(sys.stdout, index=False)
        error.add_note("the table is printed instead")
        raise
