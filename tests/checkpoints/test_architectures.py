"""Models of several architectures: the whole checkpoint and the adapter agree, or the adapter is refused."""

import pytest
import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file, save_file

import lox
from lox.checkpoints.extrapolate import extrapolate_checkpoint

IDS = torch.arange(20)[None]
SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
GROUPED = SIZES | {"num_key_value_heads": 1}
GPT2 = {"vocab_size": 60, "n_embd": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0}
OPT = SIZES | {"word_embed_proj_dim": 16, "ffn_dim": 24, "max_position_embeddings": 64}
MODELS = {  # a name: (the class of the model, its configuration)
    "Llama": ("LlamaForCausalLM", GROUPED | {"tie_word_embeddings": False}),
    "Llama, tied": ("LlamaForCausalLM", GROUPED | {"tie_word_embeddings": True}),
    "Mistral": ("MistralForCausalLM", GROUPED | {"sliding_window": 8}),
    "Qwen2": ("Qwen2ForCausalLM", GROUPED | {"tie_word_embeddings": True}),
    "Gemma": ("GemmaForCausalLM", GROUPED | {"head_dim": 8}),
    "GPT-2": ("GPT2LMHeadModel", GPT2),
    "GPT-2 without its prefix": ("GPT2LMHeadModel", GPT2),
    "GPT-NeoX": ("GPTNeoXForCausalLM", SIZES | {"max_position_embeddings": 64}),
}
REFUSED = {  # and what LoRA cannot change of it
    "Mixtral": ("MixtralForCausalLM", GROUPED | {"num_local_experts": 2}, "experts.0.w1.weight"),
    "OPT": ("OPTForCausalLM", OPT, "model.decoder.embed_positions.weight"),
}


def make_pair(folder, name: str, kind: str, config: dict) -> type:
    """Models ``base`` and ``aligned`` in ``folder``, of which some matrices are equal; their class."""
    torch.manual_seed(0)
    model_class = getattr(transformers, kind)
    model = model_class(model_class.config_class(**config))
    model.save_pretrained(folder / "base")
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if not (".1." in parameter_name and "mlp" in parameter_name):
                parameter += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder / "aligned")
    if "without its prefix" in name:
        for path in folder.glob("*/model.safetensors"):
            stored = {n.removeprefix("transformer."): t for n, t in load_file(path).items()}
            save_file(stored, path, metadata={"format": "pt"})
    return model_class


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model.eval()(IDS).logits


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
