"""Reading checkpoints: everything that is well-formed, and one line for everything that is not."""

import json
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tiny_checkpoints import load, save, weights

from lox.checkpoints.files import INDEX, Checkpoint

TYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


@pytest.fixture(scope="module")
def intact(tmp_path_factory) -> bytes:
    """The bytes of a well-formed file."""
    folder = save(tmp_path_factory.mktemp("intact") / "model", weights(0, layers=1))
    return (folder / "model.safetensors").read_bytes()


def test_names_shapes_and_tensors_of_one_file(tmp_path):
    tensors = weights(0)
    checkpoint = Checkpoint.open(save(tmp_path / "model", tensors))
    assert {n: t.shape for n, t in checkpoint.tensors.items()} == {
        n: tuple(t.shape) for n, t in tensors.items()
    }
    assert all(torch.equal(checkpoint.tensor(n), t) for n, t in tensors.items())
    assert checkpoint.config["model_type"] == "llama"
    assert [path.name for path in checkpoint.companions] == ["config.json", "tokenizer.json"]


def test_shards(tmp_path):
    tensors = weights(0)
    folder = save(tmp_path / "model", tensors, shards=3)
    checkpoint = Checkpoint.open(folder)
    assert len(checkpoint.files) == 3
    assert checkpoint.size == sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert all(torch.equal(checkpoint.tensor(n), t) for n, t in tensors.items())


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_types(tmp_path, dtype):
    tensors = {"some": torch.arange(6).view(2, 3).to(dtype), "none": torch.zeros(0, 3).to(dtype)}
    tensors["scalar"] = torch.tensor(1).to(dtype)
    checkpoint = Checkpoint.open(save(tmp_path / "model", tensors))
    for name, tensor in tensors.items():
        read = checkpoint.tensor(name)
        assert read.dtype == dtype and read.shape == tensor.shape
        assert torch.equal(read.double(), tensor.double())


def test_opening_reads_no_weights(tmp_path, monkeypatch):
    folder = save(tmp_path / "model", weights(0))
    monkeypatch.setattr("lox.checkpoints.files._read_into", lambda *_: pytest.fail("weights were read"))
    Checkpoint.open(folder)


def index(folder: Path, **changes) -> None:
    path = folder / INDEX
    content = json.loads(path.read_text())
    content["weight_map"] |= changes
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/hosts", "sub/model.safetensors", "..", ""])
def test_an_index_does_not_lead_out_of_its_folder(tmp_path, file):
    folder = save(tmp_path / "model", weights(0), shards=2)
    index(folder, **{"model.norm.weight": file})
    with pytest.raises(ValueError, match=f"{INDEX}: .*no file name in its folder"):
        Checkpoint.open(folder)


def test_an_index_that_names_a_missing_file(tmp_path):
    folder = save(tmp_path / "model", weights(0), shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match="model-00002-of-00002.safetensors is missing"):
        Checkpoint.open(folder)


def test_an_index_that_names_a_tensor_its_file_lacks(tmp_path):
    folder = save(tmp_path / "model", weights(0), shards=2)
    index(folder, ghost="model-00001-of-00002.safetensors")
    with pytest.raises(ValueError, match="ghost is not in model-00001-of-00002.safetensors"):
        Checkpoint.open(folder)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": [1]}', "\xff"]
)
def test_a_damaged_index(tmp_path, content):
    folder = save(tmp_path / "model", weights(0), shards=2)
    (folder / INDEX).write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=INDEX):
        Checkpoint.open(folder)


def test_a_tensor_in_two_files(tmp_path):
    folder = save(tmp_path / "model", weights(0), shards=2)
    save_file(weights(0), folder / "model-00002-of-00002.safetensors")
    with pytest.raises(ValueError, match="is also in"):
        Checkpoint.open(folder)


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "pytorch_model-00001-of-00002.bin"])
def test_pickles_are_refused_with_the_way_to_convert_them(tmp_path, pickle):
    (tmp_path / pickle).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{pickle}: only safetensors is read; .*save_pretrained"):
        Checkpoint.open(tmp_path)


def test_an_adapter_is_no_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="merge it"):
        Checkpoint.open(tmp_path)


def test_an_empty_folder_and_none_at_all(tmp_path):
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        Checkpoint.open(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        Checkpoint.open(tmp_path / "absent")


def test_a_hub_id_is_fetched_without_pickles(tmp_path, monkeypatch):
    folder = save(tmp_path / "snapshot", weights(0))
    asked = {}

    def snapshot_download(repo, *, allow_patterns):
        asked.update(repo=repo, patterns=allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    checkpoint = Checkpoint.open("org/model")
    assert asked["repo"] == checkpoint.source == "org/model"
    assert "*.safetensors" in asked["patterns"]
    pickles = ("pytorch_model.bin", "model.pt", "training_args.bin", "optimizer.pth", "x.ckpt")
    assert not any(fnmatch(name, pattern) for name in pickles for pattern in asked["patterns"])
    assert set(checkpoint.tensors) == set(weights(0))


def test_a_hub_that_does_not_answer(monkeypatch):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def snapshot_download(*_, **__):
        raise LocalEntryNotFoundError("no connection\nsecond line")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(FileNotFoundError, match="^org/model: .*no connection$"):
        Checkpoint.open("org/model")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, -1])
def test_truncated_files(tmp_path, intact, kept):
    (tmp_path / "model.safetensors").write_bytes(intact[:kept])
    with pytest.raises(ValueError, match=r"model\.safetensors: damaged or truncated"):
        Checkpoint.open(tmp_path)


def test_a_file_that_shrinks_after_it_was_opened(tmp_path, intact):
    path = tmp_path / "model.safetensors"
    path.write_bytes(intact)
    checkpoint = Checkpoint.open(tmp_path)
    path.write_bytes(intact[:-1])
    with pytest.raises(OSError, match=r"model\.safetensors: ended 1 bytes early"):
        for name in checkpoint.tensors:
            checkpoint.tensor(name)


def fails_or_reads_within(folder: Path, content: bytes) -> None:
    """A damaged file is refused in one line that names it, or what is read is of the shape it says."""
    path = folder / "model.safetensors"
    path.write_bytes(content)
    try:
        checkpoint = Checkpoint.open(folder)
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return
    for name, stored in checkpoint.tensors.items():
        assert stored.start + stored.size <= len(content)
        assert checkpoint.tensor(name).shape == stored.shape


@settings(deadline=None, max_examples=200)
@given(place=st.integers(0, 700), byte=st.integers(0, 255))
def test_headers_with_one_byte_changed(tmp_path_factory, intact, place, byte):
    folder = tmp_path_factory.mktemp("damaged")
    fails_or_reads_within(folder, intact[:place] + bytes([byte]) + intact[place + 1 :])


ENTRIES = st.dictionaries(
    st.sampled_from(["dtype", "shape", "data_offsets", "more"]),
    st.sampled_from(["F32", "X9", "I64"])
    | st.lists(st.integers(-1, 2**64) | st.floats(), max_size=3)
    | st.none()
    | st.integers(),
)


@settings(deadline=None, max_examples=300)
@given(
    header=st.dictionaries(
        st.text(max_size=3) | st.just("__metadata__"), ENTRIES | st.integers() | st.none(), max_size=3
    )
    | st.integers()
    | st.lists(st.integers(), max_size=2),
    body=st.binary(max_size=32),
    length=st.none() | st.integers(0, 2**64 - 1),
)
@example(header={"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, body=b"12345678", length=None)
def test_invented_headers(tmp_path_factory, header, body, length):
    text = json.dumps(header).encode()
    size = (len(text) if length is None else length).to_bytes(8, "little")
    fails_or_reads_within(tmp_path_factory.mktemp("invented"), size + text + body)


def test_the_helpers_of_these_tests_agree(tmp_path):
    """``load`` of what ``save`` wrote, sharded or not, is what went in."""
    tensors = weights(3)
    for shards in (1, 2):
        read = load(save(tmp_path / str(shards), tensors, shards))
        assert all(torch.equal(read[n], t) for n, t in tensors.items()) and len(read) == len(tensors)
