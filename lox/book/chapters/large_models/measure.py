"""What a Llama or Mistral would take to train and to question: estimates of memory and time, no measurements.

Counts of weights are exact. The rest leaves out what the allocator, the kernels and the network take.
"""

from __future__ import annotations

from math import ceil

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, PretrainedConfig

from lox.lab.profile import Alignment, Evaluation, Training

GB = 1e9
FLOAT32, BF16 = 4, 2  # bytes of a number
HELD = 4  # numbers for each weight in training: itself, its gradient and the two states of AdamW

# config.json of the models on the Hugging Face Hub, as far as it decides sizes
CONFIGS = {
    "meta-llama/Llama-2-7b-hf": LlamaConfig(
        hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=32, vocab_size=32000, tie_word_embeddings=False,
    ),
    "mistralai/Mistral-7B-v0.3": MistralConfig(
        hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, vocab_size=32768, tie_word_embeddings=False,
    ),
}  # fmt: skip


def layer_parameters(config: PretrainedConfig) -> int:
    """Weights of one decoder layer: queries and output, keys and values, the three of the MLP, two norms."""
    hidden = config.hidden_size
    return 2 * hidden**2 + 2 * hidden * _kv_size(config) + 3 * hidden * config.intermediate_size + 2 * hidden


def parameters(config: PretrainedConfig) -> int:
    """All weights: the layers, the last norm, embeddings and head (one matrix if they are tied)."""
    tables = 1 if config.tie_word_embeddings else 2
    outside = tables * config.vocab_size * config.hidden_size + config.hidden_size
    return config.num_hidden_layers * layer_parameters(config) + outside


def memory(config: PretrainedConfig, run: Training, processes: int) -> dict[str, float]:
    """Gigabytes on each of ``processes`` GPUs in a step whose sequences all have ``max_length`` tokens.

    Float32 weights, gradients and AdamW states, sharded; bf16 computation; of each layer only the input
    is kept for the backward pass.
    """
    tokens = sequences(run) * run.batch * run.max_length
    share = parameters(config) / processes
    largest = max(layer_parameters(config), config.vocab_size * config.hidden_size)
    return {
        "weights": FLOAT32 * share / GB,
        "gradients": FLOAT32 * share / GB,
        "AdamW states": 2 * FLOAT32 * share / GB,
        # one unit in use, the next on its way, and the gradients of one
        "gathered": 3 * BF16 * largest / GB,
        "kept inputs": BF16 * tokens * config.num_hidden_layers * config.hidden_size / GB,
        "one layer": tokens * layer_activations(config) / GB,
        # logits in bf16, their float32 copy for the loss, and its gradient
        "logits": (BF16 + 2 * FLOAT32) * tokens * config.vocab_size / GB,
    }


def layer_activations(config: PretrainedConfig) -> int:
    """Bytes a token that one layer keeps for its backward pass, computing in bf16.

    Each norm its input in float32, the normalised and the scaled; attention queries, keys, values and result,
    but no square matrix; the MLP gate, activated gate, up and product.
    """
    norms = 2 * (FLOAT32 + 2 * BF16) * config.hidden_size
    attention = BF16 * (2 * config.hidden_size + 2 * _kv_size(config))
    return norms + attention + BF16 * 4 * config.intermediate_size


def sequences(run: Training) -> int:
    """Sequences of an example: DPO reads the chosen and the rejected reply, each with its prompt."""
    return 2 if isinstance(run, Alignment) else 1


def training_flops(config: PretrainedConfig, run: Training, mean_tokens: float) -> float:
    """Floating-point operations of a run, ``mean_tokens`` a sequence, none of them padding.

    6 for each weight and token (forward 2, backward 4), 2 more as the forward pass is computed again; DPO
    takes 2 once for its reference. Attention's products of tokens with tokens are left out.
    """
    tokens = run.examples * sequences(run) * mean_tokens
    reference = 2 if isinstance(run, Alignment) else 0
    return (8 * run.epochs + reference) * tokens * multiplied(config)


def multiplied(config: PretrainedConfig) -> int:
    """Weights that multiply something for every token: layers, norms and head; embeddings are looked up."""
    layers = config.num_hidden_layers * layer_parameters(config)
    return layers + config.vocab_size * config.hidden_size + config.hidden_size


def reply_seconds(config: PretrainedConfig, evaluation: Evaluation, bandwidth: float) -> float:
    """Least time for all replies of one model on one GPU that reads ``bandwidth`` GB/s from its memory.

    Every new token of a batch reads all bf16 weights once; ``evaluation`` has utility problems to work.
    """
    steps = ceil((evaluation.harmful + evaluation.benign) / evaluation.batch) * evaluation.new_tokens
    steps += ceil(evaluation.utility / evaluation.batch) * evaluation.utility_tokens
    return steps * BF16 * parameters(config) / (bandwidth * GB)


def counted(config: PretrainedConfig, tokens: int) -> tuple[int, int]:
    """Weights of the model, and operations of a forward and backward pass over one sequence, counted.

    On torch's meta device, where tensors have shapes and no numbers: a model of any size takes seconds.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        ids = torch.zeros(1, tokens, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(ids, labels=ids, use_cache=True).loss.backward()  # without, it looks into the positions
    return model.num_parameters(), counter.get_total_flops()


def _kv_size(config: PretrainedConfig) -> int:
    return config.hidden_size // config.num_attention_heads * config.num_key_value_heads
