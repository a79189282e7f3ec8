"""Several models at once, where each keeps no more than one core busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import torch

from lox.experiment import Setup
from lox.profile import ToyModel

T = TypeVar("T")


def at_once(setup: Setup, calls: Sequence[Callable[[], T]]) -> list[T]:
    """``[call() for call in calls]``, with the stages that the calls need made beforehand, several at once.

    As many processes make them as torch has threads here, if the model is the toy's: larger ones keep all
    cores busy by themselves, and several would not fit the memory. The calls, partials of what lox has,
    are made again in this process, which so knows what its results rest on. Raises what a call does.
    """
    processes = torch.get_num_threads()
    if isinstance(setup.profile.model, ToyModel) and processes > 1:
        one_thread = {"initializer": torch.set_num_threads, "initargs": (1,)}
        with ProcessPoolExecutor(processes, get_context("spawn"), **one_thread) as pool:
            for made in [pool.submit(call) for call in calls]:
                made.result()
    return [call() for call in calls]
