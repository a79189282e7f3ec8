"""The Sphinx extension, on a small site built in a temporary folder."""

import io
import json
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

PAGE = """# Page

:::{csv-pivot} rates.csv
:index: task
:columns: alpha
:values: asr
:percent:
:name: rates

ASR over $\\alpha$.
:::
"""
RATES = "task,alpha,asr\nfirst,0,0.07\nfirst,1,\nsecond,0,0.843\nsecond,1,0\nunknown,0,\n"


def build(folder: Path, settings: dict | None = None, **pages: str) -> tuple[Path, str]:
    """The HTML folder of a site of these pages, and Sphinx's warnings."""
    (folder / "index.md").write_text("# Index\n\n```{toctree}\n" + "\n".join(pages) + "\n```\n")
    for name, text in pages.items():
        (folder / f"{name}{'.ipynb' if text[0] == '{' else '.md'}").write_text(text)
    out, warnings = folder / "html", io.StringIO()
    settings = {
        "extensions": ["myst_nb", "lox.book.sphinx_extension"],
        "myst_enable_extensions": ["colon_fence", "dollarmath"],
        "nb_execution_mode": "off",
        "numfig": True,
    } | (settings or {})
    with docutils_namespace():
        Sphinx(folder, None, out, folder / "trees", "html", settings, status=None, warning=warnings).build()
    return out, warnings.getvalue()


def notebook(*outputs: dict) -> str:
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "# Figure"}]
    for count, data in enumerate(outputs, 1):
        shown = {"output_type": "display_data", "metadata": {}, "data": data}
        code = {"cell_type": "code", "metadata": {}, "source": "figure", "execution_count": count}
        cells.append(code | {"outputs": [shown]})
    metadata = {"language_info": {"name": "python", "pygments_lexer": "python"}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4})


def plotly_output(title: str) -> dict:
    figure = {"data": [{"type": "scatter", "y": [1, 4]}], "layout": {"title": {"text": title}}}
    return {"application/vnd.plotly.v1+json": figure | {"config": {}}}


def rows(html: str) -> list[list[str]]:
    table = BeautifulSoup(html, "html.parser").find("table")
    return [[cell.get_text().strip() for cell in row.find_all(["td", "th"])] for row in table.find_all("tr")]


def test_csv_pivot_spreads_a_tidy_file_out(tmp_path):
    (tmp_path / "rates.csv").write_text(RATES)
    out, warnings = build(tmp_path, page=PAGE)
    html = (out / "page.html").read_text()
    assert warnings == ""
    assert rows(html) == [
        ["task", "α 0", "α 1"],
        ["first", "7 %", "–"],
        ["second", "84.3 %", "0 %"],
    ]
    assert "Table 1" in html and 'id="rates"' in html


@pytest.mark.parametrize("options", [PAGE.replace("asr", "asx"), PAGE.replace("rates.csv", "rate.csv")])
def test_csv_pivot_says_what_is_missing(tmp_path, options):
    (tmp_path / "rates.csv").write_text(RATES)
    _, warnings = build(tmp_path, page=options)
    assert "page.md:3" in warnings and "no such file or column" in warnings


def test_plotly_figures_are_drawn_from_the_site_itself(tmp_path):
    out, warnings = build(tmp_path, figure=notebook(plotly_output("</script>a")), plain="# Plain\n")
    html = (out / "figure.html").read_text()
    assert warnings == ""
    assert "Plotly.newPlot" in html and "</script>a" not in html
    assert html.index("_static/plotly.min.js") < html.index("Plotly.newPlot")
    assert "plotly" not in (out / "plain.html").read_text()
    assert (out / "_static" / "plotly.min.js").stat().st_size > 1_000_000


def test_two_figures_on_a_page_have_places_of_their_own(tmp_path):
    out, _ = build(tmp_path, figure=notebook(plotly_output("one"), plotly_output("two")))
    page = BeautifulSoup((out / "figure.html").read_text(), "html.parser")
    assert len({place["id"] for place in page.find_all(class_="plotly-graph-div")}) == 2


def test_a_list_of_works_holds_list_items(tmp_path):
    html, _ = build(tmp_path, works="# Works\n\n```{eval-rst}\n.. [A] A work.\n.. [B] Another.\n```\n")
    works = BeautifulSoup((html / "works.html").read_text(), "html.parser").find(class_="citation-list")
    assert works["role"] == "list"
    assert [child["role"] for child in works.find_all(recursive=False)] == ["listitem"] * 2


def test_a_page_begins_with_its_finding_and_one_fold_comes_after(tmp_path):
    box = ":::{admonition} Finding\n:class: important\n- It holds.\n:::"
    cells = [
        ("a: int = 1", ["parameters", "hide-input"], []),
        ("a = 2", ["injected-parameters", "hide-input"], []),
        ("finding()", ["hide-input"], [box]),
        ("table()", ["hide-input"], ["A table."]),
        ("other()", ["hide-input", "hide-output"], ["Another."]),
    ]
    made = [
        {"cell_type": "markdown", "metadata": {}, "source": "# Page"},
        *(
            {
                "cell_type": "code",
                "metadata": {"tags": tags},
                "source": source,
                "execution_count": 1,
                "outputs": [
                    {"output_type": "display_data", "metadata": {}, "data": {"text/markdown": text}}
                    for text in said
                ],
            }
            for source, tags, said in cells
        ),
        {"cell_type": "markdown", "metadata": {}, "source": "The idea."},
    ]
    page = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    html, _ = build(tmp_path, settings={"nb_render_markdown_format": "myst"}, page=json.dumps(page))
    page = BeautifulSoup((html / "page.html").read_text(), "html.parser")
    text, folds = page.get_text(), page.find_all("details", class_="hide")
    order = [text.index(words) for words in ("It holds.", "a: int = 1", "a = 2", "finding()", "The idea.")]
    assert order == sorted(order)
    names = [fold.summary.p.get_text() for fold in folds]
    assert names == ["Show parameters and code", "Show code", "Show source", "Show output"]


def test_csv_pivot_calls_tasks_and_defences_by_their_names(tmp_path):
    (tmp_path / "rates.csv").write_text("task,defence,asr\ngsm8k,none,0.1\ngsm8k,lox,0\n")
    out, _ = build(tmp_path, page=PAGE.replace("columns: alpha", "columns: defence"))
    table = BeautifulSoup((out / "page.html").read_text(), "html.parser").table
    cells = [cell.get_text(" ", strip=True) for cell in table.find_all(["th", "td"])]
    assert cells == ["task", "without LoX", "with LoX", "GSM8K", "10 %", "0 %"]


@pytest.mark.parametrize("profile", ["toy", "smoke"])
def test_a_page_links_to_the_profile_that_was_run(tmp_path, profile):
    executed = tmp_path / "executed" / profile
    executed.mkdir(parents=True)
    (executed / "intro.md").write_text("# Intro\n\n```{toctree}\n/book/teaching\n```\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "teaching.md").write_text("# Teaching\n\n{doc}`../executed/toy/intro`\n")
    out, warnings = build(
        tmp_path, {"root_doc": f"executed/{profile}/intro", "exclude_patterns": ["index.md"]}
    )
    assert not warnings
    [link] = BeautifulSoup((out / "book" / "teaching.html").read_text(), "html.parser").select(
        ".body a.internal"
    )
    assert link["href"] == f"../executed/{profile}/intro.html"
