"""A table or another file that is new: that it can be written is known before the work, nothing is overwritten."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

Write = Callable[[Path], object]  # writes a file at a path


@contextmanager
def new_table(path: Path | None, outside: Path | None = None) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that writes a table to ``path``, whole or not at all; it does nothing for None.

    Raises at once what ``new_file`` does. A table that cannot be written after all, on a full disk, is printed
    instead of lost.
    """
    with new_file(path, outside) as save:

        def save_or_print(table: pd.DataFrame) -> None:
            try:
                save(lambda part: table.to_csv(part, index=False))
            except OSError as error:
                table.to_csv(sys.stdout, index=False)
                error.add_note("the table is printed instead")
                raise

        yield save_or_print


@contextmanager
def new_file(path: Path | None, outside: Path | None = None) -> Iterator[Callable[[Write], object]]:
    """A function that has a file written, whole or not at all; it does nothing for None.

    Raises at once FileExistsError where ``path`` is there, ValueError where it lies in ``outside``, a folder
    that is to appear later, and OSError where its folder is not there or nothing can be written to it.
    """
    if path is None:
        yield lambda write: None
        return
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe or a terminal
        yield lambda write: write(path)
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
        yield lambda write: _write(write, part, path)
    finally:
        part.unlink(missing_ok=True)


def _write(write: Write, part: Path, path: Path) -> None:
    write(part)
    if os.path.lexists(path):
        raise FileExistsError(f"{path}: appeared in the meantime")
    part.rename(path)
