"""Adapters: scaled and merged, they are the extrapolated checkpoint; attached, see test_architectures."""

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from tiny_checkpoints import aligned_from, save, weights
from tiny_families import GPT_2, GROUPED, LLAMA, TIED_LLAMA, logits, pair, untrained
from transformers import LlamaForCausalLM

from lox.checkpoints.adapter import untie
from lox.checkpoints.extrapolate import extrapolate_checkpoint


@pytest.fixture(params=[LLAMA, TIED_LLAMA, GPT_2], ids=["llama", "tied llama", "gpt2"])
def model(request, tmp_path):
    """A model class, with ``base`` and ``aligned`` of it in ``tmp_path``."""
    return pair(tmp_path, *request.param)


@pytest.mark.filterwarnings("ignore:.*(tied|tie_word|fan_in_fan_out)")
def test_merging_gives_the_extrapolated_weights(model, tmp_path):
    sides = tmp_path / "base", tmp_path / "aligned"
    extrapolate_checkpoint(*sides, tmp_path / "whole")
    extrapolate_checkpoint(*sides, tmp_path / "adapter", adapter=True)
    merged = PeftModel.from_pretrained(
        untie(model.from_pretrained(sides[1])), tmp_path / "adapter"
    ).merge_and_unload()
    expected = model.from_pretrained(tmp_path / "whole").state_dict()
    assert merged.state_dict().keys() == expected.keys()
    for name, tensor in merged.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*(tied|tie_word|fan_in_fan_out)")
def test_merging_as_the_card_says(model, tmp_path):
    """The card's own code, run on tied and on untied weights."""
    sides = tmp_path / "base", tmp_path / "aligned"
    extrapolate_checkpoint(*sides, tmp_path / "whole")
    extrapolate_checkpoint(*sides, tmp_path / "adapter", adapter=True)
    code = (tmp_path / "adapter" / "README.md").read_text().split("```")[1].removeprefix("python\n")
    names = {"ALIGNED": sides[1], "ADAPTER": tmp_path / "adapter"}
    exec(code, names)
    names["merged"].save_pretrained(tmp_path / "merged")
    expected = logits(model.from_pretrained(tmp_path / "whole"))
    torch.testing.assert_close(logits(names["merged"]), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        logits(model.from_pretrained(tmp_path / "merged")), expected, rtol=1e-4, atol=1e-4
    )
    assert "```" not in (tmp_path / "whole" / "README.md").read_text()


def test_alpha_is_the_scale(tmp_path):
    model = untrained(*LLAMA)
    model.save_pretrained(tmp_path / "base")
    with torch.no_grad():
        model.model.layers[0].self_attn.q_proj.weight += 0.05 * torch.randn(16, 16)
    model.save_pretrained(tmp_path / "aligned")
    extrapolate_checkpoint(
        tmp_path / "base", tmp_path / "aligned", tmp_path / "out", k=4, alpha=0.6, adapter=True
    )
    attached = PeftModel.from_pretrained(model, tmp_path / "out")
    layers = [m for m in attached.modules() if isinstance(m, LoraLayer)]
    assert [layer.scaling["default"] for layer in layers] == [pytest.approx(0.6)]
    assert sum(p.numel() for n, p in attached.named_parameters() if "lora" in n) == 4 * (16 + 16)


def test_a_rank_above_that_of_a_matrix_is_padded(tmp_path):
    model = untrained(*LLAMA)
    model.save_pretrained(tmp_path / "base")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(tmp_path / "aligned")
    sides = tmp_path / "base", tmp_path / "aligned"
    extrapolate_checkpoint(*sides, tmp_path / "whole", k=12)  # key and value projections are 8×16
    extrapolate_checkpoint(*sides, tmp_path / "adapter", k=12, adapter=True)
    attached = PeftModel.from_pretrained(model, tmp_path / "adapter")
    expected = logits(LlamaForCausalLM.from_pretrained(tmp_path / "whole"))
    torch.testing.assert_close(logits(attached), expected, rtol=1e-4, atol=1e-4)


def test_what_lora_cannot_do(tmp_path):
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **GROUPED}
    save(tmp_path / "base", weights(0), config=config)
    save(tmp_path / "aligned", aligned_from(weights(0)), config=config)
    sides = tmp_path / "base", tmp_path / "aligned"
    with pytest.raises(ValueError, match=r"LoRA cannot change .*experts\.gate_up_proj\[0\]"):
        extrapolate_checkpoint(*sides, tmp_path / "out", adapter=True)
    with pytest.raises(ValueError, match="small k"):
        extrapolate_checkpoint(*sides, tmp_path / "out", k="full", adapter=True)
    assert {p.name for p in tmp_path.iterdir()} == {"base", "aligned"}
