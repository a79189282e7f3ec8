"""Odd inputs that are no errors: what is read, what goes along, and how far numbers go."""

import os
from pathlib import Path

import pytest
import torch
from tiny_checkpoints import aligned_from, configure, load, save, weights
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from lox import cli

EXTRAPOLATE = ["extrapolate", "base", "aligned", "out"]
LLAMA = {"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 1}


# --- where OUT is -------------------------------------------------------------------------------------------


def test_a_link_to_an_empty_folder_is_written_to(folder, fault):
    """OUT is a link to an empty folder"""
    (folder / "elsewhere").mkdir()
    (folder / "out").symlink_to("elsewhere")
    fault(*EXTRAPOLATE, exits=0, says="out: 12 of 12 matrices changed", leaves=("elsewhere/*",))
    assert (folder / "out").is_symlink() and set(load(folder / "elsewhere")) == set(weights(0))


def test_inputs_whose_names_are_not_utf8(folder, fault):
    """ALIGNED and the report have names that are not UTF-8"""
    name, table = os.fsdecode(b"aligned \xff"), os.fsdecode(b"\xe4.csv")
    os.rename("aligned", name)
    fault(
        "extrapolate",
        "base",
        name,
        "out",
        "--report",
        table,
        exits=0,
        says="12 of 12 matrices changed",
        leaves=("out", "*.csv"),
    )
    assert set(load(folder / "out")) == set(weights(0)) and (folder / table).exists()
    assert "\\udcff" in (folder / "out" / "README.md").read_text(encoding="utf-8")
    result = CliRunner().invoke(cli.app, ["energy", "absent" + name, "base"])
    assert result.exit_code == 2 and result.stderr.startswith("lox: absentaligned \\udcff: no such folder")


# --- which files --------------------------------------------------------------------------------------------


def test_a_single_file_goes_before_shards(folder, fault):
    """ALIGNED holds one file and shards with an index"""
    single = {n: 2 * t for n, t in aligned_from(weights(0)).items()}
    save(folder / "other", single)
    (folder / "other" / "model.safetensors").rename(folder / "aligned" / "model.safetensors")
    said = "aligned: model.safetensors is read, as transformers does"
    fault(*EXTRAPOLATE, exits=0, says=said, leaves=("out",))
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"model.safetensors", "config.json", "tokenizer.json", "README.md"}
    assert torch.equal(load(folder / "out")["model.norm.weight"], single["model.norm.weight"])


SAVED_TWICE = {
    "transformers saved twice into ALIGNED, shards first": ["20KB", "5GB"],
    "transformers saved twice into ALIGNED, shards last": ["5GB", "20KB"],
}


@pytest.mark.parametrize("order", SAVED_TWICE)
def test_saved_twice_into_one_folder(folder, fault, order):
    models = [LlamaForCausalLM(LlamaConfig(**LLAMA, vocab_size=2000)) for _ in range(3)]
    models[2].save_pretrained(folder / "start")
    for model, size in zip(models, SAVED_TWICE[order]):
        model.save_pretrained(folder / "twice", max_shard_size=size)
    arguments = ["extrapolate", "start", "twice", "out", "--alpha", "0", "--k", "2"]
    fault(*arguments, exits=0, says="matrices changed", leaves=("out",))
    by_transformers = LlamaForCausalLM.from_pretrained(folder / "twice").state_dict()
    written = LlamaForCausalLM.from_pretrained(folder / "out").state_dict()
    for name, tensor in by_transformers.items():
        torch.testing.assert_close(written[name], tensor)


KEPT = """config.json generation_config.json tokenizer.json tokenizer_config.json special_tokens_map.json
added_tokens.json vocab.json merges.txt tekken.json tokenizer.model qwen.tiktoken chat_template.jinja LICENSE
LICENSE.txt NOTICE USE_POLICY.md additional_chat_templates/tool_use.jinja""".split()
LEFT = """README.md .hf_token.json .tokenizer.model train.py modeling_own.py notes.txt my_token.json
training_args.bin optimizer.pt other.safetensors trainer_config.json additional_chat_templates/x.py""".split()


def test_what_goes_along(folder, fault):
    """ALIGNED also holds code, keys, notes, pickles and hidden files: they are not copied"""
    (folder / "aligned" / "additional_chat_templates").mkdir()
    for name in KEPT[1:] + LEFT:
        (folder / "aligned" / name).write_text(name)
    result = fault(*EXTRAPOLATE, exits=0, says="12 of 12 matrices changed", leaves=("out",))
    assert result.stderr == ""
    files = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()}
    assert {name for name in files if "model-0" not in name} == {
        *KEPT,
        "README.md",
        "model.safetensors.index.json",
    }
    assert all((folder / "out" / name).read_text() == name for name in KEPT[1:])
    assert "immunised with LoX" in (folder / "out" / "README.md").read_text()


def test_links_that_lead_out_are_left(folder, fault):
    """A licence file of ALIGNED is a link to a file outside"""
    (folder / "secret").write_text("secret")
    (folder / "aligned" / "LICENSE.txt").symlink_to("../secret")
    (folder / "aligned" / "NOTICE").symlink_to("LICENSE")
    (folder / "aligned" / "LICENSE").write_text("free")
    said = "aligned: links that lead out of it are not copied: LICENSE.txt"
    fault(*EXTRAPOLATE, exits=0, says=said, leaves=("out",))
    assert not (folder / "out" / "LICENSE.txt").exists()
    assert (folder / "out" / "NOTICE").read_text() == "free" and not (folder / "out" / "NOTICE").is_symlink()


def test_links_into_the_cache_of_the_hub_are_followed(folder, fault):
    """ALIGNED is a folder of links, as in the cache of the Hub"""
    blobs, snapshot = folder / "cache" / "blobs", folder / "cache" / "snapshots" / "1a2b"
    blobs.mkdir(parents=True), snapshot.mkdir(parents=True)
    for path in (folder / "aligned").iterdir():
        path.rename(blobs / path.name)
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    arguments = ["extrapolate", "base", str(snapshot), "out"]
    result = fault(*arguments, exits=0, says="12 of 12 matrices changed", leaves=("out",))
    assert result.stderr == ""
    assert {"config.json", "tokenizer.json"} < {path.name for path in (folder / "out").iterdir()}


def test_a_configuration_that_names_no_quantisation(folder, fault):
    """`quantization_config` is null"""
    configure(folder, quantization_config=None)
    fault(*EXTRAPOLATE, exits=0, says="12 of 12 matrices changed", leaves=("out",))


# --- numbers ------------------------------------------------------------------------------------------------


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def of_type(request, tmp_path, monkeypatch) -> torch.dtype:
    """Checkpoints ``base`` and ``aligned`` of a type, in the working folder."""
    save(tmp_path / "base", weights(0, request.param))
    save(tmp_path / "aligned", aligned_from(weights(0), request.param))
    monkeypatch.chdir(tmp_path)
    return request.param


@pytest.mark.parametrize("alpha", ["1e20", "-1e20"], ids="alpha {} on".format)
def test_an_alpha_beyond_reason_that_the_type_holds(of_type, fault, alpha):
    fault(*EXTRAPOLATE, f"--alpha={alpha}", exits=0, says="12 of 12 matrices changed", leaves=("out",))
    assert all(torch.isfinite(tensor).all() for tensor in load(Path("out")).values())


@pytest.mark.parametrize("alpha", ["1e39"], ids="alpha {} on".format)
def test_an_alpha_that_the_type_does_not_hold(of_type, fault, alpha):
    fault(*EXTRAPOLATE, "--alpha", alpha, says=f"the result overflows {of_type}")
