"""The order in which the book's notebooks are run."""

from lox.book import run, site


def test_every_notebook_is_run_once_the_core_first_and_long_ones_right_after_it():
    order = site.in_order()
    assert sorted(order) == run.names()
    assert order[: 4 + len(site.LONG)] == ["intro", "findings", "toy_world", "robustness", *site.LONG]
