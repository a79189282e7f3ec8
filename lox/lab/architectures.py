"""The toy model in the shape of other families than Llama's, for claims that should not hang on one shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from lox.lab import models, training
from lox.lab.profile import ToyModel
from lox.lab.worlds.toy import ToyWorld

LENGTH = 256  # tokens, as the toy Llama's


def pretrain(settings: ToyModel, world: ToyWorld, seed: int, folder: Path) -> None:
    """``training.pretrain`` with a model of another architecture in the Llama's place.

    Replaced, not passed: the source of ``training.pretrain`` is part of the name of every Llama that was made.
    """
    with patch.object(models, "toy_model", ARCHITECTURES[settings.architecture]):
        training.pretrain(settings, world, seed, folder)


def mistral(settings: ToyModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """Grouped-query attention: two heads share a key and a value."""
    torch.manual_seed(seed)
    config = MistralConfig(
        hidden_size=settings.hidden,
        intermediate_size=settings.ffn,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads // 2,
        max_position_embeddings=LENGTH,
        sliding_window=None,
        **_of_tokens(tokenizer),
    )
    return MistralForCausalLM(config)


def gpt2(settings: ToyModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """Learned positions, LayerNorm, GELU without a gate, biases everywhere; matrices are kept transposed."""
    torch.manual_seed(seed)
    config = GPT2Config(
        n_embd=settings.hidden,
        n_inner=settings.ffn,
        n_layer=settings.layers,
        n_head=settings.heads,
        n_positions=LENGTH,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        **_of_tokens(tokenizer),
    )
    return GPT2LMHeadModel(config)


ARCHITECTURES: dict[str, Callable[..., PreTrainedModel]] = {"mistral": mistral, "gpt2": gpt2}


def _of_tokens(tokenizer: PreTrainedTokenizerFast) -> dict:
    return {
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": False,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
