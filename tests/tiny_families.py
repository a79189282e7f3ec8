"""Tiny random models of several families: a base and an aligned one a random update away, of no training."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

IDS = torch.arange(20)[None]
SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
GROUPED = SIZES | {"num_key_value_heads": 1}

# the class of a model, its configuration
LLAMA = ("LlamaForCausalLM", GROUPED | {"tie_word_embeddings": False})
TIED_LLAMA = ("LlamaForCausalLM", GROUPED | {"tie_word_embeddings": True})
GPT_2 = (
    "GPT2LMHeadModel",
    {"vocab_size": 60, "n_embd": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 0, "eos_token_id": 0},
)


def untrained(kind: str, config: dict) -> PreTrainedModel:
    """The same random model of a class of transformers for the same configuration."""
    torch.manual_seed(0)
    model_class = getattr(transformers, kind)
    return model_class(model_class.config_class(**config))


def pair(folder: Path, kind: str, config: dict) -> type[PreTrainedModel]:
    """Models ``base`` and ``aligned`` in ``folder``, of which the second layer's MLP is equal; their class."""
    model = untrained(kind, config)
    model.save_pretrained(folder / "base")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not (".1." in name and "mlp" in name):
                parameter += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder / "aligned")
    return type(model)


@torch.no_grad()
def logits(model: PreTrainedModel) -> Tensor:
    """(1, 20, vocabulary), after twenty tokens."""
    return model.eval()(IDS).logits
