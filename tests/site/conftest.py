"""The built book. ``make book`` comes before these checks: without it they fail, saying so."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site() -> Path:
    site = ROOT / "_build" / "html"
    assert (site / "index.html").exists(), f"no book in {site}: run `make book` first"
    return site


@pytest.fixture(scope="session")
def pages(site) -> list[str]:
    """The pages in the table of contents that the site was built from, without suffix."""
    toc = yaml.safe_load((ROOT / "_build" / "_toc.yml").read_text())
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


@pytest.fixture(scope="session")
def notebooks(pages) -> dict[str, Path]:
    """Page -> executed notebook."""
    return {page: ROOT / f"{page}.ipynb" for page in pages if page.startswith("executed/")}
