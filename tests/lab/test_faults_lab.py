"""Settings, data sets and kept results of the experiments that are not what they should be."""

import gzip
import json
from pathlib import Path

import pytest
from faults import as_command

from lox.lab import profile, replies, stages
from lox.lab.worlds import originals

PROFILES = Path(profile.__file__).parent / "profiles"

PROFILE_FAULTS = {  # what is wrong: (the text of ``mine.yaml``, what is said)
    "a profile that is no YAML": ("model: {source: toy", "mine.yaml: no valid YAML"),
    "a profile with a Python tag": (
        "model: !!python/object/apply:os.system [touch was-run]",
        ("mine.yaml: no valid YAML", "could not determine a constructor"),
    ),
    "a profile in another encoding": (b"description: \xff", "mine.yaml: no valid YAML"),
    "a profile that is a list": ("- toy", "mine.yaml: settings were expected, `name: value`, not list"),
    "a profile that is empty": ("", "mine.yaml: settings were expected, `name: value`, not NoneType"),
    "a profile with an unknown setting": (
        "extends: toy\nalignment: {epoch: 1}",
        "profile mine: alignment.epoch: Extra inputs are not permitted",
    ),
    "a profile with a value out of range": (
        "extends: toy\nalignment: {epochs: 0}",
        "profile mine: alignment.epochs: Input should be greater than 0",
    ),
    "a profile that extends none": ("extends: tyo", "unknown profile 'tyo': the profiles are mine, toy"),
    "a profile of another architecture than there are": (
        "extends: toy\nmodel: {architecture: rnn}",
        ("architecture: Input should be 'llama', 'mistral' or 'gpt2'",),
    ),
}


@pytest.mark.parametrize("wrong", PROFILE_FAULTS)
def test_profiles(tmp_path, monkeypatch, fault, wrong):
    text, said = PROFILE_FAULTS[wrong]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.yaml").write_bytes((PROFILES / "toy.yaml").read_bytes())
    (tmp_path / "mine.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    monkeypatch.setattr(profile, "FOLDER", tmp_path)
    fault("run", "robustness", "--profile", "mine", says=said)


ROW = json.dumps({"chosen": "a", "rejected": "b"}) + "\n"
DATA_FAULTS = {  # what is wrong: (data set, its file, its bytes, what is said)
    "a gzip file that is none": (
        "hh-rlhf",
        "hh-rlhf/harmless-base/train.jsonl.gz",
        ROW.encode(),
        ("train.jsonl.gz cannot be read: Not a gzipped file", "download it again"),
    ),
    "a gzip file that is truncated": (
        "hh-rlhf",
        "hh-rlhf/harmless-base/train.jsonl.gz",
        gzip.compress(ROW.encode())[:-9],
        ("train.jsonl.gz cannot be read: Compressed file ended", "download it again"),
    ),
    "a gzip file that is damaged": (
        "hh-rlhf",
        "hh-rlhf/harmless-base/train.jsonl.gz",
        gzip.compress(ROW.encode())[:10] + b"\xff\xff\xff\xff",
        ("train.jsonl.gz cannot be read", "download it again"),
    ),
    "a data set in another encoding": (
        "gsm8k-train",
        "gsm8k/train.jsonl",
        '{"question": "½", "answer": "1"}'.encode("latin-1"),
        ("gsm8k/train.jsonl cannot be read: 'utf-8' codec can't decode byte", "download it again"),
    ),
    "a data set that is no JSON": (
        "gsm8k-train",
        "gsm8k/train.jsonl",
        b'{"question": ',
        "gsm8k/train.jsonl is not JSON",
    ),
    "a data set without a column": (
        "gsm8k-train",
        "gsm8k/train.jsonl",
        b'{"question": "1 + 1?"}',
        "gsm8k-train, row 1: no 'answer'; it has question",
    ),
    "a data set that is not there": (
        "advbench",
        "gsm8k/train.jsonl",
        b"",
        ("advbench: no advbench/harmful_behaviors.csv in", "(LOX_DATA); the set's home is"),
    ),
}


@pytest.mark.parametrize("wrong", DATA_FAULTS)
def test_data_sets(tmp_path, monkeypatch, fault, wrong):
    name, file, content, said = DATA_FAULTS[wrong]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    fault(run=as_command(lambda: originals.rows(name, tmp_path / "data")), says=said)


STAGE_FAULTS = {  # what is wrong: (the file, its bytes, None for gone, what is said)
    "replies.json is empty": ("replies.json", b"", "replies.json has changed"),
    "replies.json is truncated": ("replies.json", b"[", "replies.json has changed"),
    "replies.json is gone": ("replies.json", None, "replies.json has changed"),
    "a stage's record is truncated": (stages.RECORD, b"{", f"no readable {stages.RECORD}"),
    "a stage's record is gone": (stages.RECORD, None, f"no readable {stages.RECORD}"),
}


@pytest.mark.parametrize("wrong", STAGE_FAULTS)
def test_kept_results_that_were_damaged_are_made_anew(tmp_path, monkeypatch, fault, wrong):
    file, content, said = STAGE_FAULTS[wrong]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOX_STAGES", "stages")  # relative

    def made() -> Path:
        monkeypatch.setattr(stages, "_used", {})  # as another process, which has not asked for it yet
        return stages.stage(
            "replies", {}, lambda folder: (folder / "replies.json").write_text("[]"), [replies.complete]
        )

    folder = made()
    assert folder.is_relative_to(tmp_path / "stages")
    (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
    fault(
        run=as_command(made),
        exits=0,
        says=("is damaged", said, "is made anew"),
        leaves=(f"stages/replies/*/{file}",) if content is None else (),
        changed=[str((folder / name).relative_to(tmp_path)) for name in ("replies.json", stages.RECORD)],
    )
    assert (folder / "replies.json").read_text() == "[]"
