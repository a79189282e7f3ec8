"""The site is whole: every page, link, figure, parameter and table of results is there, without a network."""

import re
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import unquote, urlsplit

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from lox.book import run as sources

ROOT = Path(__file__).parents[2]


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def linked(page: Path) -> list[tuple[str, str]]:
    """(tag name, address) of everything a page links to or loads."""
    found = [(tag, key) for tag, key in (("a", "href"), ("link", "href"), ("img", "src"), ("script", "src"))]
    return [(tag, node[key]) for tag, key in found for node in soup(page).find_all(tag, attrs={key: True})]


def test_every_page_was_built(site, pages):
    assert [page for page in pages if not (site / f"{page}.html").exists()] == []


def test_local_links_lead_somewhere(site, pages):
    broken = []
    for page in (site / f"{page}.html" for page in pages):
        for _, address in linked(page):
            url = urlsplit(address)
            if url.scheme or url.netloc:
                continue
            target = (page.parent / unquote(url.path)).resolve() if url.path else page
            target = target / "index.html" if target.is_dir() else target
            lost = url.fragment and target.suffix == ".html" and not soup(target).find(id=url.fragment)
            if not target.exists() or lost:
                broken.append((page.name, address))
    assert broken == []


def test_pages_load_nothing_from_the_network(site, pages):
    loaded = [
        (page, address) for page in pages for tag, address in linked(site / f"{page}.html") if tag != "a"
    ]
    assert [(page, address) for page, address in loaded if urlsplit(address).netloc] == []


def test_no_page_shows_where_it_was_built(site, pages):
    text = {page: soup(site / f"{page}.html").get_text() for page in pages}
    assert [page for page in pages if str(ROOT) in text[page] or str(Path.home()) in text[page]] == []


def test_references_and_equations_are_resolved(site, pages):
    text = {page: soup(site / f"{page}.html").get_text() for page in pages}
    assert [
        page for page in pages if "{eq}" in text[page] or "{cite" in text[page] or "[?]" in text[page]
    ] == []


def test_every_chapter_ran_to_its_end(notebooks):
    for page, path in notebooks.items():
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        counts = [cell.execution_count for cell in cells if cell.source.strip()]
        assert counts == list(range(1, len(counts) + 1)), page
        assert not [o for cell in cells for o in cell.outputs if o.output_type == "error"], page


def test_every_chapter_shows_its_parameters(site, notebooks):
    for page, path in notebooks.items():
        text = soup(site / f"{page}.html").get_text()
        for parameter in sources.parameters(path.stem):
            assert f"{parameter.name}: {parameter.type} = {parameter.default}" in text, page


@pytest.mark.parametrize("shown", ["Profile", "Seeds", "Judge", "Run", "Machine", "Versions"])
def test_every_chapter_says_how_it_was_made(site, notebooks, shown):
    for page in notebooks:
        cells = {cell.get_text().strip() for cell in soup(site / f"{page}.html").find_all(["td", "th"])}
        assert shown in cells, page


def test_tables_of_results_can_be_downloaded(site, notebooks):
    for page, path in notebooks.items():
        names = [Path(unquote(href)).name for tag, href in linked(site / f"{page}.html") if tag == "a"]
        for name in {name for name in names if name.endswith(".csv")}:
            assert len(pd.read_csv(path.parent / name)), f"{page}: {name} is empty"
    every = [href for page in notebooks for _, href in linked(site / f"{page}.html")]
    assert [href for href in every if href.endswith(".csv")], "no page offers a table"


def test_each_chapter_can_be_downloaded_as_it_was_executed(site, notebooks):
    for page, path in notebooks.items():
        [href] = {href for _, href in linked(site / f"{page}.html") if href.endswith(".ipynb")}
        file = ((site / f"{page}.html").parent / href).resolve()
        assert nbformat.read(file, as_version=4) == nbformat.read(path, as_version=4), page
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\bhf_\w{20}|\bsk-\w{20}", text), page
        assert not [place for place in (str(ROOT), str(Path.home()), gettempdir()) if f"{place}/" in text], (
            page
        )
