"""What was tried to break the commands for checkpoints: exit code, message and what is left on disk."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from tiny_checkpoints import TINY, aligned_from, load, save, weights
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from lox import cli
from lox.checkpoints.extrapolate import extrapolate_checkpoint

EXTRAPOLATE = ["extrapolate", "base", "aligned", "out"]
LLAMA = {
    "vocab_size": 20,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
}


@pytest.fixture
def folder(tmp_path, monkeypatch, unchecked_annotations) -> Path:
    """A folder, the working one, with checkpoints ``base`` and ``aligned``, the latter of two shards."""
    save(tmp_path / "base", weights(0))
    save(tmp_path / "aligned", aligned_from(weights(0)), shards=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lox(*arguments: str):
    return CliRunner().invoke(cli.app, list(arguments))


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """All that is in a folder: path -> bytes of a file, target of a link, None for a folder."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else (path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def unfinished(folder: Path) -> list[Path]:
    return list(folder.glob(".out.*.unfinished"))


def configure(folder: Path, **entries) -> None:
    (folder / "aligned" / "config.json").write_text(json.dumps(TINY | entries))


def both(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Give both checkpoints other tensors."""
    for side in ("base", "aligned"):
        subprocess.run(["rm", "-r", folder / side], check=True)
        save(folder / side, tensors)


# --- refused before anything is written, in a dry run too ---------------------------------------------------


def custom_code(folder: Path) -> None:
    """A checkpoint that brings code, which would leave a file behind."""
    (folder / "aligned" / "configuration_own.py").write_text("open('was-run', 'w')\n")
    entry = "configuration_own.OwnConfig"
    configure(folder, model_type="own", architectures=["OwnModel"], auto_map={"AutoConfig": entry})


def eight_bits(dtype: torch.dtype):
    return lambda folder: both(folder, {"w.weight": torch.ones(4, 4).to(dtype), "v.weight": torch.ones(2, 2)})


def made(name: str, content: str | None = None):
    """A change of a folder: a folder of that name, empty, or a file."""

    def change(folder: Path) -> None:
        (folder / name).mkdir() if content is None else (folder / name).write_text(content)

    return change


REFUSED = {  # what is wrong: (a change of the folder, options, what is said)
    "OUT is a link to nowhere": (
        lambda folder: (folder / "out").symlink_to("nowhere"),
        [],
        "out: a link to nowhere, which does not exist",
    ),
    "OUT is a file": (made("out", "mine"), [], "out: exists already"),
    "OUT holds something": (
        lambda folder: [made("out")(folder), made("out/mine", "")(folder)],
        [],
        "out: exists already",
    ),
    "OUT is not UTF-8": (None, [os.fsdecode(b"out\xff")], "a name that is not UTF-8"),
    "OUT lies in a file": (None, ["aligned/config.json/out"], "Not a directory"),
    "the report is there": (made("r.csv", "mine"), ["--report", "r.csv"], "r.csv: exists already"),
    "the report is a folder": (made("r.csv"), ["--report", "r.csv"], "r.csv: exists already"),
    "the report's folder is missing": (None, ["--report", "no/r.csv"], "its folder does not exist"),
    "the report lies in OUT": (made("out"), ["--report", "out/r.csv"], "out/r.csv: lies in out"),
    "an adapter of full rank": (None, ["--adapter", "--k", "full"], "an adapter is for a small k"),
    "an adapter on a stack": (
        lambda folder: configure(folder, **LLAMA),
        ["--adapter"],
        "LoRA cannot change model.layers.",
    ),
    "an adapter where code comes along": (
        custom_code,
        ["--adapter"],
        "it needs code of its own, which is not run",
    ),
    "an adapter on an unknown architecture": (
        lambda folder: configure(folder, architectures=["Trainer"]),
        ["--adapter"],
        "Trainer is unknown to transformers",
    ),
    "an adapter without a configuration": (
        lambda folder: (folder / "aligned" / "config.json").unlink(),
        ["--adapter"],
        "an adapter needs an architecture",
    ),
    "a device without numbers": (None, ["--device", "meta"], "device 'meta': holds no numbers"),
    "alpha is no number": (None, ["--alpha", "inf"], "alpha must be a finite number"),
    "fp8": (eight_bits(torch.float8_e4m3fn), [], "F8_E4M3; take the checkpoint in bf16, fp16 or fp32"),
    "int8": (eight_bits(torch.int8), [], "aligned is I8; take the checkpoint in bf16, fp16 or fp32"),
    "packed bytes": (eight_bits(torch.uint8), [], "aligned is U8; take the checkpoint in bf16, fp16 or fp32"),
    "quantised": (
        lambda folder: configure(folder, quantization_config={"quant_method": "bitsandbytes"}),
        [],
        "aligned is quantised (aligned): take the checkpoint in bf16, fp16 or fp32",
    ),
}


@pytest.mark.parametrize("dry", [False, True], ids=["run", "dry run"])
@pytest.mark.parametrize("wrong", REFUSED)
def test_refused_before_anything_is_written(folder, wrong, dry):
    change, options, said = REFUSED[wrong]
    if change:
        change(folder)
    before = tree(folder)
    names_out = bool(options) and not options[0].startswith("--")
    result = lox(*(EXTRAPOLATE[:3] if names_out else EXTRAPOLATE), *options, *(["--dry-run"] if dry else []))
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("lox: ") and said in result.stderr
    assert result.stderr.count("\n") == (2 if "do not fit" in result.stderr else 1)
    assert tree(folder) == before


@pytest.mark.parametrize("dry", [False, True], ids=["run", "dry run"])
@pytest.mark.parametrize("adapter", [False, True], ids=["whole", "adapter"])
def test_a_disk_too_small(folder, monkeypatch, adapter, dry):
    both(folder, {n: t for n, t in weights(0).items() if "experts" not in n})
    for side in ("base", "aligned"):
        (folder / side / "config.json").write_text(json.dumps(TINY | LLAMA | {"num_hidden_layers": 2}))
    before = tree(folder)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    options = (["--adapter"] if adapter else []) + (["--dry-run"] if dry else [])
    result = lox(*EXTRAPOLATE, *options)
    assert result.exit_code == 2 and "GB are needed, 0.00 GB are free" in result.stderr
    assert tree(folder) == before


def test_energies_over_a_file_that_is_there(folder):
    (folder / "e.csv").write_text("mine")
    result = lox("energy", "base", "aligned", "--csv", "e.csv")
    assert result.exit_code == 2 and result.stderr == (
        "lox: e.csv: exists already; remove it, or name another file\n"
    )
    assert (folder / "e.csv").read_text() == "mine"


def test_an_adapter_that_would_add_nothing(tmp_path, monkeypatch):
    model = LlamaForCausalLM(LlamaConfig(**LLAMA))
    for side in ("base", "aligned"):
        model.save_pretrained(tmp_path / side)
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    result = lox(*EXTRAPOLATE, "--adapter")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "the same weights, so there is nothing for an adapter to add" in result.stderr
    assert tree(tmp_path) == before


# --- where OUT is -------------------------------------------------------------------------------------------


def test_a_link_to_an_empty_folder_is_written_to(folder):
    (folder / "elsewhere").mkdir()
    (folder / "out").symlink_to("elsewhere")
    result = lox(*EXTRAPOLATE)
    assert result.exit_code == 0, result.output
    assert (folder / "out").is_symlink() and set(load(folder / "elsewhere")) == set(weights(0))


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


RUN_AND_DRY_RUN = """
import sys
from lox.cli import app

for more in [], ["--dry-run"]:
    try:
        app(sys.argv[1:] + more)
    except SystemExit as exit:
        print(exit.code)
"""


@pytest.mark.parametrize("wrong", MOUNTED)
@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
def test_mounts_are_found_first(folder, wrong):
    options, arguments, said = MOUNTED[wrong]
    (folder / "there").mkdir()
    command = shlex.join([sys.executable, "-c", RUN_AND_DRY_RUN, *EXTRAPOLATE[:3], *arguments])
    script = f"mount -t tmpfs -o {options} none there && {command}"
    run = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    assert run.stdout == "2\n2\n" and run.stderr.count("\n") == run.stderr.count(said) == 2
    assert {path.name for path in folder.iterdir()} == {"base", "aligned", "there"}


def test_another_run_on_the_same_folder(folder):
    """Whatever its parameters are."""
    before = tree(folder)
    with FileLock(folder / ".out.lock"):
        result = lox(*EXTRAPOLATE, "--alpha", "0.5")
    assert result.exit_code == 2 and result.stderr.endswith("out: another process is writing it\n")
    assert {name for name in tree(folder) if name != ".out.lock"} == set(before)
    assert lox(*EXTRAPOLATE).exit_code == 0 and not (folder / ".out.lock").exists()


def test_a_folder_that_appears_meanwhile_costs_no_work(folder):
    def appears(done: int, total: int) -> None:
        (folder / "out").mkdir(exist_ok=True)
        (folder / "out" / "mine").touch()

    with pytest.raises(OSError) as caught:
        extrapolate_checkpoint("base", "aligned", "out", progress=appears)
    [left] = unfinished(folder)
    assert any(str(left) in note for note in caught.value.__notes__)
    (folder / "out" / "mine").unlink()
    steps = []
    extrapolate_checkpoint("base", "aligned", "out", progress=lambda done, total: steps.append(done))
    assert len(steps) == 2 and not unfinished(folder)  # a step for each shard: both were finished


def test_inputs_whose_names_are_not_utf8(folder):
    name = os.fsdecode(b"aligned \xff")
    os.rename("aligned", name)
    result = lox("extrapolate", "base", name, "out", "--report", os.fsdecode(b"\xe4.csv"))
    assert result.exit_code == 0, result.output
    assert set(load(folder / "out")) == set(weights(0)) and (folder / os.fsdecode(b"\xe4.csv")).exists()
    assert "\\udcff" in (folder / "out" / "README.md").read_text(encoding="utf-8")
    result = lox("energy", "absent" + name, "base")
    assert result.exit_code == 2 and result.stderr.startswith("lox: absentaligned \\udcff: no such folder")


# --- going on -----------------------------------------------------------------------------------------------


def interrupt_at_the_end(monkeypatch, *options: str):
    """A run that fails when both shards are finished."""

    def fails(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfile", fails)
        return lox(*EXTRAPOLATE, *options)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


DAMAGE = {
    "a shard is truncated": lambda left: shorten(next(left.glob("*.safetensors"))),
    "a shard is empty": lambda left: next(left.glob("*.safetensors")).write_bytes(b""),
    "a shard's bytes are zeros": lambda left: [
        path.write_bytes(bytes(path.stat().st_size)) for path in left.glob("*00001*.safetensors")
    ],
    "a note is empty": lambda left: next(left.glob(".finished/*")).write_text(""),
    "a note is truncated": lambda left: shorten(next(left.glob(".finished/*"))),
    "a note is of something else": lambda left: next(left.glob(".finished/*")).write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_damaged_is_noticed_and_made_again(folder, monkeypatch, damage):
    assert lox("extrapolate", "base", "aligned", "expected", "--report", "expected.csv").exit_code == 0
    assert interrupt_at_the_end(monkeypatch).exit_code == 2
    [left] = unfinished(folder)
    DAMAGE[damage](left)
    result = lox(*EXTRAPOLATE, "--report", "r.csv")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1 and "not as it was finished; it is made again" in result.stderr
    assert tree(folder / "out") == tree(folder / "expected") and not unfinished(folder)
    assert (folder / "r.csv").read_bytes() == (folder / "expected.csv").read_bytes()


def test_a_change_of_the_program_goes_on_from_nothing(folder, monkeypatch):
    assert interrupt_at_the_end(monkeypatch).exit_code == 2
    [old] = unfinished(folder)
    monkeypatch.setattr("lox.checkpoints.plan.program", lambda: ["another version"])
    steps = []
    with pytest.warns(UserWarning, match="is left of a run with other settings"):
        extrapolate_checkpoint("base", "aligned", "out", progress=lambda done, total: steps.append(done))
    assert len(steps) > 2 and unfinished(folder) == [old]


def test_what_is_left_is_named_with_how_to_remove_it(folder, monkeypatch):
    result = interrupt_at_the_end(monkeypatch)
    [left] = unfinished(folder)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"goes on with what is finished in {left}; `rm -r {left}` removes it" in result.stderr
    result = lox(*EXTRAPOLATE, "--alpha", "0.5")  # goes on from nothing
    assert result.exit_code == 0
    assert f"{left} is left of a run with other settings; `rm -r {left}` removes it" in result.stderr
    assert unfinished(folder) == [left]


@pytest.mark.parametrize("side", ["base", "aligned"])
def test_a_checkpoint_that_is_rewritten_meanwhile(folder, side):
    def rewrite(done: int, total: int) -> None:
        path = next((folder / side).glob("*.safetensors"))
        path.write_bytes(path.read_bytes())
        os.utime(path, ns=(0, done))

    with pytest.raises(
        OSError, match=rf"{side}/model.*: (changed while it was read|ended \d+ bytes early); start again"
    ):
        extrapolate_checkpoint("base", "aligned", "out", progress=rewrite)
    assert {path.name for path in folder.iterdir()} == {"base", "aligned"}


def test_a_checkpoint_that_is_rewritten_under_energies(folder, monkeypatch):
    from lox.checkpoints import energy

    def rewrites(done: int, total: int) -> None:
        os.utime(folder / "base" / "model.safetensors", ns=(0, done))

    with pytest.raises(OSError, match="base/model.safetensors: changed while it was read"):
        energy.energy_table("base", "aligned", progress=rewrites)


SLOW = """
import signal, time
from lox.checkpoints import shards
from lox.cli import app

write_job = shards._write_job

def slow(plan, part, job):
    if "model-00002" in part.name:
        print("second shard", flush=True)
        time.sleep(0.3)
    return write_job(plan, part, job)

shards._write_job = slow
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
app()
"""


def test_an_interruption_is_one_line(folder):
    command = [sys.executable, "-c", SLOW, *EXTRAPOLATE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "second shard\n"
        run.send_signal(signal.SIGINT)
        _, said = run.communicate()
    [left] = unfinished(folder)
    assert run.returncode == 130 and said.count("\n") == 1
    assert said.startswith("lox: interrupted; ") and str(left) in said
    assert lox(*EXTRAPOLATE).exit_code == 0 and not unfinished(folder)


def test_a_table_that_cannot_be_written_is_printed(folder, monkeypatch):
    rename = Path.rename

    def full(self, target):
        if Path(target).name == "r.csv":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full)
    result = lox(*EXTRAPOLATE, "--report", "r.csv")
    assert result.exit_code == 2 and "r.csv: No space left on device; the table is printed" in result.stderr
    assert len(result.stdout.splitlines()) == 13 and result.stdout.startswith("name,layer,kind")
    assert {path.name for path in folder.iterdir()} == {"base", "aligned", "out"}


# --- which files --------------------------------------------------------------------------------------------


def test_a_single_file_goes_before_shards(folder):
    """As transformers has it."""
    single = {n: 2 * t for n, t in aligned_from(weights(0)).items()}
    save(folder / "other", single)
    (folder / "other" / "model.safetensors").rename(folder / "aligned" / "model.safetensors")
    result = lox(*EXTRAPOLATE)
    assert result.exit_code == 0
    assert "aligned: model.safetensors is read, as transformers does" in result.stderr
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"model.safetensors", "config.json", "tokenizer.json", "README.md"}
    assert torch.equal(load(folder / "out")["model.norm.weight"], single["model.norm.weight"])


@pytest.mark.parametrize("order", [["20KB", "5GB"], ["5GB", "20KB"]], ids=["shards first", "shards last"])
def test_saved_twice_into_one_folder(folder, order):
    models = [LlamaForCausalLM(LlamaConfig(**LLAMA | {"vocab_size": 2000})) for _ in range(3)]
    models[2].save_pretrained(folder / "start")
    for model, size in zip(models, order):
        model.save_pretrained(folder / "twice", max_shard_size=size)
    result = lox("extrapolate", "start", "twice", "out", "--alpha", "0", "--k", "2")
    assert result.exit_code == 0, result.output
    by_transformers = LlamaForCausalLM.from_pretrained(folder / "twice").state_dict()
    written = LlamaForCausalLM.from_pretrained(folder / "out").state_dict()
    for name, tensor in by_transformers.items():
        torch.testing.assert_close(written[name], tensor)


KEPT = """config.json generation_config.json tokenizer.json tokenizer_config.json special_tokens_map.json
added_tokens.json vocab.json merges.txt tekken.json tokenizer.model qwen.tiktoken chat_template.jinja LICENSE
LICENSE.txt NOTICE USE_POLICY.md additional_chat_templates/tool_use.jinja""".split()
LEFT = """README.md .hf_token.json .tokenizer.model train.py modeling_own.py notes.txt my_token.json
training_args.bin optimizer.pt other.safetensors trainer_config.json additional_chat_templates/x.py""".split()


def test_what_goes_along(folder):
    (folder / "aligned" / "additional_chat_templates").mkdir()
    for name in KEPT[1:] + LEFT:
        (folder / "aligned" / name).write_text(name)
    result = lox(*EXTRAPOLATE)
    assert result.exit_code == 0 and result.stderr == ""
    files = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()}
    assert {name for name in files if "model-0" not in name} == {
        *KEPT,
        "README.md",
        "model.safetensors.index.json",
    }
    assert all((folder / "out" / name).read_text() == name for name in KEPT[1:])
    assert "immunised with LoX" in (folder / "out" / "README.md").read_text()


def test_links_that_lead_out_are_left(folder):
    (folder / "secret").write_text("secret")
    (folder / "aligned" / "LICENSE.txt").symlink_to("../secret")
    (folder / "aligned" / "NOTICE").symlink_to("LICENSE")
    (folder / "aligned" / "LICENSE").write_text("free")
    result = lox(*EXTRAPOLATE)
    assert result.exit_code == 0
    assert result.stderr == "lox: aligned: links that lead out of it are not copied: LICENSE.txt\n"
    assert not (folder / "out" / "LICENSE.txt").exists()
    assert (folder / "out" / "NOTICE").read_text() == "free" and not (folder / "out" / "NOTICE").is_symlink()


def test_links_into_the_cache_of_the_hub_are_followed(folder):
    blobs, snapshot = folder / "cache" / "blobs", folder / "cache" / "snapshots" / "1a2b"
    blobs.mkdir(parents=True), snapshot.mkdir(parents=True)
    for path in (folder / "aligned").iterdir():
        path.rename(blobs / path.name)
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    result = lox("extrapolate", "base", str(snapshot), "out")
    assert result.exit_code == 0 and result.stderr == ""
    assert {"config.json", "tokenizer.json"} < {path.name for path in (folder / "out").iterdir()}


# --- numbers ------------------------------------------------------------------------------------------------


def test_a_configuration_that_names_no_quantisation(folder):
    configure(folder, quantization_config=None)
    assert lox(*EXTRAPOLATE).exit_code == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("alpha, overflows", [("1e20", False), ("-1e20", False), ("1e39", True)])
def test_an_alpha_beyond_reason(tmp_path, monkeypatch, alpha, overflows, dtype):
    save(tmp_path / "base", weights(0, dtype)), save(tmp_path / "aligned", aligned_from(weights(0), dtype))
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    result = lox(*EXTRAPOLATE, "--alpha", alpha)
    if overflows:
        assert result.exit_code == 2 and f"the result overflows {dtype}" in result.stderr
        assert tree(tmp_path) == before
    else:
        assert result.exit_code == 0, result.output
        assert "100.00% of the update left" in result.stdout or dtype == torch.bfloat16
        assert all(torch.isfinite(tensor).all() for tensor in load(tmp_path / "out").values())


def test_time_is_not_what_tells_a_file_from_a_later_one_alone(folder):
    """Replaced with its old time and size, as ``rsync -t`` does: another file is there."""
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

    with pytest.raises(OSError, match="changed while it was read"):
        extrapolate_checkpoint("base", "aligned", "out", progress=replace)
    assert {entry.name for entry in folder.iterdir()} == {"base", "aligned"}
