"""The toy's untrained model in the shape of several families, for claims that should not hang on one shape."""

from __future__ import annotations

from collections.abc import Callable

import transformers

from lox.lab.profile import ToyModel

LENGTH = 256  # tokens


def llama(
    settings: ToyModel, tokenizer: transformers.PreTrainedTokenizerFast
) -> transformers.PreTrainedModel:
    """As many keys as queries, rotary positions, a gated MLP, no biases."""
    config = transformers.LlamaConfig(
        hidden_size=settings.hidden,
        intermediate_size=settings.ffn,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=LENGTH,
        **_of_tokens(tokenizer),
    )
    return transformers.LlamaForCausalLM(config)


def mistral(
    settings: ToyModel, tokenizer: transformers.PreTrainedTokenizerFast
) -> transformers.PreTrainedModel:
    """Grouped-query attention: two heads share a key and a value."""
    config = transformers.MistralConfig(
        hidden_size=settings.hidden,
        intermediate_size=settings.ffn,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads // 2,
        max_position_embeddings=LENGTH,
        sliding_window=None,
        **_of_tokens(tokenizer),
    )
    return transformers.MistralForCausalLM(config)


def gpt2(settings: ToyModel, tokenizer: transformers.PreTrainedTokenizerFast) -> transformers.PreTrainedModel:
    """Learned positions, LayerNorm, GELU without a gate, biases everywhere; matrices are kept transposed."""
    config = transformers.GPT2Config(
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
    return transformers.GPT2LMHeadModel(config)


ARCHITECTURES: dict[str, Callable[..., transformers.PreTrainedModel]] = {
    "llama": llama,
    "mistral": mistral,
    "gpt2": gpt2,
}


def _of_tokens(tokenizer: transformers.PreTrainedTokenizerFast) -> dict:
    return {
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": False,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
