"""A project of one notebook, for tests of what runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lox import paths

HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""


def notebook(cells: str) -> str:
    """The source of a notebook of these cells."""
    return HEADER + cells


def small_book(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes ``folder`` the project, of one notebook, ``small``."""
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "small.md").write_text(source)
    monkeypatch.setattr(paths, "ROOT", folder)
    return folder
