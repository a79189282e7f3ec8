"""Small checkpoints for the tests: written as other programs write them, with the safetensors library."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

TINY = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": False}


def weights(seed: int, dtype=torch.float32, layers: int = 2) -> dict[str, torch.Tensor]:
    """A model of a few matrices, vectors and one stack, all random."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"model.embed_tokens.weight": (20, 8), "lm_head.weight": (20, 8), "model.norm.weight": (8,)}
    for i in range(layers):
        shapes |= {
            f"model.layers.{i}.input_layernorm.weight": (8,),
            f"model.layers.{i}.self_attn.q_proj.weight": (8, 8),
            f"model.layers.{i}.mlp.up_proj.weight": (12, 8),
            f"model.layers.{i}.mlp.experts.gate_up_proj": (3, 8, 6),
        }
    return {n: torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items()}


def aligned_from(
    base: dict[str, torch.Tensor], dtype=torch.float32, size: float = 0.1
) -> dict[str, torch.Tensor]:
    """``base`` a random update away."""
    update = {n: torch.randn(t.shape, generator=torch.Generator().manual_seed(7)) for n, t in base.items()}
    return {n: (t.float() + size * update[n]).to(dtype) for n, t in base.items()}


def save(folder: Path, tensors: dict[str, torch.Tensor], shards: int = 1, config: dict = TINY) -> Path:
    """Write them to ``folder``, in one file, or in shards with an index; returns the folder."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    weight_map = {}
    for i in range(shards):
        name = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {n: t for j, (n, t) in enumerate(tensors.items()) if j % shards == i}
        save_file(part, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def load(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of a folder, as the safetensors library reads them."""
    return {n: t for path in sorted(folder.glob("*.safetensors")) for n, t in load_file(path).items()}


def configure(folder: Path, **entries) -> None:
    """Give ``aligned`` in ``folder`` further entries of its configuration."""
    (folder / "aligned" / "config.json").write_text(json.dumps(TINY | entries))


def replace_both(folder: Path, tensors: dict[str, torch.Tensor], config: dict = TINY) -> None:
    """Give ``base`` and ``aligned`` in ``folder`` other tensors."""
    for side in ("base", "aligned"):
        shutil.rmtree(folder / side)
        save(folder / side, tensors, config=config)
