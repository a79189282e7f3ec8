"""Every page of the built book before axe-core, at a laptop's and a phone's width, light and dark, all folds open."""

import json

import chromium
import pytest
from axe_core_python.base import AXE_SCRIPT

GRAVE = ("serious", "critical")
LAPTOP, PHONE = 1280, 390
OPEN_FOLDS = """(() => {
  const still = document.createElement('style');  // a fold that is still fading in has no contrast yet
  still.textContent = '* { animation: none !important; transition: none !important; }';
  document.head.append(still);
  for (const fold of document.querySelectorAll('details')) fold.open = true;
  for (const fold of document.querySelectorAll('.toggle-hidden')) fold.classList.remove('toggle-hidden');
})()"""
RUN = """axe.run(document, {resultTypes: ['violations'], ...%s}).then(({violations}) => JSON.stringify(
  violations.flatMap(
  ({id, impact, nodes}) => nodes.map(({target, html}) => [impact, id, target.join(' '), html.slice(0, 200)]))))"""
TABLES_THAT_SCROLL = """[...document.querySelectorAll('.bd-article :is(.text_html, .pst-scrollable-table-container)')]
  .filter((box) => box.scrollWidth > box.clientWidth + 2).map((box) => box.innerText.slice(0, 60))"""
COLOURS_ONLY = {"runOnly": ["color-contrast"]}  # the dark theme changes nothing else
pytestmark = pytest.mark.skipif(chromium.program() is None, reason="Chromium is not installed")


def grave_violations(page: chromium.Page, file, options: dict) -> list[list[str]]:
    """What axe-core finds on a page that is serious or critical: impact, rule, where, and the element."""
    page.open(file)
    page.evaluate(OPEN_FOLDS)
    page.evaluate(f"{AXE_SCRIPT};0")
    return [found for found in json.loads(page.evaluate(RUN % json.dumps(options))) if found[0] in GRAVE]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [LAPTOP, PHONE])
def test_no_page_has_a_serious_violation_or_an_error_or_is_wider_than_its_window(site, pages, width, dark):
    found, wide = {}, []
    with chromium.Page(width=width, dark=dark) as page:
        for name in pages:
            found[name] = grave_violations(page, site / f"{name}.html", COLOURS_ONLY if dark else {})
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wide.append(name)
            if width == LAPTOP:
                wide += [f"{name}: {table}" for table in page.evaluate(TABLES_THAT_SCROLL)]
        errors = page.errors
    assert {name: violations for name, violations in found.items() if violations} == {}
    assert (wide, errors) == ([], [])


@pytest.mark.parametrize(
    ("violation", "rule"),
    [('<img src="x.png">', "image-alt"), ('<p style="color: #ccc">Pale</p>', "color-contrast")],
)
def test_a_page_with_a_violation_is_found_out(tmp_path, violation, rule):
    bad = tmp_path / "bad.html"
    bad.write_text(
        f'<html lang="en"><title>Bad</title><body style="background: #fff"><main><h1>Bad</h1>{violation}</main>'
    )
    with chromium.Page() as page:
        assert [found for _, found, *_ in grave_violations(page, bad, {})] == [rule]
