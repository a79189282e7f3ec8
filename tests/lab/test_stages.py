import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lox.lab import replies, stages, training


@pytest.fixture(autouse=True)
def own_stages(tmp_path, monkeypatch):
    monkeypatch.setenv("LOX_STAGES", str(tmp_path))


def make(recipe, build, code=replies.complete):
    return stages.stage("kind", recipe, build, [code])


def test_a_stage_is_made_once_and_then_found():
    calls = []

    def build(folder):
        calls.append(folder)
        (folder / "result.txt").write_text("whole")

    first = make({"seed": 1}, build)
    assert make({"seed": 1}, build) == first
    assert (first / "result.txt").read_text() == "whole"
    assert len(calls) == 1
    assert make({"seed": 2}, build) != first


def test_the_record_says_what_determined_it():
    record = stages.record(make({"seed": 1}, lambda folder: None))
    assert record["recipe"] == {"seed": 1}
    assert set(record["versions"]) == set(stages.LIBRARIES)
    assert record["seconds"] >= 0


def test_a_stage_made_within_another_has_a_time_of_its_own(monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 6.0])  # the outer starts, the inner runs for 3 s, the outer ends
    monkeypatch.setattr(stages, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    inner = []
    outer = make({"outer": 1}, lambda folder: inner.append(make({"inner": 1}, lambda folder: None)))
    assert {stages.used()[folder]["seconds"] for folder in (outer, *inner)} == {3.0}


def test_a_build_that_fails_leaves_no_stage():
    def build(folder):
        (folder / "half.txt").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        make({"seed": 1}, build)
    made = make({"seed": 1}, lambda folder: (folder / "whole.txt").touch())
    assert sorted(p.name for p in made.iterdir()) == ["stage.json", "whole.txt"]


KILLED = """
import os, signal
from lox.lab import replies
from lox.lab import stages
def build(folder):
    (folder / "half.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
stages.stage("kind", {"seed": 1}, build, [replies.complete])
"""


def test_a_killed_build_is_made_again_and_never_taken_for_whole(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED], env={**os.environ, "LOX_STAGES": str(tmp_path)})
    assert killed.returncode == -signal.SIGKILL
    assert list(tmp_path.rglob("half.txt")), "the kill came before anything was written"
    made = make({"seed": 1}, lambda folder: (folder / "whole.txt").touch())
    assert sorted(p.name for p in made.iterdir()) == ["stage.json", "whole.txt"]


def test_the_code_is_part_of_the_name():
    by_evaluation = make({"seed": 1}, lambda folder: None, replies.complete)
    by_training = make({"seed": 1}, lambda folder: None, training.align)
    assert by_evaluation != by_training


@pytest.mark.parametrize("harm", ["emptied", "zeroed", "gone", "no record", "bad record"])
def test_a_damaged_stage_is_noticed_said_and_made_anew(harm, monkeypatch):
    def build(folder):
        (folder / "weights.bin").write_bytes(b"w" * 1000)

    folder = make({"seed": 1}, build)
    file = folder / ("stage.json" if "record" in harm else "weights.bin")
    damage = {"emptied": b"", "zeroed": bytes(1000), "bad record": b"{"}
    file.write_bytes(damage[harm]) if harm in damage else file.unlink()
    monkeypatch.setattr(stages, "_used", {})  # as another process, which has not asked for it yet
    with pytest.warns(UserWarning, match=rf"stage kind/{folder.name} is damaged .* made anew"):
        assert make({"seed": 1}, build) == folder
    assert (folder / "weights.bin").read_bytes() == b"w" * 1000
    assert stages.record(folder)["files"].keys() == {"weights.bin"}


def test_one_byte_in_the_middle_of_a_large_file_is_noticed(monkeypatch):
    def build(folder):
        (folder / "weights.bin").write_bytes(bytes(2**26))

    file = make({"seed": 1}, build) / "weights.bin"
    with file.open("r+b") as weights:
        weights.seek(2**25)
        weights.write(b"w")
    monkeypatch.setattr(stages, "_used", {})
    with pytest.warns(UserWarning, match="weights.bin has changed"):
        make({"seed": 1}, build)
    assert file.read_bytes() == bytes(2**26)


def test_versions_are_part_of_the_name(monkeypatch):
    before = make({"seed": 1}, lambda folder: None)
    monkeypatch.setattr(stages, "version", lambda name: "0.0")
    assert make({"seed": 1}, lambda folder: None) != before


def test_stage_json_is_json(tmp_path):
    folder = make({"seed": 1}, lambda folder: None)
    assert json.loads(Path(folder, "stage.json").read_text())["kind"] == "kind"
