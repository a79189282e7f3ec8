import ast
import json

import nbformat
import pytest
from small_books import notebook, small_book
from typer.testing import CliRunner

from lox.book import record, run
from lox.book.run import Parameter
from lox.cli import app
from lox.lab import profile

SOURCE = notebook("""
```{code-cell} ipython3
:tags: [parameters]
profile: str = "toy"  # the profile
k: int = 6  # ranks
fail: bool = False  # whether to fail
```

```{code-cell} ipython3
if fail:
    raise ValueError("as asked")
k + 1
```
""")


@pytest.fixture(name="small_book")
def small_book_here(tmp_path, monkeypatch):
    monkeypatch.setenv("LOX_EXECUTED", str(tmp_path / "executed"))
    return small_book(tmp_path, SOURCE, monkeypatch)


def test_every_notebook_has_one_parameters_cell_with_type_and_meaning():
    for name in run.names():
        found = run.parameters(name)
        assert found[0].name == "profile"
        assert all(p.meaning and p.type for p in found)


def test_every_default_is_of_its_type():
    for name in run.names():
        for p in run.parameters(name):
            default = ast.literal_eval(p.default)
            assert (
                p.parse(default if isinstance(default, str) else p.default.replace("None", "null")) == default
            )


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "3", 3),
        ("float", "0.5", 0.5),
        ("float", "1", 1.0),
        ("float | None", "null", None),
        ("bool", "true", True),
        ("str", "3", "3"),
        ("list[str]", "[gsm8k, dolly]", ["gsm8k", "dolly"]),
        ("list[int] | None", "[1, 2]", [1, 2]),
        ("int | str | None", "full", "full"),
    ],
)
def test_values_are_read_as_their_type(kind, text, value):
    found = Parameter("x", kind, "0", "").parse(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "2.5"),
        ("int", "six"),
        ("float", "much"),
        ("list[int]", "3"),
        ("list[int]", "[1, 2"),
        ("int", "!!python/name:os.system"),
        ("bool", "1"),
    ],
)
def test_a_value_of_another_type_is_refused(kind, text):
    with pytest.raises(ValueError, match="parameter x is "):
        Parameter("x", kind, "0", "").parse(text)


def test_running_writes_the_executed_copy_with_its_parameters(small_book):
    path = run.run("small", "smoke", [("k", "3")])
    assert path == small_book / "executed" / "smoke" / "small.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert "k = 3" in notebook.cells[1].source
    assert notebook.cells[-1].outputs[0]["data"]["text/plain"] == "4"
    assert not list(path.parent.glob("*.unfinished"))


def test_a_copy_is_current_until_source_or_parameters_change(small_book):
    run.run("small", "smoke", [("k", "3")])
    assert not run.is_current("small", "smoke")
    run.run("small", "smoke")
    assert run.is_current("small", "smoke")
    source = small_book / "notebooks" / "small.md"
    source.write_text(source.read_text().replace("k + 1", "k + 2"))
    assert not run.is_current("small", "smoke")


def test_a_cell_that_fails_leaves_no_executed_copy_and_says_where(small_book):
    with pytest.raises(ChildProcessError, match=r"notebook small failed in cell 3: ValueError: as asked"):
        run.run("small", "smoke", [("fail", "true")])
    folder = small_book / "executed" / "smoke"
    assert [p.name for p in folder.iterdir()] == ["small.failed.ipynb"]


def test_two_tagged_cells_or_a_bare_line_are_refused(small_book):
    source = small_book / "notebooks" / "small.md"
    source.write_text(SOURCE + "\n```{code-cell} ipython3\n:tags: [parameters]\nx: int = 1  # again\n```\n")
    with pytest.raises(ValueError, match="2 cells are tagged `parameters`"):
        run.parameters("small")
    source.write_text(SOURCE.replace("k: int = 6  # ranks", "k = 6"))
    with pytest.raises(ValueError, match="not `name: type = value"):
        run.parameters("small")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "robustnes"], "unknown notebook 'robustnes': the notebooks are "),
        (["run", "robustness", "-p", "kk", "3"], "unknown parameter 'kk': robustness has profile, tasks"),
        (["run", "robustness", "-p", "alpha", "much"], "parameter alpha is float | None, not 'much'"),
        (["run", "robustness", "-p", "alpha", ":x:"], "parameter alpha is float | None, not ':x:'"),
        (["run", "robustness", "-p", "alpha"], "-p takes two words"),
        (["run", "robustness", "--profile", "tyo"], "unknown profile 'tyo': the profiles are "),
        (["run", "robustness", "-p", "profile", "toy"], "the profile is given by --profile"),
        (["book", "--profile", "tyo"], "unknown profile 'tyo': the profiles are "),
    ],
)
def test_the_command_names_what_is_wrong_in_one_line(arguments, message):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_help_parameters_lists_name_type_default_and_meaning():
    result = CliRunner().invoke(app, ["run", "robustness", "--help-parameters"])
    assert result.exit_code == 0
    for parameter in run.parameters("robustness"):
        assert f"{parameter.name}: {parameter.type} = {parameter.default}" in result.stdout
        assert parameter.meaning in result.stdout


SAVED = """import pandas as pd

from lox.book import results

results.save(pd.DataFrame({"k": [k]}), "small")
"""
RECORDED = """
```{code-cell} ipython3
import pandas as pd

from lox.lab import setup
from lox.book import results

results.save(pd.DataFrame({"asr": [0.5]}), "small")
```

```{code-cell} ipython3
results.provenance(setup.load(profile))
```
"""


def test_a_recorded_table_says_how_it_was_made(small_book):
    (small_book / "notebooks" / "small.md").write_text(SOURCE + RECORDED)
    executed = run.run("small", "smoke", [("k", "3")])
    recorded = record.record(executed, "small", "smoke", [("k", "3")])
    assert recorded == [small_book / "results" / "smoke" / name for name in ("small.csv", "small.json")]
    assert recorded[0].read_text() == "asr\n0.5\n"
    made = json.loads(recorded[1].read_text())
    assert made["command"] == "lox run small --profile smoke -p k 3"
    assert (made["profile"], made["seeds"], made["tables"]) == ("smoke", [1, 2], ["small.csv"])
    assert made["commit"] == "not under version control"
    assert {
        "when",
        "computing_seconds",
        "peak_memory_gib",
        "machine",
        "device",
        "data",
        "versions",
    } <= made.keys()


def test_a_run_without_tables_cannot_be_recorded(small_book):
    executed = run.run("small", "smoke")
    with pytest.raises(ValueError, match="notebook small makes no tables"):
        record.record(executed, "small", "smoke")


SEEDS = "seeds: list[int] | None = {}  # seeds"


def with_parameter(small_book, line: str) -> None:
    (small_book / "notebooks" / "small.md").write_text(SOURCE.replace("k: int", f"{line}\nk: int"))


@pytest.mark.parametrize(
    ("line", "given", "seeds"),
    [
        (SEEDS.format("None"), [], [1, 2]),
        (SEEDS.format("None"), [("seeds", "null")], [1, 2]),
        (SEEDS.format("None"), [("seeds", "[3]")], [3]),
        (SEEDS.format("[1]"), [], [1]),
        (SEEDS.format("[1]"), [("seeds", "null")], [1, 2]),
        ("seed: int = 4  # one", [], [4]),
        ("seed: int | None = None  # one", [], [1, 2]),
    ],
)
def test_recorded_seeds_are_those_of_the_run(small_book, line, given, seeds):
    with_parameter(small_book, line)
    assert record.seeds_of("small", "smoke", given) == seeds


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [(SEEDS.format("None"), "seeds", "[1, {}]"), ("seed: int = 1  # one", "seed", "{}")],
)
def test_a_selection_seed_is_not_recorded(small_book, line, name, value):
    with_parameter(small_book, line)
    chosen_on = profile.load("smoke").selection_seeds[0]
    with pytest.raises(ValueError, match=f"settings were chosen on seed {chosen_on}"):
        record.seeds_of("small", "smoke", [(name, value.format(chosen_on))])


def test_a_failed_run_leaves_page_and_tables_as_they_were(small_book):
    (small_book / "notebooks" / "small.md").write_text(SOURCE.replace("if fail", SAVED + "if fail"))
    executed = run.run("small", "smoke")
    before = executed.with_suffix(".csv").read_text()
    with pytest.raises(ChildProcessError):
        run.run("small", "smoke", [("fail", "true"), ("k", "3")])
    assert executed.with_suffix(".csv").read_text() == before == "k\n6\n"
    assert run.is_current("small", "smoke")


def test_a_deleted_or_damaged_table_or_copy_is_not_current(small_book):
    (small_book / "notebooks" / "small.md").write_text(SOURCE.replace("if fail", SAVED + "if fail"))
    executed = run.run("small", "smoke")
    table = executed.with_suffix(".csv")
    for harmed in (table, executed):
        whole = harmed.read_bytes()
        harmed.write_text("")
        assert not run.is_current("small", "smoke")
        harmed.write_bytes(whole)
        assert run.is_current("small", "smoke")
    table.unlink()
    assert not run.is_current("small", "smoke")
    run.run("small", "smoke")
    assert run.is_current("small", "smoke") and table.read_text() == "k\n6\n"


def test_a_page_follows_the_code_that_it_uses_and_no_other(small_book, monkeypatch):
    shown = "from lox.book import cells\ncells.share(k)"
    (small_book / "notebooks" / "small.md").write_text(SOURCE.replace("k + 1", shown))
    used, asked = run.used_by_source, []
    monkeypatch.setattr(run, "used_by_source", lambda code: asked.append(used(code)) or asked[-1])
    run.fingerprint("small", {})
    assert "lox.book.cells.share" in asked[0]
    assert not [name for name in asked[0] if "chapters" in name or name.startswith("lox.lab")]


def test_how_fast_it_is_computed_is_not_part_of_it(small_book):
    assert run.fingerprint("small", {"workers": 1}) == run.fingerprint("small", {"workers": 4})
