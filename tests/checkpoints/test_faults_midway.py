"""In the middle of the work: interruptions, full disks, and inputs that change meanwhile."""

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults import tree
from filelock import FileLock
from typer.testing import CliRunner

from lox import cli

EXTRAPOLATE = ["extrapolate", "base", "aligned", "out"]
UNFINISHED = ".out.*.unfinished"


def lox(*arguments: str):
    return CliRunner().invoke(cli.app, list(arguments))


def unfinished(folder: Path) -> list[Path]:
    return list(folder.glob(UNFINISHED))


@pytest.fixture
def during(monkeypatch):
    """A function: have the command call ``hook(done, total)`` in the middle of its work."""

    def during(hook) -> None:
        @contextmanager
        def progress(quiet):
            yield hook

        monkeypatch.setattr(cli, "byte_progress", progress)

    return during


@pytest.fixture
def full_at_the_end(monkeypatch):
    """A function (options) -> a run whose disk is full when both shards are finished."""

    def fails(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    def run(*options: str):
        with monkeypatch.context() as patched:
            patched.setattr("shutil.copyfile", fails)
            return lox(*EXTRAPOLATE, *options)

    return run


# --- going on -----------------------------------------------------------------------------------------------


def test_a_full_disk(folder, fault, full_at_the_end):
    """The disk is full after the shards"""
    said = ("No space left on device; the same call goes on with what is finished in", "`rm -r", "removes it")
    fault(run=full_at_the_end, says=said, leaves=(UNFINISHED,))
    assert lox(*EXTRAPOLATE).exit_code == 0 and not unfinished(folder)


def test_other_settings(folder, fault, full_at_the_end):
    """After an interruption, a run with other settings"""
    assert full_at_the_end().exit_code == 2
    [left] = unfinished(folder)
    said = ("is left of a run with other settings; `rm -r", "removes it")
    result = fault(*EXTRAPOLATE, "--alpha", "0.5", exits=0, says=said, leaves=("out",))
    assert result.stderr.startswith(f"lox: {left}") and unfinished(folder) == [left]


def test_another_version(folder, fault, full_at_the_end, monkeypatch):
    """After an interruption, a run of another version of the program"""
    assert full_at_the_end().exit_code == 2
    monkeypatch.setattr("lox.checkpoints.plan.program", lambda: ["another version"])
    fault(*EXTRAPOLATE, exits=0, says="is left of a run with other settings", leaves=("out",))
    assert len(unfinished(folder)) == 1


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGE = {
    "an unfinished run's shard is truncated": lambda left: shorten(next(left.glob("*.safetensors"))),
    "an unfinished run's shard is empty": lambda left: next(left.glob("*.safetensors")).write_bytes(b""),
    "an unfinished run's shard is zeros": lambda left: [
        path.write_bytes(bytes(path.stat().st_size)) for path in left.glob("*00001*.safetensors")
    ],
    "an unfinished run's note is empty": lambda left: next(left.glob(".finished/*")).write_text(""),
    "an unfinished run's note is truncated": lambda left: shorten(next(left.glob(".finished/*"))),
    "an unfinished run's note is of something else": lambda left: next(left.glob(".finished/*")).write_text(
        "[]"
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_damaged_is_noticed_and_made_again(folder, fault, full_at_the_end, damage):
    assert lox("extrapolate", "base", "aligned", "expected", "--report", "expected.csv").exit_code == 0
    assert full_at_the_end().exit_code == 2
    [left] = unfinished(folder)
    DAMAGE[damage](left)
    inside = [str(left.relative_to(folder) / name) for name in ["", *tree(left)]]  # it becomes OUT

    result = fault(
        *EXTRAPOLATE,
        "--report",
        "r.csv",
        exits=0,
        says="not as it was finished; it is made again",
        leaves=("out", "r.csv"),
        changed=(*inside, left.name),
    )
    assert result.stderr.count("\n") == 1
    assert tree(folder / "out") == tree(folder / "expected") and not unfinished(folder)
    assert (folder / "r.csv").read_bytes() == (folder / "expected.csv").read_bytes()


SLOW = """
import signal, threading
from lox import terminal
from lox.checkpoints import shards
from lox.cli import app

write_job = shards._write_job

def slow(plan, part, job):
    if "model-00002" in part.name:
        print("second shard", flush=True)
        interrupted.wait()
    return write_job(plan, part, job)

interrupted = threading.Event()

def interrupt(*_):
    interrupted.set()
    raise KeyboardInterrupt

class Ended(terminal.Ended):
    def __init__(self, number):
        interrupted.set()
        super().__init__(number)

terminal.Ended, shards._write_job = Ended, slow
signal.signal(signal.SIGINT, interrupt)  # in the background it may be ignored
app()
"""


def interrupted(number: signal.Signals) -> SimpleNamespace:
    """What a run did that got a signal when its first shard was finished."""
    command = [sys.executable, "-c", SLOW, *EXTRAPOLATE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "second shard\n"
        while True:  # Python loses a signal that comes just before its main thread begins to wait
            run.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                stdout, stderr = run.communicate(timeout=30)
                break
    return SimpleNamespace(exit_code=run.returncode, stdout=stdout, stderr=stderr)


SIGNALS = {
    "Ctrl-C": signal.SIGINT,
    "a batch system ends it": signal.SIGTERM,
    "the terminal closes": signal.SIGHUP,
}


@pytest.mark.parametrize("wrong", SIGNALS)
def test_an_interruption(folder, fault, wrong):
    number = SIGNALS[wrong]
    said = ("lox: interrupted; the same call goes on with what is finished in", "removes it")
    fault(run=partial(interrupted, number), exits=128 + number, says=said, leaves=(UNFINISHED,))
    assert lox(*EXTRAPOLATE).exit_code == 0 and not unfinished(folder)


# --- what others do meanwhile -------------------------------------------------------------------------------


def test_another_run_on_the_same_folder(folder, fault):
    """Another run writes the same OUT, with another alpha"""
    with FileLock(folder / ".out.lock"):
        fault(*EXTRAPOLATE, "--alpha", "0.5", says="out: another process is writing it")
    assert lox(*EXTRAPOLATE).exit_code == 0 and not (folder / ".out.lock").exists()


def test_a_folder_that_appears_meanwhile_costs_no_work(folder, fault, during):
    """OUT appears meanwhile, with something in it"""

    def appears(done: int, total: int) -> None:
        (folder / "out").mkdir(exist_ok=True)
        (folder / "out" / "mine").touch()

    during(appears)
    said = ("Directory not empty; the same call goes on with what is finished in", "removes it")
    fault(*EXTRAPOLATE, says=said, leaves=(UNFINISHED, "out"))
    (folder / "out" / "mine").unlink()
    steps = []
    during(lambda done, total: steps.append(done))
    assert lox(*EXTRAPOLATE).exit_code == 0
    assert len(steps) == 2 and not unfinished(folder)  # a step for each shard: both were finished


@pytest.mark.parametrize("side", ["base", "aligned"], ids="{} is rewritten meanwhile".format)
def test_a_checkpoint_that_is_rewritten_meanwhile(folder, fault, during, side):
    def rewrite(done: int, total: int) -> None:
        path = next((folder / side).glob("*.safetensors"))
        path.write_bytes(path.read_bytes())
        os.utime(path, ns=(0, done))

    during(rewrite)
    fault(*EXTRAPOLATE, says=(f"{side}/model", "start again"))


def test_a_checkpoint_that_is_rewritten_under_energies(folder, fault, during):
    """BASE is rewritten while `lox energy` reads it"""
    during(lambda done, total: os.utime(folder / "base" / "model.safetensors", ns=(0, done)))
    fault("energy", "base", "aligned", says="base/model.safetensors: changed while it was read")


def test_time_is_not_what_tells_a_file_from_a_later_one_alone(folder, fault, during):
    """BASE is replaced by a file of its time and size, as `rsync -t` does"""
    path = folder / "base" / "model.safetensors"
    replaced = []

    def replace(done: int, total: int) -> None:
        if replaced:  # a file system may give the first one's number to a third
            return
        replaced.append(done)
        status = path.stat()
        time.sleep(0.001)
        path.with_suffix(".new").write_bytes(path.read_bytes())
        path.with_suffix(".new").rename(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    during(replace)
    fault(*EXTRAPOLATE, says="changed while it was read")


def test_a_table_that_cannot_be_written_is_printed(folder, fault, monkeypatch):
    """The disk is full for the report, when OUT is whole"""
    rename = Path.rename

    def full(self, target):
        if Path(target).name == "r.csv":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full)
    said = "r.csv: No space left on device; the table is printed instead"
    result = fault(*EXTRAPOLATE, "--report", "r.csv", says=said, leaves=("out",))
    assert len(result.stdout.splitlines()) == 13 and result.stdout.startswith("name,layer,kind")
