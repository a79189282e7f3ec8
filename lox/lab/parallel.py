"""Several models at once, where each keeps no more than one core busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

from lox.lab import stages
from lox.lab.profile import ToyModel
from lox.lab.setup import Setup

T = TypeVar("T")


def at_once(setup: Setup, calls: Sequence[Callable[[], T]]) -> list[T]:
    """``[call() for call in calls]``, several at once, of calls (partials of what lox has) that need stages.

    As many processes make them as torch has threads here, if the model is the toy's: larger ones keep all
    cores busy by themselves, and several would not fit the memory. Raises what a call does.
    """
    processes = torch.get_num_threads()
    if not isinstance(setup.profile.model, ToyModel) or processes == 1:
        return [call() for call in calls]
    one_thread = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ProcessPoolExecutor(processes, get_context("spawn"), **one_thread) as pool:
        found = list(pool.map(_with_stages, calls))  # after the first failure no further call begins
    for _, used in found:
        stages.also_used(used)
    return [result for result, _ in found]


def _with_stages(call: Callable[[], T]) -> tuple[T, dict[Path, dict]]:
    """A call's result, and the stages that its process has asked for."""
    return call(), stages.used()
