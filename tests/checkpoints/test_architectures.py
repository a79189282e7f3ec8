"""Models of several architectures: the whole checkpoint and the adapter agree, or the adapter is refused."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_families import GPT_2, GROUPED, LLAMA, SIZES, TIED_LLAMA, logits, pair

import lox
from lox.checkpoints.extrapolate import extrapolate_checkpoint

OPT = SIZES | {"word_embed_proj_dim": 16, "ffn_dim": 24, "max_position_embeddings": 64}
MODELS = {  # a name: (the class of the model, its configuration)
    "Llama": LLAMA,
    "Llama, tied": TIED_LLAMA,
    "Mistral": ("MistralForCausalLM", GROUPED | {"sliding_window": 8}),
    "Qwen2": ("Qwen2ForCausalLM", GROUPED | {"tie_word_embeddings": True}),
    "Gemma": ("GemmaForCausalLM", GROUPED | {"head_dim": 8}),
    "GPT-2": GPT_2,
    "GPT-2 without its prefix": GPT_2,
    "GPT-NeoX": ("GPTNeoXForCausalLM", SIZES | {"max_position_embeddings": 64}),
}
REFUSED = {  # and what LoRA cannot change of it
    "Mixtral": ("MixtralForCausalLM", GROUPED | {"num_local_experts": 2}, "experts.0.w1.weight"),
    "OPT": ("OPTForCausalLM", OPT, "model.decoder.embed_positions.weight"),
}


def make_pair(folder, name: str, kind: str, config: dict) -> type:
    """``pair``, the names stored without their prefix where the model's name says so."""
    model_class = pair(folder, kind, config)
    if "without its prefix" in name:
        for path in folder.glob("*/model.safetensors"):
            stored = {n.removeprefix("transformer."): t for n, t in load_file(path).items()}
            save_file(stored, path, metadata={"format": "pt"})
    return model_class


@pytest.mark.filterwarnings("ignore:.*(tied|tie_word|fan_in_fan_out)")
@pytest.mark.parametrize("selection", ["all", "linear"])
@pytest.mark.parametrize("name", MODELS)
def test_whole_and_adapter_agree(tmp_path, name, selection):
    model = make_pair(tmp_path, name, *MODELS[name])
    sides = tmp_path / "base", tmp_path / "aligned"
    options = {"k": 3, "alpha": 0.8, "matrices": selection}
    whole = extrapolate_checkpoint(*sides, tmp_path / "whole", **options)
    report = extrapolate_checkpoint(*sides, tmp_path / "adapter", adapter=True, **options)
    columns = ["name", "k", "r_align", "added", "error"]
    assert report[columns].equals(whole[columns])

    aligned = logits(model.from_pretrained(sides[1]))
    expected = logits(model.from_pretrained(tmp_path / "whole"))
    assert (expected - aligned).abs().max() > 0.01
    attached = PeftModel.from_pretrained(model.from_pretrained(sides[1]), tmp_path / "adapter")
    torch.testing.assert_close(logits(attached), expected, rtol=1e-4, atol=1e-4)
    with attached.disable_adapter():
        assert torch.equal(logits(attached), aligned)


@pytest.mark.parametrize("name", REFUSED)
def test_whole_where_the_adapter_is_refused(tmp_path, name):
    kind, config, refused = REFUSED[name]
    model = make_pair(tmp_path, name, kind, config)
    sides = tmp_path / "base", tmp_path / "aligned"
    with pytest.raises(ValueError, match=rf"LoRA cannot change .*{refused}.*; write a whole checkpoint"):
        extrapolate_checkpoint(*sides, tmp_path / "adapter", adapter=True)
    assert {path.name for path in tmp_path.iterdir()} == {"base", "aligned"}
    extrapolate_checkpoint(*sides, tmp_path / "whole", k=3)
    base, aligned, written = (
        load_file(tmp_path / n / "model.safetensors") for n in ("base", "aligned", "whole")
    )
    for tensor_name, expected in lox.extrapolate(base, aligned, k=3).items():
        torch.testing.assert_close(written[tensor_name], expected)
    assert not torch.equal(
        logits(model.from_pretrained(tmp_path / "whole")), logits(model.from_pretrained(sides[1]))
    )
