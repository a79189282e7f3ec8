"""What the book's site needs of Sphinx: tables from CSV files, and plotly figures without a network.

A Sphinx extension, named in ``_config.yml``. Plotly figures are kept in executed notebooks as their
JSON, which Jupyter draws itself; ``PlotlyRenderer`` is how the site draws them. It is found through
the entry point group ``myst_nb.mime_renderers`` in ``pyproject.toml``.
"""

from __future__ import annotations

import hashlib
import json
from itertools import pairwise
from pathlib import Path

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from lox.book.names import TASK_NAMES

FOR_READERS = {"task": TASK_NAMES, "defence": {"none": "without LoX", "lox": "with LoX"}}
HEADS = {"alpha": "α", "lr": "learning rate"}  # columns of a file whose names are no words
PLOTLY_MIME_TYPE = "application/vnd.plotly.v1+json"


class PlotlyRenderer:
    """Draws a plotly figure of a notebook in the page (a myst-nb ``MimeRenderPlugin``)."""

    mime_priority_overrides = [("html", PLOTLY_MIME_TYPE, 1)]

    @staticmethod
    def handle_mime(renderer, data, inline: bool) -> list[nodes.Element] | None:
        if inline or data.mime_type != PLOTLY_MIME_TYPE:
            return None
        import plotly.io

        figure = data.content if isinstance(data.content, dict) else json.loads(data.content)
        figure = {part: figure[part] for part in ("data", "layout") if part in figure}
        name = hashlib.sha256(json.dumps(figure, sort_keys=True).encode()).hexdigest()[:12]
        html = plotly.io.to_html(
            figure,
            config={"responsive": True, "displaylogo": False},
            include_plotlyjs=False,
            full_html=False,
            validate=False,
            div_id=f"plotly-{name}",
        )
        return [nodes.raw("", html, format="html", classes=["plotly"])]


def link_to_what_was_run(app: Sphinx, page: str, source: list[str]) -> None:
    """Pages that are not executed link to the toy's; in the book of another profile they link to that profile's."""
    source[0] = source[0].replace("../executed/toy/", f"../{Path(app.config.root_doc).parent}/")


def add_plotly_script(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Give a page with a plotly figure the script that draws it, out of the plotly package."""
    if doctree is None or not any("plotly" in raw["classes"] for raw in doctree.findall(nodes.raw)):
        return
    from plotly.offline import get_plotlyjs

    script = Path(app.outdir, "_static", "plotly.min.js")
    if not script.exists():
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(get_plotlyjs(), encoding="utf-8")
    app.add_js_file("plotly.min.js")


def begin_with_the_finding(app: Sphinx, document: nodes.document) -> None:
    """Move a page's first box of a finding above the folded cells that computed it, and make of those one fold."""
    for cell in _code_cells(document):
        tags = {name.removeprefix("tag_") for name in cell["classes"]}
        what = "parameters" if tags & {"parameters", "injected-parameters"} else "code"
        _name_fold(cell, "{type}" if cell.get("hide_mode") == "input+output" else what)
    _fold_together(_code_cells(document))
    for cell in _code_cells(document):
        output = next((node for node in cell.children if node.get("nb_element") == "cell_code_output"), None)
        if output is not None and any(
            "important" in box["classes"] for box in output.findall(nodes.admonition)
        ):
            first, siblings = cell.parent.index(cell), cell.parent.children
            while first and siblings[first - 1].get("nb_element") == "cell_code":
                first -= 1
            cell.remove(output)
            cell.parent.insert(first, nodes.container("", output, classes=["cell"]))
            return


def _fold_together(cells: list[nodes.container]) -> None:
    """Put a folded cell that shows nothing into the folded cell right after it."""
    for cell, following in pairwise(cells):
        neighbours = cell.next_node(descend=False, siblings=True) is following
        if neighbours and len(cell.children) == 1 and {_folded(cell), _folded(following)} == {True}:
            if cell["prompt_show"] != following["prompt_show"]:
                _name_fold(following, "parameters and code")
            following[0][:0] = cell[0].children
            cell.parent.remove(cell)


def _folded(cell: nodes.container) -> bool:
    return cell.get("hide_mode") == "input"


def _name_fold(cell: nodes.container, what: str) -> None:
    cell["prompt_show"], cell["prompt_hide"] = f"Show {what}", f"Hide {what}"


def _code_cells(document: nodes.document) -> list[nodes.container]:
    return [node for node in document.findall(nodes.container) if node.get("nb_element") == "cell_code"]


def name_entries_as_list_items(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """docutils lists works as a list whose entries have a role that is deprecated, and that no list may hold."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def leave_thebe_out(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The book runs no cells in the page; Thebe's scripts, which come twice, are an error in the console of each."""
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script.filename} {script.attributes.get('body')}".lower()
    ]


class CsvPivot(SphinxDirective):
    """A tidy CSV file spread out for reading; the argument is its path from the page, the body a caption.

    ``:index:`` names the columns that become the left of each row, ``:columns:`` the one whose values
    become the head, ``:values:`` the one that fills the cells; ``:percent:`` writes shares as per cent.
    Combinations that the file does not hold, and empty cells, are shown as a dash; a row of nothing
    but dashes is left out.
    """

    required_arguments = 1
    has_content = True
    option_spec = {
        "index": directives.unchanged_required,
        "columns": directives.unchanged_required,
        "values": directives.unchanged_required,
        "percent": directives.flag,
        "name": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        try:
            lines = self.markdown(pd.read_csv(path, dtype=str))
        except (OSError, KeyError) as error:
            raise self.error(f"csv-pivot of {path}: no such file or column: {error}") from None
        [table] = self.parse(lines)
        table["classes"].append("pivot")
        table.insert(0, nodes.title("", "", *self.parse(self.content)[0].children))
        self.add_name(table)
        return [table]

    def parse(self, lines: list[str] | StringList) -> list[nodes.Node]:
        parent = nodes.Element()
        self.state.nested_parse(
            StringList(list(lines), self.get_source_info()[0]), self.content_offset, parent
        )
        return parent.children

    def markdown(self, tidy: pd.DataFrame) -> list[str]:
        """The lines of a Markdown table: one row for each distinct index, in the file's order."""
        index = [name.strip() for name in self.options["index"].split(",")]
        columns, values = self.options["columns"], self.options["values"]
        if "percent" in self.options:
            tidy[values] = (
                tidy[values].astype(float).map(lambda share: f"{100 * share:g} %", na_action="ignore")
            )
        wide = tidy.dropna(subset=values).pivot(index=index, columns=columns, values=values)
        order = [list(dict.fromkeys(map(tuple, tidy[index].to_numpy()))), list(dict.fromkeys(tidy[columns]))]
        keys = [key for key in order[0] if (key if len(key) > 1 else key[0]) in wide.index]
        wide = wide.reindex([key if len(key) > 1 else key[0] for key in keys])[order[1]].fillna("–")
        named = FOR_READERS.get(columns, {})
        head = HEADS.get(columns, columns)
        shown = wide.rename(columns=lambda value: named.get(value, f"{head} {value}")).reset_index()
        for column in set(index) & set(FOR_READERS):
            shown[column] = shown[column].map(
                lambda value, names=FOR_READERS[column]: names.get(value, value)
            )
        return shown.rename(columns=HEADS).to_markdown(index=False, disable_numparse=True).splitlines()


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("csv-pivot", CsvPivot)
    app.connect("source-read", link_to_what_was_run)
    app.connect("doctree-read", begin_with_the_finding)
    app.connect("html-page-context", add_plotly_script)
    app.connect("html-page-context", name_entries_as_list_items)
    app.connect("html-page-context", leave_thebe_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
