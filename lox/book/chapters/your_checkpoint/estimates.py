"""What the commands would take for larger models: the benchmark's time and memory, scaled. Estimates, not measured."""

from __future__ import annotations

import pandas as pd
from transformers import LlamaConfig

from lox.book.chapters.large_models.measure import BF16, CONFIGS, FLOAT32, GB, parameters
from lox.lab.choosing import RANKS

MODELS = {
    "LLaMA-2-7B": CONFIGS["meta-llama/Llama-2-7b-hf"],
    "LLaMA-2-70B": LlamaConfig(
        hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64,
        num_key_value_heads=8, vocab_size=32000, tie_word_embeddings=False,
    ),
}  # fmt: skip


def larger(speed: pd.DataFrame) -> pd.DataFrame:
    """A row for each model in bf16: model, gb on disk, minutes and peak_gb of ``lox extrapolate``, choose_gb.

    ``speed`` is the benchmark's table, of which the slowest machine counts. Its seconds for a gigabyte, and its memory
    beside the libraries' as a multiple of the largest tensor, are taken to hold for larger ones. ``choose_gb`` is the
    model and the factors of the largest rank in float32, without what generating takes.
    """
    measured = speed[speed["what"] == "lox"].sort_values("seconds").iloc[-1]
    for_a_gigabyte = measured["seconds"] / measured["checkpoint_gb"]
    multiple = (measured["peak_gb"] - measured["libraries_gb"]) / measured["largest_tensor_gb"]
    rows = []
    for name, config in MODELS.items():
        size, largest = BF16 * parameters(config) / GB, BF16 * max(map(_entries, matrices(config))) / GB
        factors = FLOAT32 * max(RANKS) * sum(m + n for m, n in matrices(config)) / GB
        peak = measured["libraries_gb"] + multiple * largest
        rows.append({"model": name, "gb": size, "minutes": size * for_a_gigabyte / 60, "peak_gb": peak})
        rows[-1]["choose_gb"] = size + factors
    return pd.DataFrame(rows)


def matrices(config: LlamaConfig) -> list[tuple[int, int]]:
    """Shapes of all matrices of a Llama with untied embeddings."""
    h, f = config.hidden_size, config.intermediate_size
    kv = h * config.num_key_value_heads // config.num_attention_heads
    layer = [(h, h), (h, h), (kv, h), (kv, h), (f, h), (f, h), (h, f)]
    return layer * config.num_hidden_layers + [(config.vocab_size, h)] * 2


def _entries(shape: tuple[int, int]) -> int:
    return shape[0] * shape[1]
