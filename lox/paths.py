"""Where the project's own files lie: data, notebooks, the book's prose, recorded results.

They are not in an installed wheel, which holds the method and the command. The experiments and the book need
a checkout; ``LOX_PROJECT`` names it where the package is installed elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parent
ROOT = Path(os.environ.get("LOX_PROJECT") or PACKAGE.parent).absolute()


def project(*parts: str) -> Path:
    """A file or folder of the project, by its path from the root; FileNotFoundError outside a checkout."""
    if not (ROOT / "notebooks").is_dir():
        raise FileNotFoundError(
            f"{ROOT} holds no notebooks: experiments and book need a checkout of the project, to be named by "
            "LOX_PROJECT=FOLDER where lox is installed elsewhere, and pip install 'lox-book[book]'"
        )
    return ROOT.joinpath(*parts)
