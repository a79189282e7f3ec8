"""The order in which the book's notebooks are run, and what runs beside what."""

import threading

import pytest

from lox.book import run, site


def test_every_notebook_is_run_once_the_core_first_and_long_ones_right_after_it():
    order = site.in_order()
    assert sorted(order) == run.names()
    core = [
        "intro",
        "findings",
        "toy_world",
        "robustness",
        "playground",
        "projection",
        "energy",
        "effective_rank",
    ]
    assert order[: len(core) + len(site.LONG)] == [*core, *site.LONG]


@pytest.fixture
def a_book(monkeypatch, tmp_path):
    """A build whose notebooks and sites are only written down, in the order in which they are made."""
    monkeypatch.setattr(site, "JOBS", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(site, "_index", lambda: tmp_path / "index.html")
    monkeypatch.setattr(run, "require_writable", lambda *folders: None)
    monkeypatch.setattr(run, "is_current", lambda name, profile: False)
    made, core, shown = [], set(site.notebooks(site.FIRST)), threading.Event()

    def ran(name, profile, workers):
        if name not in core and not site._index().exists():
            assert shown.wait(timeout=60)  # what comes later takes longer than the first site
        made.append(name)

    def built(profile, parts=None):
        made.append(("site", parts))
        site._index().touch()
        shown.set()
        return site._index()

    monkeypatch.setattr(run, "run", ran)
    monkeypatch.setattr(site, "_build_site", built)
    return made


def test_a_first_site_is_built_once_its_parts_are_there(a_book):
    told = []
    assert site.build("smoke", told.append) == site._index()
    sites = [entry for entry in a_book if isinstance(entry, tuple)]
    assert sites == [("site", site.FIRST), ("site", None)] and a_book[-1] == ("site", None)
    core = set(site.notebooks(site.FIRST))
    assert "intro" in core
    assert core <= set(a_book[: a_book.index(("site", site.FIRST))])
    (said,) = [line for line in told if line.startswith("a first site, ")]
    assert said.endswith("index.html") and f" {len(run.names()) - len(core)} chapters are to come" in said


def test_a_site_that_is_there_is_not_replaced_by_a_part_of_it(a_book):
    site._index().touch()
    site.build("smoke", lambda line: None)
    assert [entry for entry in a_book if isinstance(entry, tuple)] == [("site", None)]


def test_no_site_is_built_of_chapters_that_failed(a_book, monkeypatch):
    def fails(name, profile, workers):
        raise ChildProcessError(name)

    monkeypatch.setattr(run, "run", fails)
    with pytest.raises(ChildProcessError, match="intro"):
        site.build("smoke", lambda line: None)
    assert a_book == []


def test_the_first_has_all_workers_and_the_next_begins_beside_it(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    both_run, given = threading.Barrier(site.JOBS), {}

    def fake(name, profile, workers):
        given[name] = workers
        if name in ("first", "second"):
            both_run.wait(timeout=60)

    monkeypatch.setattr(run, "run", fake)
    site.run_all(["first", "second", "third"], "smoke", report=lambda line: None)
    assert given["first"] == site.JOBS * given["second"] and given["second"] == given["third"]


def test_every_failure_is_told_after_the_others_ran(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def fake(name, profile, workers):
        if name != "good":
            raise ChildProcessError(f"{name} is bad")

    told = []
    monkeypatch.setattr(run, "run", fake)
    with pytest.raises(ChildProcessError, match="a is bad") as failure:
        site.run_all(["a", "good", "b"], "smoke", report=told.append)
    assert "b is bad" in str(failure.value) and len(told) == 3
