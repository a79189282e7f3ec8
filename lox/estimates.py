"""What training a large model needs, estimated before anybody pays for it: memory of each GPU, and time.

The shares of memory are those of mixed-precision training (Rajbhandari et al., 2020) with float32 weights,
divided among the processes (FSDP); activations are those of Korthikanti et al. (2023) with attention that
keeps no scores, recomputed layer by layer.
"""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, PretrainedConfig

from lox.profile import Alignment, Training

# The sizes of the published checkpoints; LlamaConfig's defaults are LLaMA-7B's, which LLaMA-2-7B shares.
CONFIGS = {"llama2-7b": LlamaConfig(), "mistral-7b": MistralConfig(vocab_size=32768)}
GIB = 2**30
BYTES = {"weights": 4, "gradients": 4, "optimizer": 8}  # of a parameter: float32, and AdamW's two moments
ACTIVATIONS = 34  # bytes of a token and hidden unit that a layer keeps for its backward pass, in bfloat16


def parameters(config: PretrainedConfig) -> int:
    """The number of weights of a model with this configuration, counted without allocating any."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(p.numel() for p in model.parameters())


def memory(config: PretrainedConfig, run: Training, processes: int) -> dict[str, float]:
    """Memory of one GPU in GiB, by what it holds, for ``processes`` GPUs that share the model."""
    n = parameters(config)
    tokens = _sequences(run) * run.max_length
    held = {name: size * n / processes for name, size in BYTES.items()}
    held["a layer, gathered"] = 2 * 2 * n / config.num_hidden_layers  # this one and the next, in bfloat16
    kept = 2 * config.num_hidden_layers * tokens * config.hidden_size
    held["activations"] = kept + ACTIVATIONS * tokens * config.hidden_size
    held["logits"] = 2 * 4 * tokens * config.vocab_size  # and their gradient, in float32
    return {name: size / GIB for name, size in held.items()}


def operations(config: PretrainedConfig, run: Training, tokens: int) -> float:
    """Floating-point operations of a run whose examples have ``tokens`` tokens on average.

    8 for each weight and token: 2 forward, 4 backward, 2 to recompute activations (Kaplan et al., 2020); with
    DPO for two replies of an example, and 2 more once for the reference.
    """
    n, seen = parameters(config), run.examples * tokens
    if isinstance(run, Alignment):
        return float(2 * n * seen * (8 * run.epochs + 2))
    return float(8 * n * seen * run.epochs)


def _sequences(run: Training) -> int:
    """Sequences in one step of one process: a preference pair is two."""
    return run.batch * (2 if isinstance(run, Alignment) else 1)
