"""Where a chapter can be started without installing anything: Binder, and Colab, of the repository that holds the book.

The buttons are there when the site is built with the repository's address, ``LOX_REPOSITORY`` or ``lox_repository``
in ``_config.yml``: https://github.com/OWNER/NAME. Binder opens the notebook's source, with ``environment.yml`` and
``postBuild``. Colab opens only ``.ipynb`` files, which git does not hold: ``python -m lox.book.launch FOLDER`` writes
them, and the workflow that publishes the site keeps them on the branch ``COLAB``.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from sphinx.application import Sphinx

from lox.book import run

BRANCH, COLAB = "main", "colab"
ADDRESS = re.compile(r"https://github\.com/(?P<repository>[\w.-]+/[\w.-]+?)(?:\.git)?/?")
INSTALL = """# Fetches the book and installs what this chapter needs; takes some minutes.
!git clone --quiet --depth 1 {address} lox-book
%pip install --quiet -e './lox-book[book]'
import sys; sys.path.insert(0, 'lox-book')"""


def repository(address: str) -> str:
    """OWNER/NAME of an address on GitHub; ValueError for another address."""
    match = ADDRESS.fullmatch(address)
    if not match:
        raise ValueError(f"{address!r} is not the address of a repository, https://github.com/OWNER/NAME")
    return match["repository"]


def links(name: str, address: str) -> dict[str, str]:
    """Where a notebook can be started: name of the service -> address."""
    of = repository(address)
    return {
        "Binder": f"https://mybinder.org/v2/gh/{of}/{BRANCH}?urlpath=lab/tree/notebooks/{name}.md",
        "Colab": f"https://colab.research.google.com/github/{of}/blob/{COLAB}/{name}.ipynb",
    }


def write_for_colab(folder: Path, address: str) -> list[Path]:
    """Every notebook, not executed, as ``.ipynb`` with a first cell that installs the book; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    install = INSTALL.format(address=f"https://github.com/{repository(address)}")
    written = []
    for name in run.names():
        notebook = run.read(name)
        notebook.cells.insert(0, nbformat.v4.new_code_cell(install))
        written.append(folder / f"{name}.ipynb")
        jupytext.write(notebook, written[-1])
    return written


def add_buttons(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Give an executed notebook's page its launch buttons, where the repository is known."""
    address = app.config.lox_repository or os.environ.get("LOX_REPOSITORY")
    if not address or not page.startswith("executed/"):
        return
    buttons = [
        {"type": "link", "url": url, "text": service, "tooltip": f"Open on {service}", "icon": "fas fa-play"}
        for service, url in links(Path(page).name, address).items()
    ]
    group = {"type": "group", "tooltip": "Run this chapter", "icon": "fas fa-rocket", "buttons": buttons}
    context["header_buttons"].append(group | {"label": "launch-buttons"})


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("lox_repository", "", "html")
    app.connect("html-page-context", add_buttons, priority=502)  # the theme begins its list at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    print(*write_for_colab(Path(sys.argv[1]), os.environ["LOX_REPOSITORY"]), sep="\n")
