"""Extrapolated checkpoints: the weights that ``lox.extrapolate`` gives, in files that are whole or absent."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_checkpoints import aligned_from, load, save, weights

import lox
from lox.checkpoints.extrapolate import extrapolate_checkpoint, extrapolate_weights
from lox.checkpoints.files import read_header
from lox.checkpoints.plan import prepare

F32, F16, BF16 = torch.float32, torch.float16, torch.bfloat16


@pytest.fixture
def pair(tmp_path) -> tuple[Path, Path]:
    """A base and an aligned checkpoint, one file each."""
    base = weights(0)
    return save(tmp_path / "base", base), save(tmp_path / "aligned", aligned_from(base))


def change(folder: Path, **tensors: torch.Tensor | None) -> None:
    """Write a checkpoint anew with some tensors replaced, or left out where None."""
    kept = load(folder) | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    for path in folder.glob("*.safetensors"):
        path.unlink()
    from safetensors.torch import save_file

    save_file({n: t for n, t in kept.items() if t is not None}, folder / "model.safetensors")


def beside(out: Path) -> list[Path]:
    """The unfinished folders that interrupted calls left beside ``out``."""
    return list(out.parent.glob(f".{out.name}.*.unfinished"))


# --- the weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtypes", [(F32, F32), (BF16, BF16), (F16, F16), (F32, BF16), (BF16, F32), (F16, BF16)]
)
@pytest.mark.parametrize("shards", [1, 3])
def test_the_weights_are_those_of_extrapolate(tmp_path, dtypes, shards):
    base = weights(0, dtypes[0])
    aligned = aligned_from(base, dtypes[1])
    save(tmp_path / "base", base), save(tmp_path / "aligned", aligned, shards)
    extrapolate_checkpoint(tmp_path / "base", tmp_path / "aligned", tmp_path / "out", k=2, alpha=0.7)
    expected, written = lox.extrapolate(base, aligned, k=2, alpha=0.7), load(tmp_path / "out")
    for name, tensor in aligned.items():
        assert written[name].dtype == tensor.dtype
        torch.testing.assert_close(written[name], expected[name])
        assert torch.equal(written[name], tensor) == (tensor.ndim == 1)


def test_same_files_names_types_and_metadata(tmp_path):
    base = weights(0, BF16)
    save(tmp_path / "base", base), save(tmp_path / "aligned", aligned_from(base, BF16), shards=3)
    extrapolate_checkpoint(tmp_path / "base", tmp_path / "aligned", tmp_path / "out")
    here, there = ({p.name for p in (tmp_path / f).iterdir()} for f in ("aligned", "out"))
    assert there == here | {"README.md"}
    for path in (tmp_path / "aligned").iterdir():
        if path.suffix == ".safetensors":
            assert read_header(path) == read_header(tmp_path / "out" / path.name)
        else:
            assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
    assert not beside(tmp_path / "out")


def test_linear_leaves_embeddings_and_head(pair, tmp_path):
    report = extrapolate_checkpoint(*pair, tmp_path / "out", k=2, matrices="linear")
    aligned, written = load(pair[1]), load(tmp_path / "out")
    same = {name for name, tensor in aligned.items() if torch.equal(written[name], tensor)}
    assert same == {n for n, t in aligned.items() if t.ndim == 1} | {
        "model.embed_tokens.weight",
        "lm_head.weight",
    }
    assert not {"embed_tokens", "lm_head"} & set(report["kind"])


def test_more_tokens_on_one_side(tmp_path):
    base, aligned = weights(0), aligned_from(weights(0))
    more = torch.randn(23, 8)
    more[:20] = aligned["lm_head.weight"]
    save(tmp_path / "base", base), save(tmp_path / "aligned", aligned | {"lm_head.weight": more})
    report = extrapolate_checkpoint(tmp_path / "base", tmp_path / "aligned", tmp_path / "more", k=2)
    head = load(tmp_path / "more")["lm_head.weight"]
    expected = lox.extrapolate(base["lm_head.weight"], aligned["lm_head.weight"], k=2)
    torch.testing.assert_close(head[:20], expected)
    assert torch.equal(head[20:], more[20:])
    assert report.set_index("name")["copied_rows"]["lm_head.weight"] == 3
    back = extrapolate_checkpoint(tmp_path / "aligned", tmp_path / "base", tmp_path / "fewer", k=2)
    assert (back["copied_rows"] == 0).all()


@pytest.mark.parametrize("without", ["base", "aligned"])
def test_a_tied_head_that_one_side_does_not_store(tmp_path, without):
    tied = {"tie_word_embeddings": True}
    sides = {"base": weights(0), "aligned": aligned_from(weights(0))}
    for name, tensors in sides.items():
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        stored = {n: t for n, t in tensors.items() if name != without or n != "lm_head.weight"}
        save(tmp_path / name, stored, config=tied)
    extrapolate_checkpoint(tmp_path / "base", tmp_path / "aligned", tmp_path / "out", k=2)
    written = load(tmp_path / "out")
    assert ("lm_head.weight" in written) == (without == "base")
    for name in written.keys() & {"lm_head.weight", "model.embed_tokens.weight"}:
        torch.testing.assert_close(
            written[name], lox.extrapolate(sides["base"][name], sides["aligned"][name], k=2)
        )


def test_a_tied_head_is_that_of_the_tokens_not_of_their_positions(tmp_path):
    """GPT-2 stores the embeddings of positions beside those of tokens, and in some files before them."""
    torch.manual_seed(0)
    base = {"wpe.weight": torch.randn(8, 16), "wte.weight": torch.randn(20, 16)}
    aligned = {n: t + torch.randn(len(t), 2) @ torch.randn(2, 16) for n, t in base.items()}
    save(tmp_path / "base", base, config={"tie_word_embeddings": True})
    save(tmp_path / "aligned", aligned | {"lm_head.weight": aligned["wte.weight"].clone()})
    extrapolate_checkpoint(tmp_path / "base", tmp_path / "aligned", tmp_path / "out", k=2)
    head = load(tmp_path / "out")["lm_head.weight"]
    torch.testing.assert_close(head, lox.extrapolate(base["wte.weight"], aligned["wte.weight"], k=2))


def test_a_matrix_without_an_update_passes_through(pair, tmp_path):
    name = "model.layers.0.mlp.up_proj.weight"
    change(pair[1], **{name: load(pair[0])[name]})
    row = extrapolate_checkpoint(*pair, tmp_path / "out").set_index("name").loc[name]
    assert torch.equal(load(tmp_path / "out")[name], load(pair[0])[name])
    assert (row["k"], row["added"], row["error"]) == (0, 0, 0) and row[["r_align", "survives"]].isna().all()


# --- the report ------------------------------------------------------------------------------------------


def test_the_report(pair, tmp_path):
    report = extrapolate_checkpoint(*pair, tmp_path / "out", k=2, alpha=-0.5).set_index("name")
    base, aligned, written = load(pair[0]), load(pair[1]), load(tmp_path / "out")
    stacks = {n: t for n, t in aligned.items() if t.ndim == 3}
    assert len(report) == sum(t.ndim == 2 for t in aligned.values()) + sum(len(t) for t in stacks.values())
    for name, row in report.iterrows():
        stem, _, i = name.rstrip("]").partition("[")
        b, a, w = (side[stem][int(i)] if i else side[stem] for side in (base, aligned, written))
        assert row["r_align"] == pytest.approx(lox.r_align(a - b, 2), rel=1e-5)
        assert row["added"] == pytest.approx(float((w - a).norm() / a.norm()), rel=1e-3)
        assert (row["rows"], row["cols"], row["k"]) == (*a.shape, 2)
        assert row["survives"] == pytest.approx(1, abs=1e-5)
    assert report.loc["model.layers.1.self_attn.q_proj.weight", ["layer", "kind"]].tolist() == [1, "q_proj"]


def test_an_update_below_the_resolution_of_bf16_does_not_survive(tmp_path):
    save(tmp_path / "base", {"w": torch.ones(8, 8)})
    save(tmp_path / "aligned", {"w": torch.full((8, 8), 1 + 2**-7)} | {"v": torch.ones(1)})
    save(tmp_path / "narrow", {"w": torch.full((8, 8), 1 + 2**-7, dtype=BF16)} | {"v": torch.ones(1)})
    save(tmp_path / "base2", {"w": torch.ones(8, 8), "v": torch.ones(1)})
    survives = {}
    for name, alpha in (("aligned", 0.25), ("narrow", 0.25), ("narrow", 1.0)):
        out = tmp_path / f"{name}-{alpha}"
        report = extrapolate_checkpoint(tmp_path / "base2", tmp_path / name, out, k=1, alpha=alpha)
        survives[name, alpha] = report["survives"][0]
    assert survives["aligned", 0.25] == pytest.approx(1, abs=1e-4)
    assert survives["narrow", 0.25] == 0  # a quarter of a unit in the last place rounds back
    assert survives["narrow", 1.0] == pytest.approx(1, abs=1e-4)  # a whole one is representable


def test_the_model_card(pair, tmp_path):
    extrapolate_checkpoint(*pair, tmp_path / "out", k=3, alpha=0.5)
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    for said in (
        "| base |",
        "| aligned |",
        "| 3 |",
        "| 0.5 |",
        "certified error",
        f"lox-book {lox.__version__}",
    ):
        assert said in card
    assert str(tmp_path) not in card


def test_a_stage_has_the_same_files_but_for_the_model_card(pair, tmp_path):
    extrapolate_checkpoint(*pair, tmp_path / "out", k=3, alpha=0.5)
    extrapolate_weights(*pair, tmp_path / "stage", k=3, alpha=0.5)
    whole, stage = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in ("out", "stage"))
    assert whole.pop("README.md") and stage == whole
    assert not beside(tmp_path / "stage")


# --- what does not fit -----------------------------------------------------------------------------------


def test_every_misfit_is_reported_before_anything_is_written(pair, tmp_path):
    wide, stack = torch.zeros(12, 9), torch.zeros(3, 8, 5)
    change(
        pair[1],
        model__layers__0__mlp__up_proj__weight=wide,
        model__layers__1__mlp__experts__gate_up_proj=stack,
    )
    change(
        pair[1],
        model__norm__weight=None,
        model__layers__1__mlp__up_proj__weight=torch.zeros(12, 8).to(torch.int8),
    )
    change(pair[0], lm_head__weight=None)
    with pytest.raises(ValueError) as caught:
        extrapolate_checkpoint(*pair, tmp_path / "out")
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    for expected in (
        "model.layers.0.mlp.up_proj.weight: base is 12×8, aligned is 12×9",
        "model.layers.1.mlp.experts.gate_up_proj: base is 3×8×6, aligned is 3×8×5",
        "model.layers.1.mlp.up_proj.weight: base is F32, aligned is I8; "
        "take the checkpoint in bf16, fp16 or fp32",
        "model.norm.weight: missing in aligned",
        "lm_head.weight: missing in base",
    ):
        assert expected in lines
    assert {p.name for p in tmp_path.iterdir()} == {"base", "aligned"}


def test_a_quantised_checkpoint(tmp_path):
    save(tmp_path / "base", weights(0))
    save(tmp_path / "aligned", weights(1), config={"quantization_config": {"quant_method": "gptq"}})
    with pytest.raises(ValueError, match="aligned is quantised"):
        prepare(tmp_path / "base", tmp_path / "aligned")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_inf_are_named(pair, tmp_path, bad):
    name = "model.layers.1.self_attn.q_proj.weight"
    change(pair[1], **{name: torch.full((8, 8), bad)})
    with pytest.raises(ValueError, match=f"^{name}: .*NaN or Inf"):
        extrapolate_checkpoint(*pair, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"base", "aligned"}


def test_overflow_is_named(tmp_path):
    save(tmp_path / "base", {"w": torch.zeros(4, 4, dtype=F16)})
    save(tmp_path / "aligned", {"w": torch.full((4, 4), 5e4, dtype=F16)})
    with pytest.raises(ValueError, match="^w: the result overflows torch.float16"):
        extrapolate_checkpoint(tmp_path / "base", tmp_path / "aligned", tmp_path / "out")


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": -1}, {"alpha": float("nan")}, {"device": "abacus"}])
def test_bad_parameters(pair, tmp_path, wrong):
    with pytest.raises(ValueError):
        extrapolate_checkpoint(*pair, tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


# --- whole or absent -------------------------------------------------------------------------------------


def test_an_existing_folder_is_left_alone(pair, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(FileExistsError, match="out: exists already"):
        extrapolate_checkpoint(*pair, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


def test_an_empty_folder_is_filled(pair, tmp_path):
    (tmp_path / "out").mkdir()
    extrapolate_checkpoint(*pair, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").exists()


KILLED = """
import os, signal, sys
from lox.checkpoints.extrapolate import extrapolate_checkpoint

def killed_in_the_second_shard(done, total):
    if done > 0.6 * total:
        os.kill(os.getpid(), signal.SIGKILL)

extrapolate_checkpoint(*sys.argv[1:4], progress=killed_in_the_second_shard)
"""


def test_a_killed_run_goes_on_from_its_whole_shards(tmp_path):
    base = weights(0)
    save(tmp_path / "base", base), save(tmp_path / "aligned", aligned_from(base), shards=2)
    folders = [tmp_path / name for name in ("base", "aligned", "out")]
    run = subprocess.run(
        [sys.executable, "-c", KILLED, *map(str, folders)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert run.returncode == -signal.SIGKILL
    assert not folders[2].exists()
    (left,) = beside(folders[2])
    whole = {p.name: p.stat().st_ino for p in left.glob("*.safetensors")}
    assert list(whole) == ["model-00001-of-00002.safetensors"]

    steps = []
    report = extrapolate_checkpoint(*folders, progress=lambda done, total: steps.append(done))
    assert steps[0] == (folders[1] / "model-00001-of-00002.safetensors").stat().st_size  # not written again
    assert {n: (folders[2] / n).stat().st_ino for n in whole} == whole
    assert not beside(folders[2])
    uninterrupted = extrapolate_checkpoint(*folders[:2], tmp_path / "again")
    assert report.equals(uninterrupted)
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (folders[2] / path.name).read_bytes()


@pytest.mark.parametrize("lost", ["nothing", "a note", "all notes"])
def test_an_error_after_the_shards_costs_no_shard(tmp_path, monkeypatch, lost):
    base = weights(0)
    save(tmp_path / "base", base), save(tmp_path / "aligned", aligned_from(base), shards=2)
    sides = tmp_path / "base", tmp_path / "aligned"
    expected = extrapolate_checkpoint(*sides, tmp_path / "expected")

    def fails(source, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr("shutil.copyfile", fails)
        extrapolate_checkpoint(*sides, tmp_path / "out")
    (left,) = beside(tmp_path / "out")
    notes = sorted(left.glob(".finished/*.json"))
    assert len(notes) == 2 and not (tmp_path / "out").exists()
    for note in {"nothing": [], "a note": notes[:1], "all notes": notes}[lost]:
        note.unlink()

    assert extrapolate_checkpoint(*sides, tmp_path / "out").equals(expected)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "expected").iterdir()
    }


def test_an_update_that_cancels_the_weights(tmp_path):
    save(tmp_path / "base", {"w": torch.eye(4)}), save(tmp_path / "aligned", {"w": torch.zeros(4, 4)})
    report = extrapolate_checkpoint(
        tmp_path / "base", tmp_path / "aligned", tmp_path / "out", k="full", alpha=1.0
    )
    torch.testing.assert_close(load(tmp_path / "out")["w"], -torch.eye(4))
    assert report["added"].isna().all()  # relative to nothing


def test_other_parameters_do_not_go_on_from_them(tmp_path, monkeypatch):
    base = weights(0)
    save(tmp_path / "base", base), save(tmp_path / "aligned", aligned_from(base), shards=2)
    sides = tmp_path / "base", tmp_path / "aligned"
    same, again, other = (prepare(*sides, alpha=alpha).key(False) for alpha in (1.0, 1.0, 2.0))
    assert same == again != other
    assert prepare(*sides, alpha=1.0).key(True) != same
    with monkeypatch.context() as patched:
        patched.setattr("lox.checkpoints.plan.program", lambda: ["another version"])
        assert prepare(*sides, alpha=1.0).key(False) != same
    os.utime(tmp_path / "base" / "model.safetensors", ns=(0, 0))
    assert prepare(*sides, alpha=1.0).key(False) != same


def test_a_write_that_fails_names_the_file(pair, tmp_path):
    """A limit on the size of files stands for a full disk: the write itself fails, part of the way."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            extrapolate_checkpoint(*pair, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert Path(caught.value.filename).name == "model.safetensors.part"
    assert {p.name for p in tmp_path.iterdir()} == {"base", "aligned"}


def test_a_disk_too_small_is_noticed_first(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10})())
    with pytest.raises(OSError, match=r"GB are needed, 0\.00 GB are free"):
        extrapolate_checkpoint(*pair, tmp_path / "out")
    assert {p.name for p in tmp_path.iterdir()} == {"base", "aligned"}


MEMORY = """
import re, sys
from pathlib import Path
from lox.checkpoints.extrapolate import extrapolate_checkpoint
from lox.checkpoints.pair import Matrix

kept, read = [], Matrix.read
if sys.argv[4] == "leaks":
    Matrix.read = lambda matrix, side: kept.append(read(matrix, side).clone()) or read(matrix, side)
extrapolate_checkpoint(*sys.argv[1:4])
# getrusage would count what the parent held when it started this process
print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1)))
"""


def peak_memory(folder: Path, count: int, reading: str) -> int:
    """Bytes of memory, at most, of a process that extrapolates ``count`` matrices of 1 MiB each."""
    sides = [folder / f"{side}{count}" for side in ("base", "aligned")]
    if not sides[0].exists():
        base = {f"layers.{i}.weight": torch.randn(512, 512) for i in range(count)}
        save(sides[0], base), save(sides[1], aligned_from(base))
    command = [sys.executable, "-c", MEMORY, *map(str, sides), str(folder / f"{reading}{count}"), reading]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("reading, leaks", [("reads", False), ("leaks", True)])
def test_memory_does_not_grow_with_the_checkpoint(tmp_path, reading, leaks):
    """Peaks of two processes, with 4 and with 40 matrices: they differ by little of what is read more.

    The same process with a planted leak, which keeps each matrix that was read, shows that it would be seen.
    """
    growth = peak_memory(tmp_path, 40, reading) - peak_memory(tmp_path, 4, reading)
    read_more = 36 * 2 * 2**20  # matrices, sides, bytes
    assert (growth > 0.5 * read_more) if leaks else (growth < 0.2 * read_more)
