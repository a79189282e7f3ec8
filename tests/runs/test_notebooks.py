"""Every notebook runs from its first cell to its last on the smoke profile; nothing here is a claim."""

import nbformat
import pytest
from filelock import FileLock

from lox import paths
from lox.book import run, site


@pytest.fixture(scope="session")
def executed(shared_stages):
    """The folder of the executed copies, made by the same code that makes the book's; by one worker for all."""
    folder = shared_stages.with_name("executed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOX_EXECUTED", str(folder))
        patch.setenv("LOX_STAGES", str(shared_stages))
        with FileLock(folder.with_suffix(".lock")):
            waiting = [name for name in site.in_order() if not run.is_current(name, "smoke")]
            if waiting:
                site.run_all(waiting, "smoke", report=lambda line: None)
        yield run.executed_folder("smoke")


@pytest.mark.parametrize("name", run.names())
def test_it_runs_and_shows_what_it_was_run_with(executed, name):
    notebook = nbformat.read(executed / f"{name}.ipynb", as_version=4)
    outputs = [o for c in notebook.cells for o in c.get("outputs", [])]
    assert not [o for o in outputs if o["output_type"] == "error"]
    shown = "\n".join(o["data"].get("text/markdown", "") for o in outputs if "data" in o)
    for entry in ("| Profile | `smoke`", "| Judge |", "| Seeds |", "| Run |", "| Versions |"):
        assert entry in shown
    injected = [c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])]
    [values] = [c.source.removeprefix("# Parameters\n").splitlines() for c in injected]
    assert [value for value in values if not value.startswith("workers = ")] == ['profile = "smoke"']


@pytest.mark.parametrize("name", run.names())
def test_its_pages_hold_no_warnings_or_paths_of_this_machine(executed, name):
    notebook = nbformat.read(executed / f"{name}.ipynb", as_version=4)
    streams = [o for c in notebook.cells for o in c.get("outputs", []) if o["output_type"] == "stream"]
    text = "".join("".join(o["text"]) for o in streams)
    assert "Warning" not in text
    assert str(paths.ROOT) not in text


@pytest.mark.parametrize("name", ["robustness", "effective_rank", "energy"])
def test_its_table_lies_beside_it(executed, name):
    found = run.tables(executed / f"{name}.ipynb")
    assert executed / f"{name}.csv" in found
    assert all(path.read_text().count("\n") > 1 for path in found)
