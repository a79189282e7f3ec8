"""Stages made by several processes, and then found by the one that asked."""

import os
from functools import partial

import pytest
import torch

from lox import experiment, measurement, stages
from lox.at_once import at_once


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_other_processes_make_what_this_one_finds(setup, two_threads, monkeypatch):
    wanted = [partial(setup.folder, "attacked", seed=1, task="pure_bad", lr=lr) for lr in (1e-3, 2e-3)]
    monkeypatch.setattr(stages, "_build", lambda *given: pytest.fail("made in this process"))
    folders = at_once(setup, wanted)
    assert len(set(folders)) == 2
    assert set(folders) <= set(stages.used())


def test_results_are_those_of_the_calls_in_their_order(setup, two_threads):
    calls = [
        partial(measurement.row, setup, 1, task, defence)
        for task in (None, "gsm8k")
        for defence in ("none", "lox")
    ]
    assert measurement.table(at_once(setup, calls)).equals(measurement.table(call() for call in calls))


def test_what_a_call_raises_is_raised(setup, two_threads):
    with pytest.raises(ValueError, match="unknown kind of model 'tuned'"):
        at_once(setup, [partial(setup.folder, "tuned", seed=1)])


def test_large_models_are_made_one_by_one_and_here(two_threads):
    here = []
    assert at_once(experiment.load("smollm2"), [lambda: here.append(os.getpid())]) == [None]
    assert here == [os.getpid()]
