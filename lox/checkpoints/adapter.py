"""The same update as a LoRA adapter on ALIGNED: α Proj_k(ΔW_align) = α · (U S) Vh is of rank k already.

The format is PEFT's (https://github.com/huggingface/peft): rank k, and ``lora_alpha`` / rank = α, which makes
α the adapter's scale. Factors are kept in float32. Embeddings that are tied to the output head get an adapter
in both places, since PEFT adapts modules and not weights. Attached that is exact; merged into a tied weight
it would be added twice, so the head has to be untied before merging: ``untie``.
"""

from __future__ import annotations

import errno
from pathlib import Path

import torch
import transformers
from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lox.checkpoints.pair import Matrix
from lox.checkpoints.plan import ALIGNED, Plan
from lox.checkpoints.streaming import Meter, Progress, in_parallel
from lox.subspace import Subspace


def write_adapter(plan: Plan, folder: Path, progress: Progress | None = None) -> list[dict]:
    """adapter_config.json and adapter_model.safetensors into ``folder``; a row of the report for each matrix.

    Raises ValueError for k "full", and for matrices that are no weight of a linear layer or an embedding of
    the model, which LoRA cannot change.
    """
    if plan.k == "full":
        raise ValueError("an adapter is for a small k: with full rank it is larger than the checkpoint")
    modules = _modules(plan)
    meter = Meter(sum(m.size(ALIGNED) for m in plan.matrices), progress)
    head = _tied_head(modules)
    factors, rows = {}, []

    def decompose(matrix: Matrix) -> tuple[Subspace | None, dict]:
        return plan.decompose(matrix)[1:]

    for matrix, (subspace, row) in zip(plan.matrices, in_parallel(decompose, plan.matrices)):
        if subspace:
            name = matrix.name.removesuffix(".weight")
            for place in [name, head] if head and isinstance(modules[name], nn.Embedding) else [name]:
                factors[place] = _lora(modules[place], subspace, plan.k, matrix.copied_rows(ALIGNED))
        rows.append(row)
        meter.add(matrix.size(ALIGNED))
    _config(plan, modules, list(factors)).save_pretrained(folder)
    named = {f"base_model.model.{n}.{f}": t for n, pair in factors.items() for f, t in pair.items()}
    _save(named, folder / "adapter_model.safetensors")
    return rows


def untie(model: PreTrainedModel) -> PreTrainedModel:
    """Give the output head of a model its own copy of the embeddings, so that an adapter can be merged."""
    head = model.get_output_embeddings()
    head.weight = nn.Parameter(head.weight.detach().clone())
    model.config.tie_word_embeddings = False
    return model


def _modules(plan: Plan) -> dict[str, nn.Module]:
    """Module name -> module of the aligned model without its weights; ValueError where a matrix has none."""
    config = AutoConfig.from_pretrained(plan.aligned.folder)
    architecture = (config.architectures or ["an unnamed architecture"])[0]
    if not hasattr(transformers, architecture):
        raise ValueError(
            f"{plan.aligned.source}: {architecture} is unknown to transformers, so LoRA has no place"
        )
    with torch.device("meta"):
        model = getattr(transformers, architecture)(config)
    kinds = (nn.Linear, nn.Embedding, Conv1D)
    modules = {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
    missing = [m.name for m in plan.matrices if m.name.removesuffix(".weight") not in modules]
    if missing:
        raise ValueError(
            f"LoRA cannot change {missing[0]} ({len(missing)} such): no linear layer or embedding of "
            f"{architecture}; write a whole checkpoint instead"
        )
    return modules


def _tied_head(modules: dict[str, nn.Module]) -> str | None:
    """The name of the linear layer that has the weight of an embedding, None if there is none."""
    embeddings = {id(m.weight) for m in modules.values() if isinstance(m, nn.Embedding)}
    heads = (n for n, m in modules.items() if isinstance(m, nn.Linear) and id(m.weight) in embeddings)
    return next(heads, None)


def _lora(module: nn.Module, subspace: Subspace, k: int, copied_rows: int) -> dict[str, Tensor]:
    """PEFT's two factors of a module, padded with zeros to rank k, and to rows of added tokens."""
    left, right = (subspace.U * subspace.S).float().cpu(), subspace.Vh.float().cpu()
    missing = k - subspace.k
    left = nn.functional.pad(left, (0, missing, 0, copied_rows))  # (m, k)
    right = nn.functional.pad(right, (0, 0, 0, missing))  # (k, n)
    if isinstance(module, nn.Embedding):  # the weight (tokens, n) is the transposed product
        return {"lora_embedding_A": left.mT.contiguous(), "lora_embedding_B": right.mT.contiguous()}
    if isinstance(module, Conv1D):  # keeps its weight as (in, out)
        left, right = right.mT, left.mT
    return {"lora_A.weight": right.contiguous(), "lora_B.weight": left.contiguous()}


def _config(plan: Plan, modules: dict[str, nn.Module], changed: list[str]) -> LoraConfig:
    source = plan.aligned.source
    return LoraConfig(
        task_type="CAUSAL_LM",
        inference_mode=True,
        base_model_name_or_path=str(Path(source).absolute()) if Path(source).exists() else source,
        r=plan.k,
        lora_alpha=plan.alpha * plan.k,
        target_modules=changed,
        fan_in_fan_out=any(isinstance(modules[name], Conv1D) for name in changed),
    )


def _save(factors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(factors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from None
