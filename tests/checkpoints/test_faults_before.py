"""Refused before anything is written, by a dry run too."""

import json
import os
import shlex
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from tiny_checkpoints import TINY, aligned_from, configure, replace_both, save, weights
from transformers import LlamaConfig, LlamaForCausalLM

from lox.checkpoints.files import INDEX

EXTRAPOLATE = ["extrapolate", "base", "aligned", "out"]
LLAMA = {
    "vocab_size": 20,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
}
SHARD = "aligned/model-00002-of-00002.safetensors"


def custom_code(folder) -> None:
    """A checkpoint that brings code, which would leave a file behind."""
    (folder / "aligned" / "configuration_own.py").write_text("open('was-run', 'w')\n")
    entry = "configuration_own.OwnConfig"
    configure(folder, model_type="own", architectures=["OwnModel"], auto_map={"AutoConfig": entry})


def of_type(dtype: torch.dtype):
    return lambda folder: replace_both(
        folder, {"w.weight": torch.ones(4, 4).to(dtype), "v.weight": torch.ones(2, 2)}
    )


def quantised(method: str):
    return lambda folder: configure(folder, quantization_config={"quant_method": method})


def made(name: str, content: str | bytes | None = None):
    """A change of a folder: a folder of that name, empty, or a file."""

    def change(folder) -> None:
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def gone(name: str):
    return lambda folder: (folder / name).unlink()


def shortened(folder) -> None:
    path = folder / SHARD
    path.write_bytes(path.read_bytes()[:-1])


def listed(**names: str):
    """A change of the index: further tensors in these files."""

    def change(folder) -> None:
        path = folder / "aligned" / INDEX
        content = json.loads(path.read_text())
        content["weight_map"] |= names
        path.write_text(json.dumps(content))

    return change


def only(name: str):
    """Of ALIGNED nothing is there but an empty file of that name."""

    def change(folder) -> None:
        for path in (folder / "aligned").iterdir():
            path.unlink()
        (folder / "aligned" / name).write_text("{}")

    return change


def twice(folder) -> None:
    save_file(weights(0), folder / SHARD)


def other_shapes(folder) -> None:
    tensors = {n: t for n, t in weights(0).items()}
    tensors["model.layers.0.mlp.up_proj.weight"] = torch.ones(12, 9)
    replace_both(folder, tensors)
    save_file(weights(0), folder / "base" / "model.safetensors", metadata={"format": "pt"})


REFUSED = {  # what is wrong: (a change of the folder, arguments after `lox extrapolate base aligned`, what is said)
    "OUT is a link to nowhere": (
        lambda folder: (folder / "out").symlink_to("nowhere"),
        [],
        "out: a link to nowhere, which does not exist; remove the link",
    ),
    "OUT is a file": (made("out", "mine"), [], "out: exists already; remove it, or write somewhere else"),
    "OUT holds something": (
        lambda folder: [made("out")(folder), made("out/mine", "")(folder)],
        [],
        "out: exists already; remove it, or write somewhere else",
    ),
    "OUT is not UTF-8": (
        None,
        [os.fsdecode(b"out\xff")],
        "a name that is not UTF-8, from which safetensors cannot be loaded",
    ),
    "OUT lies in a file": (None, ["aligned/config.json/out"], "Not a directory"),
    "OUT is BASE": (None, ["base"], "base: exists already"),
    "the report is there": (made("r.csv", "mine"), ["--report", "r.csv"], "r.csv: exists already"),
    "the report is a folder": (made("r.csv"), ["--report", "r.csv"], "r.csv: exists already"),
    "the report is a link to nowhere": (
        lambda folder: (folder / "r.csv").symlink_to("nowhere"),
        ["--report", "r.csv"],
        "r.csv: exists already",
    ),
    "the report's folder is missing": (
        None,
        ["--report", "no/r.csv"],
        "no/r.csv: its folder does not exist",
    ),
    "the report lies in OUT": (
        made("out"),
        ["--report", "out/r.csv"],
        "out/r.csv: lies in out, which appears only when it is whole; name another file",
    ),
    "an adapter of full rank": (
        None,
        ["--adapter", "--k", "full"],
        "an adapter is for a small k: with full rank it is larger than the checkpoint",
    ),
    "an adapter on a stack of experts, as Mixtral's": (
        lambda folder: configure(folder, **LLAMA),
        ["--adapter"],
        ("LoRA cannot change model.layers.", "write a whole checkpoint instead"),
    ),
    "an adapter on a model that brings code": (
        custom_code,
        ["--adapter"],
        "it needs code of its own, which is not run; write a whole checkpoint instead",
    ),
    "an adapter on an unknown architecture": (
        lambda folder: configure(folder, architectures=["Trainer"]),
        ["--adapter"],
        "Trainer is unknown to transformers, so LoRA has no place",
    ),
    "an adapter without a configuration": (
        gone("aligned/config.json"),
        ["--adapter"],
        "an adapter needs an architecture",
    ),
    "a device that holds no numbers": (None, ["--device", "meta"], "device 'meta': holds no numbers"),
    "a device that there is not": (None, ["--device", "abacus"], "device 'abacus'"),
    "alpha is infinite": (None, ["--alpha", "inf"], "alpha must be a finite number, not inf"),
    "alpha is not a number": (None, ["--alpha", "nan"], "alpha must be a finite number, not nan"),
    "k is 0": (None, ["--k", "0"], "k is a positive int"),
    "k is a word": (None, ["--k", "six"], "k is a positive int"),
    "fp8": (
        of_type(torch.float8_e4m3fn),
        [],
        "F8_E4M3; take the checkpoint in bf16, fp16 or fp32",
    ),
    "int8": (of_type(torch.int8), [], "aligned is I8; take the checkpoint in bf16, fp16 or fp32"),
    "packed bytes": (of_type(torch.uint8), [], "aligned is U8; take the checkpoint in bf16, fp16 or fp32"),
    "quantised by bitsandbytes": (
        quantised("bitsandbytes"),
        [],
        "aligned is quantised (aligned): take the checkpoint in bf16, fp16 or fp32",
    ),
    "quantised by GPTQ": (
        quantised("gptq"),
        [],
        "aligned is quantised (aligned): take the checkpoint in bf16, fp16 or fp32",
    ),
    "a configuration that is no JSON": (
        made("aligned/config.json", "{"),
        [],
        "aligned/config.json: no valid JSON",
    ),
    "a configuration that is a list": (
        made("aligned/config.json", "[]"),
        [],
        "aligned/config.json: a JSON object was expected",
    ),
    "an index that is no JSON": (made(f"aligned/{INDEX}", "{"), [], f"aligned/{INDEX}: no valid JSON"),
    "an index in another encoding": (
        made(f"aligned/{INDEX}", b"\xff"),
        [],
        f"aligned/{INDEX}: no valid JSON",
    ),
    "an index without a map": (
        made(f"aligned/{INDEX}", "{}"),
        [],
        f"aligned/{INDEX}: no weight_map; download the checkpoint again",
    ),
    "an index that leads out of its folder": (
        listed(ghost="../base/model.safetensors"),
        [],
        f"aligned/{INDEX}: '../base/model.safetensors' is no file name in its folder",
    ),
    "an index that names a missing file": (
        gone(SHARD),
        [],
        "model-00002-of-00002.safetensors is missing; download the checkpoint again",
    ),
    "an index that names a tensor its file lacks": (
        listed(ghost="model-00001-of-00002.safetensors"),
        [],
        "ghost is not in model-00001-of-00002.safetensors; download the checkpoint again",
    ),
    "a tensor in two shards": (twice, [], "is also in model-00001-of-00002.safetensors"),
    "a shard that is truncated": (shortened, [], f"{SHARD}: damaged or truncated"),
    "a shard that is empty": (made(SHARD, ""), [], f"{SHARD}: damaged or truncated"),
    "ALIGNED holds pickles only": (
        only("pytorch_model.bin"),
        [],
        "aligned/pytorch_model.bin: only safetensors is read; convert it with transformers",
    ),
    "ALIGNED is an adapter": (
        only("adapter_config.json"),
        [],
        "aligned: an adapter, not a whole model; merge it into its base model first",
    ),
    "ALIGNED holds no weights": (
        only("notes.txt"),
        [],
        "aligned: neither model.safetensors nor model.safetensors.index.json is there",
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_refused(folder, fault, wrong):
    change, options, said = REFUSED[wrong]
    if change:
        change(folder)
    names_out = bool(options) and not options[0].startswith("--")
    lines = 2 if "take the checkpoint" in said else 1  # what does not fit together has a line each
    fault(*EXTRAPOLATE[: 3 if names_out else 4], *options, says=said, dry_run_too=True, lines=lines)


MISFITS = {  # what is wrong: (a change of the folder, what is said below the first line)
    "a matrix of another shape": (
        other_shapes,
        "model.layers.0.mlp.up_proj.weight: base is 12×8, aligned is 12×9",
    ),
    "a tensor that ALIGNED lacks": (
        lambda folder: (
            [path.unlink() for path in (folder / "aligned").glob("model*")]
            and save_file(
                {n: t for n, t in weights(0).items() if n != "model.norm.weight"},
                folder / "aligned" / "model.safetensors",
            )
        ),
        "model.norm.weight: missing in aligned",
    ),
}


@pytest.mark.parametrize("wrong", MISFITS)
def test_misfits_are_a_line_each(folder, fault, wrong):
    change, said = MISFITS[wrong]
    change(folder)
    fault(*EXTRAPOLATE, says=("do not fit", said), dry_run_too=True, lines=2)


@pytest.mark.parametrize(
    "adapter", [False, True], ids=["a disk too small", "a disk too small for an adapter"]
)
def test_a_disk_too_small(folder, fault, monkeypatch, adapter):
    without_stacks = {n: t for n, t in weights(0).items() if "experts" not in n}
    replace_both(folder, without_stacks, TINY | LLAMA | {"num_hidden_layers": 2})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    options = ["--adapter"] if adapter else []
    fault(*EXTRAPOLATE, *options, says="GB are needed, 0.00 GB are free", dry_run_too=True)


def test_energies_over_a_file_that_is_there(folder, fault):
    """The CSV file of `lox energy` is there"""
    (folder / "e.csv").write_text("mine")
    fault(
        "energy",
        "base",
        "aligned",
        "--csv",
        "e.csv",
        says="e.csv: exists already; remove it, or name another file",
    )


def test_a_checkpoint_that_there_is_not(folder, fault):
    """BASE is no folder and no Hub id"""
    fault("extrapolate", "absent", "aligned", "out", says="absent: no such folder", dry_run_too=True)


def test_an_adapter_that_would_add_nothing(tmp_path, monkeypatch, fault):
    """An adapter where BASE and ALIGNED are equal"""
    model = LlamaForCausalLM(LlamaConfig(**LLAMA))
    for side in ("base", "aligned"):
        model.save_pretrained(tmp_path / side)
    monkeypatch.chdir(tmp_path)
    command = [
        "extrapolate",
        "base",
        "aligned",
        "new/folder/out",
        "--adapter",
    ]  # no folder above OUT is left either
    fault(*command, says="the same weights, so there is nothing for an adapter to add")


def test_equal_weights(folder, fault):
    """BASE and ALIGNED are equal"""
    said = "base and aligned have the same weights, so nothing was extrapolated"
    fault("extrapolate", "aligned", "aligned", "out", exits=0, says=said, leaves=("out",))


# --- where nothing can be written ---------------------------------------------------------------------------


def can_mount() -> bool:
    try:
        return subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).returncode == 0
    except OSError:
        return False


MOUNTED = {  # what is wrong: (how the folder ``there`` is mounted, arguments, what is said)
    "OUT is a mount point": ("size=9M", ["there"], "there: cannot be replaced"),
    "OUT is on a mount that cannot be written": ("ro", ["there/out"], "there: Permission denied"),
    "the report is on one": ("ro", ["out", "--report", "there/r.csv"], "there/r.csv: Read-only file system"),
}


@pytest.mark.parametrize("dry", [False, True], ids=["run", "dry run"])
@pytest.mark.parametrize("wrong", MOUNTED)
@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
def test_mounts(folder, wrong, dry):
    """Not a line of the page, which must not depend on the right to mount."""
    options, arguments, said = MOUNTED[wrong]
    (folder / "there").mkdir()
    arguments = [*EXTRAPOLATE[:3], *arguments, *(["--dry-run"] if dry else [])]
    command = shlex.join([sys.executable, "-c", "from lox.cli import app; app()", *arguments])
    script = f"mount -t tmpfs -o {options} none there && {command}"
    run = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    assert run.returncode == 2 and said in run.stderr and run.stderr.count("\n") == 1
    assert {path.name for path in folder.iterdir()} == {"base", "aligned", "there"}


def test_a_matrix_type_is_taken_as_it_is(tmp_path):
    """The refusals above are of the type: the same tensors in bf16 pass."""
    from lox.checkpoints.extrapolate import extrapolate_checkpoint

    save(tmp_path / "base", weights(0, torch.bfloat16))
    save(tmp_path / "aligned", aligned_from(weights(0), torch.bfloat16))
    assert len(extrapolate_checkpoint(tmp_path / "base", tmp_path / "aligned", tmp_path / "out"))
