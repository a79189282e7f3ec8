"""What the ``lox`` command prints besides its results: errors and warnings in one line, and progress."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper

import typer
from rich.console import Console
from typer.core import TyperGroup

errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


class Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which a batch system or a closed terminal sends: an interruption too."""

    def __init__(self, number: int):
        self.number = number


class OneLineErrors(TyperGroup):
    """What a user can mend is one line on stderr and exit code 2, an interruption one line and 128 + its signal.

    Warnings are a line each. Anything else is a bug, traceback and 1.
    """

    def invoke(self, ctx):
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
        code = 2
        try:
            with _signals_interrupt():
                return super().invoke(ctx)
        except BrokenPipeError:  # nobody reads any further: `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 128 + signal.SIGPIPE
        except OSError as error:
            _say(f"{error.filename}: {error.strerror}" if error.filename else str(error), error)
        except ValueError as error:
            _say(str(error), error)
        except KeyboardInterrupt as interruption:
            _say("interrupted", interruption)
            code = 128 + getattr(interruption, "number", signal.SIGINT)
        raise typer.Exit(code)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end what runs as Ctrl-C does, so that what is kept is said."""

    def end(number: int, _) -> None:
        raise Ended(number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(line: str, error: BaseException) -> None:
    """Print an error's message, and after it what its notes say about the work that is kept."""
    errors.print("; ".join([f"lox: {line}", *getattr(error, "__notes__", [])]))


@contextmanager
def warning_lines(quiet: bool) -> Iterator[None]:
    """Warnings as a line each on stderr, none if ``quiet``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not quiet:
            warnings.simplefilter("default", UserWarning)
        warnings.showwarning = lambda message, *_, **__: errors.print(f"lox: {message}")
        yield


@contextmanager
def byte_progress(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar with bytes, speed and time left on stderr, if that is a terminal."""
    from rich import progress as bars

    columns = (
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    disable = quiet or not sys.stderr.isatty()  # rich also takes a notebook for a terminal
    with bars.Progress(*columns, console=Console(stderr=True), transient=True, disable=disable) as bar:
        task = bar.add_task("bytes", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def reply_progress(quiet: bool) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Bars of replies on stderr, if that is a terminal: (name, total) -> a function that is told of so many more."""
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    )
    disable = quiet or not sys.stderr.isatty()
    with bars.Progress(*columns, console=Console(stderr=True), disable=disable) as bar:

        def begin(name: str, total: int) -> Callable[[int], None]:
            task = bar.add_task(name, total=total)
            return lambda more: bar.advance(task, more)

        yield begin
