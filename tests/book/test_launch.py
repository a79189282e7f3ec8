"""Launch buttons: there only where the repository is known, and leading to files that exist."""

from types import SimpleNamespace

import nbformat
import pytest

from lox import paths
from lox.book import launch, run

ADDRESS = "https://github.com/someone/lox-book"
pytestmark = pytest.mark.usefixtures("unchecked_annotations")


def buttons(page: str, configured: str = "") -> list[dict]:
    context = {"header_buttons": []}
    app = SimpleNamespace(config=SimpleNamespace(lox_repository=configured))
    launch.add_buttons(app, page, "page.html", context, None)
    return [button for group in context["header_buttons"] for button in group["buttons"]]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    monkeypatch.delenv("LOX_REPOSITORY", raising=False)


def test_there_are_none_without_a_repository_or_on_a_page_that_is_no_notebook():
    assert buttons("executed/toy/energy") == []
    assert buttons("book/notation", ADDRESS) == []


def test_configuration_or_environment_bring_them(monkeypatch):
    assert {button["text"] for button in buttons("executed/toy/energy", ADDRESS)} == {"Binder", "Colab"}
    monkeypatch.setenv("LOX_REPOSITORY", f"{ADDRESS}.git")
    [binder, colab] = buttons("executed/toy/energy")
    assert binder["url"].startswith("https://mybinder.org/v2/gh/someone/lox-book/main?")
    assert colab["url"].endswith("/github/someone/lox-book/blob/colab/energy.ipynb")


def test_each_leads_to_a_file_that_exists(tmp_path):
    written = {path.name for path in launch.write_for_colab(tmp_path, ADDRESS)}
    for name in run.names():
        links = launch.links(name, ADDRESS)
        assert paths.project(links["Binder"].split("lab/tree/")[1]).is_file()
        assert links["Colab"].rsplit("/", 1)[1] in written
    assert all(paths.project(name).is_file() for name in ("environment.yml", "postBuild"))


def test_a_notebook_for_colab_installs_the_book_first_and_holds_no_outputs(tmp_path):
    launch.write_for_colab(tmp_path, ADDRESS)
    notebook = nbformat.read(tmp_path / "energy.ipynb", as_version=4)
    assert f"git clone --quiet --depth 1 {ADDRESS} " in notebook.cells[0].source
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("address", ["https://example.org/a/b", "someone/lox-book", f"{ADDRESS}/tree/main"])
def test_another_address_is_refused(address):
    with pytest.raises(ValueError, match="https://github.com/OWNER/NAME"):
        launch.links("energy", address)
