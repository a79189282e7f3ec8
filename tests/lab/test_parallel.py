"""Stages made by several processes, and then found by the one that asked."""

import os
from functools import partial

import pytest
import torch

from lox.lab import rows, setup, stages
from lox.lab.parallel import at_once


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_other_processes_make_what_this_one_then_finds(setup, two_threads, monkeypatch):
    calls = [partial(rows.row, setup, 1, "pure_bad", defence, lr=2e-3) for defence in ("none", "lox")]
    known = set(stages.used())
    with monkeypatch.context() as patch:
        patch.setattr(stages, "_build", lambda *given: pytest.fail("made in this process"))
        rows = at_once(setup, calls)
    assert [row["defence"] for row in rows] == ["none", "lox"]
    made = {folder.parent.name for folder in set(stages.used()) - known}
    assert {"attacked", "replies"} <= made
    assert rows.table(rows).equals(rows.table(call() for call in calls))
    assert setup.folder("attacked", seed=1, task="pure_bad", lr=2e-3) in stages.used()


def test_what_a_call_raises_in_another_process_is_raised(setup, two_threads):
    with pytest.raises(ValueError, match="invalid literal"):
        at_once(setup, [partial(int, "one")])


def test_large_models_are_made_one_by_one_and_here(two_threads):
    here = []
    assert at_once(setup.load("smollm2"), [lambda: here.append(os.getpid())]) == [None]
    assert here == [os.getpid()]
