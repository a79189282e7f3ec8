"""The order in which the book's notebooks are run, and what runs beside what."""

import threading

import pytest

from lox.book import run, site


def test_every_notebook_is_run_once_few_seeds_beside_the_first_and_long_ones_right_after_the_core():
    order = site.in_order()
    assert sorted(order) == run.names()
    core = ["intro", *site.FEW, "findings", "toy_world", "robustness", *site.LONG]
    assert order[: len(core)] == core


def test_what_runs_beside_the_first_is_of_fewer_seeds_than_the_profiles():
    for name in site.FEW:
        (seeds,) = [parameter for parameter in run.parameters(name) if parameter.name == "seeds"]
        assert seeds.parse(seeds.default) is not None


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
