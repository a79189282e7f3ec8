"""Several models side by side, where each keeps no more than one core busy."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

from lox.lab import stages

T = TypeVar("T")


def side_by_side(calls: Sequence[Callable[[], T]], workers: int) -> list[T]:
    """``[call() for call in calls]``, by so many processes of one thread each; 1 makes them here, in turn.

    The calls are partials of functions of modules; the stages that they ask for count among this process's
    own. Raises what a call does.
    """
    if workers < 1:
        raise ValueError(f"workers is a number of processes, 1 or more, not {workers!r}")
    if workers == 1 or len(calls) < 2:
        return [call() for call in calls]
    processes = min(workers, len(calls))
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin_worker) as pool:
        made = list(pool.map(_with_stages, calls))  # after the first failure no further call begins
    for _, used in made:
        stages.also_used(used)
    return [result for result, _ in made]


def _with_stages(call: Callable[[], T]) -> tuple[T, dict[Path, dict]]:
    """A call's result, and the stages that its process has asked for."""
    return call(), stages.used()


def _begin_worker() -> None:
    """One thread; an interruption ends the process without a word, for the one that waits for it speaks."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
