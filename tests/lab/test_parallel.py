"""Stages made by several processes, and then found by the one that asked."""

import signal
import subprocess
import sys
from functools import partial

import pytest

from lox.lab import rows, stages
from lox.lab.parallel import side_by_side


def test_other_processes_make_what_this_one_then_finds(setup, monkeypatch):
    models = [setup.model(1, "pure_bad", defence, lr=2e-3) for defence in ("none", "lox")]
    calls = [partial(rows.row, setup, model) for model in models]
    known = set(stages.used())
    with monkeypatch.context() as patch:
        patch.setattr(stages, "_make", lambda *given: pytest.fail("made in this process"))
        made = side_by_side(calls, workers=2)
    assert [row["defence"] for row in made] == ["none", "lox"]
    kinds = {folder.parent.name for folder in set(stages.used()) - known}
    assert {"attacked", "replies"} <= kinds
    assert rows.table(made).equals(rows.table(call() for call in calls))
    assert setup.folder(models[0]) in stages.used()


def test_what_a_call_raises_in_another_process_is_raised():
    with pytest.raises(ValueError, match="invalid literal"):
        side_by_side([partial(int, "one"), partial(int, "2")], workers=2)


def test_one_worker_is_this_process():
    here = []
    side_by_side([partial(here.append, 1), partial(here.append, 2)], workers=1)
    assert here == [1, 2]


def test_no_worker_is_refused():
    with pytest.raises(ValueError, match="1 or more, not 0"):
        side_by_side([], workers=0)


def test_an_interrupted_worker_ends_without_a_word():
    """What waits for it says what happened."""
    interrupted = "parallel._begin_worker(); os.kill(os.getpid(), signal.SIGINT)"
    code = f"import os, signal; from lox.lab import parallel; {interrupted}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert ended.returncode == 128 + signal.SIGINT and ended.stderr == ""
