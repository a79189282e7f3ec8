"""Sweeps: a table with a row per run of a notebook; what the runs found, gathered in one tidy table."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from lox.book import run
from lox.lab.fingerprint import content_hash

GIVEN = "given_"  # begins the columns of a gathered table that hold what a cell was given
READABLE = 100  # characters of a cell's name before its hash: file systems allow 255 in all


@dataclass(frozen=True)
class Cell:
    """One run of a notebook: its profile, and the sweep's other columns as text, empty for a default."""

    notebook: str
    profile: str
    columns: tuple[tuple[str, str], ...]

    @property
    def given(self) -> list[tuple[str, str]]:
        """The parameters that are not left at their default, as text."""
        return [(name, text) for name, text in self.columns if text]

    @cached_property
    def values(self) -> dict[str, Any]:
        """The parameters as parsed, with the profile; ValueError for what ``lox run`` would refuse."""
        return run.checked(self.notebook, self.profile, self.given)

    @property
    def name(self) -> str:
        """Readable, and different for different cells: it ends in a hash of notebook, profile and values."""
        values = self.values
        words = [self.notebook, self.profile]
        words += [key + _plain(value) for key, value in values.items() if key != "profile"]
        return f"{'-'.join(words)[:READABLE]}-{content_hash([self.notebook, values])[:8]}"

    @property
    def made_from(self) -> str:
        """Hash of all that determines the cell's results, by which ``lox book`` sees what is current."""
        return run.fingerprint(self.notebook, self.values)

    @property
    def arguments(self) -> str:
        """The cell as arguments of ``lox run``, quoted for a shell."""
        pairs = [word for name, value in self.given for word in ("-p", name, value)]
        return shlex.join([self.notebook, "--profile", self.profile, *pairs])

    @property
    def executed(self) -> str:
        """Where the cell's executed notebook lies below the folder of its sweep."""
        return f"{self.name}/{self.profile}/{self.notebook}.ipynb"


def read(table: Path) -> dict[str, Cell]:
    """The cells of a sweep by name, from a CSV file with columns notebook, profile and parameters.

    An empty value leaves a parameter at the notebook's default. Raises ValueError, naming file and line,
    for a row that ``lox run`` would refuse, whose notebook has no table of results, or that repeats another.
    """
    cells: dict[str, Cell] = {}
    for line, row in _rows(table):
        try:
            cell = _cell(row)
            name = cell.name
        except ValueError as error:
            raise ValueError(f"{table}, line {line}: {error}") from None
        if name in cells:
            raise ValueError(f"{table}, line {line}: repeats the cell {name}")
        cells[name] = cell
    if not cells:
        raise ValueError(f"{table}: no rows")
    return cells


def gather(cells: dict[str, Cell], folder: Path) -> pd.DataFrame:
    """The main tables of executed cells below ``folder``, one under the other, as text, digit for digit.

    A notebook's main table is the one named as itself. Before its columns stand ``cell``, ``notebook``
    and, with "given_" before their names, the profile and parameters that the cell was given.
    """
    given = pd.DataFrame([_columns_given(cell) for cell in cells.values()])
    results = [
        pd.read_csv((folder / cell.executed).with_suffix(".csv"), dtype=str, keep_default_na=False)
        for cell in cells.values()
    ]
    gathered = pd.concat([table.assign(cell=name) for name, table in zip(cells, results)])
    return given.merge(gathered, on="cell", validate="1:m").fillna("")


def _columns_given(cell: Cell) -> dict[str, str]:
    columns = {"profile": cell.profile} | dict(cell.columns)
    told = {GIVEN + name: text for name, text in columns.items()}
    return {"cell": cell.name, "notebook": cell.notebook} | told


def _plain(value: Any) -> str:
    """A value in characters that any file system and shell takes as they are."""
    return re.sub(r"[^\w.-]+", "_", str(value), flags=re.ASCII).strip("_")


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and values of each row of a CSV file."""
    with open(table, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if missing := {"notebook", "profile"} - set(reader.fieldnames or []):
            raise ValueError(f"{table}: no column {' and no column '.join(sorted(missing))}")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{table}, line {reader.line_num}: not one value for each column")
            yield reader.line_num, {name.strip(): value.strip() for name, value in row.items()}


def _cell(row: dict[str, str]) -> Cell:
    columns = tuple((name, text) for name, text in row.items() if name not in ("notebook", "profile"))
    cell = Cell(row["notebook"], row["profile"], columns)
    if cell.notebook not in run.saved_tables(cell.notebook):
        raise ValueError(f"notebook {cell.notebook} has no table of results, {cell.notebook}.csv, to gather")
    return cell
