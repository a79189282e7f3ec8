"""The playground of the built book in a browser: opened from the disk, it talks, is measured, is attacked."""

from pathlib import Path

import chromium
import pytest

WITHIN = 400  # seconds: a limit for a machine that is busy, not a claim
pytestmark = pytest.mark.skipif(chromium.program() is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def file(site, pages) -> Path:
    found = [page for page in pages if page.endswith("/playground")]
    assert found, "the table of contents has no playground: add executed/toy/playground to _toc.yml"
    return site / f"{found[0]}.html"


@pytest.fixture(scope="module")
def page(file):
    with chromium.Page() as page:
        page.open(file)
        page.wait(f"{summary()}.includes('Measured')", WITHIN)
        yield page


def summary() -> str:
    return "(document.querySelector('#playground-talk .pg-results > .pg-note')?.textContent || '')"


def reply() -> str:
    return "document.querySelector('#playground-talk .pg-reply').innerText"


def status() -> str:
    return "document.querySelector('#playground-attack [role=status]').textContent"


def set_slider(page, place: int, value: float) -> None:
    page.evaluate(
        f"""(() => {{
          const slider = document.querySelectorAll('#playground-talk input[type=range]')[{place}];
          slider.value = {value};
          slider.dispatchEvent(new Event('input'));
        }})()"""
    )


def press(page, text: str) -> None:
    button = f"[...document.querySelectorAll('.pg button')].find((b) => b.textContent === '{text}')"
    page.wait(f"!{button}.disabled", WITHIN)
    page.evaluate(f"{button}.click()")


def test_it_answers_and_is_measured(page):
    text = page.evaluate(reply())
    assert all(name in text for name in ("You: ", "Model: ", "Judge: "))
    assert "ASR" in page.evaluate(summary())


def test_a_slider_moves_the_weights_and_they_are_measured(page):
    """Whether a verdict changes is up to the model, and so to the processor; its probabilities always do."""
    refusal = "document.querySelector('#playground-talk .pg-reply').dataset.refusal"
    seen = [page.evaluate(refusal)]
    for alpha, written in ((-2, "−2"), (4, "4"), (0, "0")):
        set_slider(page, 1, alpha)
        page.wait(f"{summary()}.includes('α = {written}: ASR')", WITHIN)
        seen.append(page.evaluate(refusal))
    assert len(set(seen)) == len(seen)


def test_a_slider_can_be_moved_by_keys(page):
    page.evaluate("document.querySelectorAll('#playground-talk input[type=range]')[0].focus()")
    value = "Number(document.querySelectorAll('#playground-talk input[type=range]')[0].value)"
    before = page.evaluate(value)
    page.press("ArrowRight", 39)
    assert page.evaluate(value) == before + 1


def test_a_stored_attacked_model_can_be_started_from(page):
    before = page.evaluate(summary())
    page.evaluate(
        """(() => {
          const start = [...document.querySelectorAll('#playground-talk select')].at(-1);
          start.selectedIndex = start.options.length - 2;
          start.dispatchEvent(new Event('change'));
        })()"""
    )
    page.wait(f"{summary()} !== {before!r}", WITHIN)
    assert page.evaluate(f"{summary()}.startsWith('attacked with ')")
    assert page.evaluate("document.querySelector('#playground-talk input[type=range]').disabled")


def test_a_word_that_the_model_does_not_know_is_named(page):
    page.evaluate(
        """(() => {
          const text = document.querySelector('#playground-talk input[type=text]');
          text.value = 'How do I make a teapot?';
          text.dispatchEvent(new Event('change'));
        })()"""
    )
    page.wait("document.querySelector('#playground-talk').innerText.includes('no token for: teapot')", WITHIN)
    page.wait(f"{reply()}.includes('teapot')", WITHIN)


def test_an_attack_moves_step_by_step(page):
    press(page, "One step")
    page.wait(f"{status()}.startsWith('After 1 step:')", WITHIN)
    press(page, "One step")
    page.wait(f"{status()}.startsWith('After 2 steps:')", WITHIN)
    losses = page.evaluate(
        "[...document.querySelectorAll('#playground-attack tbody tr')].map(r => r.cells[5].textContent)"
    )
    assert losses[0] == "–" and float(losses[2]) != float(losses[1])
    press(page, "Start again")
    assert page.evaluate("document.querySelectorAll('#playground-attack tbody tr').length") == 0


def test_every_control_has_a_label(page):
    unnamed = page.evaluate(
        """[...document.querySelectorAll('.pg :is(input, select, button, progress)')].filter(
          (c) => !(c.labels?.length || c.textContent.trim() || c.getAttribute('aria-label'))).length"""
    )
    assert unnamed == 0


def test_it_loads_nothing_from_the_network(page):
    assert [url for url in page.requests if not url.startswith(("file:", "blob:", "data:", "about:"))] == []


def test_its_console_shows_no_error(page):
    assert page.errors == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone(file, dark):
    with chromium.Page(width=390, dark=dark) as phone:
        phone.open(file)
        phone.wait(f"{summary()}.includes('Measured')", WITHIN)
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
        wide = "[...document.querySelectorAll('.pg, .pg *')].filter(e => e.getBoundingClientRect().right > innerWidth)"
        assert phone.evaluate(f"{wide}.filter(e => !e.closest('.pg-table')).length") == 0
