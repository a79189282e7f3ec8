"""The handout without solutions, and the slides of a chapter."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lox.book import cells, handout

CHAPTER = """# A chapter

## The idea

Fine-tuning moves $W$ by $\\Delta W$ {cite:p}`someone2024` ({doc}`effective_rank`):

```{math}
:label: eq-example
a < b
```

A second paragraph.

## Exercises

```{exercise} Try it
:label: exercise-try
How large is $a$?
```

```{solution} exercise-try
:class: dropdown
It is 7.
```

Afterwards.
"""
IMAGE = {"image/png": "aGVsbG8="}
FINDING = f"{cells.FINDING}\n:class: important\n- It holds.\n:::"


@pytest.fixture
def notebook():
    figure = {"mystnb": {"image": {"alt": "Two bars."}, "figure": {"caption": "The rates."}}}
    shown = [new_output("display_data", data=data) for data in ({"text/markdown": FINDING}, IMAGE)]
    return new_notebook(
        cells=[
            new_code_cell("1", outputs=shown[:1]),
            new_markdown_cell(CHAPTER),
            new_code_cell("2", outputs=shown[1:], metadata=figure),
        ]
    )


def test_solutions_go_and_exercises_stay():
    left = handout.without_solutions(CHAPTER)
    assert "It is 7" not in left and "solution" not in left
    assert "How large" in left and "Afterwards." in left


@pytest.mark.parametrize("fence", ["```", "````", ":::"])
def test_a_solution_ends_at_its_own_fence(fence):
    inner = "```python\nprint(7)\n```\n" if fence == "````" else ""
    text = f"Before.\n\n{fence}{{solution}} x\n:class: dropdown\n{inner}Text.\n{fence}\n\nAfter.\n"
    assert handout.without_solutions(text).split() == ["Before.", "After."]


@pytest.mark.parametrize(
    "around",
    [
        "- An item\n\n  {}\n",
        "::::{{note}}\n:class: tip\n{}\n::::\n",
        "{}`\n",
    ],  # and a longer fence at its end
    ids=["list", "directive", "fence"],
)
def test_a_solution_goes_wherever_it_stands(around):
    solution = "```{solution} x\nIt is 7.\n```"
    indent = "  " if around.startswith("-") else ""
    left = handout.without_solutions(around.format(solution.replace("\n", f"\n{indent}")) + "\nAfter.\n")
    assert "It is 7" not in left and left.split()[-1] == "After."


def test_what_only_shows_a_solution_stays_and_one_in_two_halves_is_refused():
    shown = "````markdown\n```{solution} x\nIt is 7.\n```\n````\n"
    assert handout.without_solutions(shown) == shown
    with pytest.raises(ValueError, match="{solution-end}: a handout leaves out only"):
        handout.without_solutions("```{solution-start} x\n```\nIt is 7.\n```{solution-end}\n```\n")


def test_code_is_no_heading_and_keeps_its_brackets():
    text = "# Title\n\n## Code\n\nCall `lox.load()` ({prf:ref}`thm-a`):\n\n```python\n# a comment\n```\n\nMore.\n"
    title, code = handout.slides_of(new_notebook(cells=[new_markdown_cell(text)]))
    assert title == "<h1>Title</h1>"
    assert code == "<h2>Code</h2><p>Call <code>lox.load()</code> (the theorem).</p>\n"


def test_equations_of_a_theorem_are_shown_in_their_order():
    text = "## A\n\nText.\n\n$$a$$\n\n::::{prf:theorem}\n:label: b\n```{math}\n:label: c\nb < c\n```\n::::\n\n$$d$$\n"
    _, slide = handout.slides_of(new_notebook(cells=[new_markdown_cell(text)]))
    assert [slide.index(f"\\[{formula}\\]") for formula in ("a", "b &lt; c", "d")] == sorted(
        slide.index(f"\\[{formula}\\]") for formula in ("a", "b &lt; c", "d")
    )


def test_slides_are_title_with_finding_then_sections_and_figures(notebook):
    title, idea, figure = handout.slides_of(notebook)
    assert "<h1>A chapter</h1>" in title and "It holds." in title
    assert "<h2>The idea</h2>" in idea and "\\[a &lt; b\\]" in idea and "second paragraph" not in idea
    assert 'alt="Two bars."' in figure and "The rates." in figure


def test_roles_do_not_reach_a_slide_and_formulas_do(notebook):
    idea = handout.slides_of(notebook)[1]
    assert "{" not in idea.replace("\\Delta", "") and "`" not in idea
    assert "\\(\\Delta W\\)" in idea and "effective rank" in idea


def test_a_deck_is_one_page_that_loads_nothing_from_the_network(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("LOX_EXECUTED", str(tmp_path))
    (tmp_path / "toy").mkdir()
    nbformat.write(notebook, tmp_path / "toy" / "projection.ipynb")
    page = handout.deck("projection", "toy")
    assert page.count("<section>") == 3
    assert "http" not in page
    assert f'src="{handout.MATHJAX}"' in page and handout._mathjax().exists()


def test_the_handouts_notebooks_hold_no_solutions(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("LOX_EXECUTED", str(tmp_path / "executed"))
    (tmp_path / "executed" / "toy").mkdir(parents=True)
    nbformat.write(notebook, tmp_path / "executed" / "toy" / "projection.ipynb")
    folder = handout.handout_sources("toy", tmp_path / "handout")
    assert "It is 7" not in (folder / "executed" / "toy" / "projection.ipynb").read_text()
    assert (folder / "_toc.yml").exists() and (folder / "book" / "notation.md").exists()
    assert "It is 7" in (tmp_path / "executed" / "toy" / "projection.ipynb").read_text()


def test_what_was_not_executed_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LOX_EXECUTED", str(tmp_path))
    assert "projection" in handout.missing("toy")
    with pytest.raises(FileNotFoundError, match="lox book --profile toy"):
        handout.executed("projection", "toy")
