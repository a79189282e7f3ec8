"""The drawings that a reader moves: opened from the disk, by keys, on a phone; they say what Python computes."""

import re

import chromium
import pandas as pd
import pytest
import torch

import lox
from lox.book.names import TASK_NAMES

pytestmark = pytest.mark.skipif(chromium.program() is None, reason="Chromium is not installed")
KINDS = ("projection", "energy", "ablation")


@pytest.fixture(scope="module")
def page():
    with chromium.Page(width=390) as page:
        yield page


@pytest.fixture
def opened(page, site, pages):
    def open_chapter(name: str) -> chromium.Page:
        [chapter] = [chapter for chapter in pages if chapter.endswith(f"/{name}")]
        page.open(site / f"{chapter}.html")
        page.wait("document.querySelector('[data-explorable] [role=status]')?.textContent")
        return page

    return open_chapter


def set_to(page, control: int, value: float) -> None:
    page.evaluate(
        f"""(() => {{
          const control = document.querySelectorAll('[data-explorable] :is(input, select)')[{control}];
          control.value = {value};
          control.dispatchEvent(new Event(control.tagName === 'SELECT' ? 'change' : 'input'));
        }})()"""
    )


def shown_text(page) -> str:
    return page.evaluate("document.querySelector('[data-explorable] [role=status]').textContent")


def numbers(text: str) -> list[float]:
    return [float(number.replace("−", "-")) for number in re.findall(r"[−]?\d+(?:\.\d+)?", text)]


def test_projection_adds_up_as_lox_project_does(opened):
    page = opened("projection")
    for x, y, degrees in ((2, 3, 20), (-1.5, 0.5, 90), (4, -4, 135)):
        for control, value in enumerate((x, y, degrees)):
            set_to(page, control, value)
        angle = torch.deg2rad(torch.tensor(float(degrees), dtype=torch.float64))
        line = torch.outer(torch.stack([angle.cos(), angle.sin()]), torch.tensor([1.0], dtype=torch.float64))
        vector = torch.tensor([[x], [y]], dtype=torch.float64)
        kept = lox.project(lox.safety_subspace(line, 1), vector)
        squares = [(vector**2).sum(), (kept**2).sum(), ((vector - kept) ** 2).sum()]
        shown = [
            number for number in numbers(shown_text(page)) if number != 2
        ]  # the exponents are superscripts
        share = float(kept.norm() / vector.norm())
        assert shown == pytest.approx([*map(float, squares), share], abs=0.0051)


def test_energy_says_what_r_ft_gives(opened):
    page = opened("energy")
    align = torch.diag(torch.tensor([30.0, 15.0, 0.0], dtype=torch.float64))
    for against, outside, alpha in ((15, 0, 0), (0, 15, 1.25), (-30, 0, 0.5), (40, 30, 2)):
        for control, value in enumerate((against, outside, alpha)):
            set_to(page, control, value)
        ft = torch.zeros(3, 3, dtype=torch.float64)
        ft[0, 0], ft[2, 0] = -against, outside
        step = torch.diag(torch.tensor([30.0 * alpha, 0, 0], dtype=torch.float64))
        right = [lox.r_align(align, 1), lox.r_ft(align, ft, 1), lox.r_ft(align, ft + step, 1)]
        assert numbers(shown_text(page))[:3] == pytest.approx(list(map(float, right)), abs=0.00051)


def test_ablation_shows_every_point_of_the_executed_tables(opened, notebooks):
    page = opened("ablation")
    [chapter] = [path for path in notebooks.values() if path.stem == "ablation"]
    after = pd.read_csv(chapter.with_name("ablation.csv"))
    tasks = page.evaluate(
        "[...document.querySelectorAll('[data-explorable] option')].map(o => o.textContent)"
    )
    for task, rows in after.groupby("task"):
        set_to(page, 0, tasks.index(f"After {TASK_NAMES[task]}"))
        for place, (_, choice) in enumerate(rows.groupby("choice", sort=False)):
            set_to(page, 1, place)
            for at, (alpha, point) in enumerate(choice.groupby("alpha")):
                set_to(page, 2, at)
                shown = numbers(shown_text(page).split("α =")[1])
                right = [alpha, 100 * point["asr"].mean(), 100 * point["helpful"].mean(), len(point)]
                assert shown == pytest.approx(right, abs=0.51), shown_text(page)


@pytest.mark.parametrize("name", KINDS)
def test_keys_move_it_and_its_drawing_says_the_same_in_words(opened, name):
    page = opened(name)
    before = shown_text(page)
    page.evaluate("[...document.querySelectorAll('[data-explorable] input')].at(-1).focus()")
    page.press("ArrowRight", 39)
    assert shown_text(page) != before
    spoken = page.evaluate("document.querySelector('[data-explorable] svg').getAttribute('aria-label')")
    assert numbers(shown_text(page))[0] in numbers(spoken)
    parts = "[...document.querySelectorAll('[data-explorable] *')]"
    assert page.evaluate(f"{parts}.every((part) => part.getBoundingClientRect().right <= innerWidth)")
    assert not [url for url in page.requests if not url.startswith(("file:", "data:", "blob:", "about:"))]
