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

from lox.checkpoints.folders import first_line
from lox.checkpoints.pair import HEADS, Matrix
from lox.checkpoints.plan import ALIGNED, Plan
from lox.checkpoints.shards import require_space
from lox.checkpoints.streaming import Meter, Progress, in_parallel
from lox.subspace import Subspace

Modules = dict[str, nn.Module]


def write_adapter(plan: Plan, folder: Path, progress: Progress | None = None) -> list[dict]:
    """adapter_config.json and adapter_model.safetensors into ``folder``; a row of the report for each matrix.

    Raises ValueError as ``modules_to_adapt`` does, and where BASE and ALIGNED are equal.
    """
    places = modules_to_adapt(plan)
    require_space(folder, plan.adapter_bytes)
    meter = Meter(sum(m.size(ALIGNED) for m in plan.matrices), progress)
    factors, rows = {}, []

    def decompose(matrix: Matrix) -> tuple[Subspace | None, dict]:
        return plan.decompose(matrix)[1:]

    for matrix, (subspace, row) in zip(plan.matrices, in_parallel(decompose, plan.matrices)):
        for place, module in places[matrix.name].items() if subspace else ():
            factors[place] = _lora(module, subspace, plan.k, matrix.copied_rows(ALIGNED))
        rows.append(row)
        meter.add(matrix.size(ALIGNED))
    if not factors:
        raise ValueError("base and aligned have the same weights, so there is nothing for an adapter to add")
    transposed = any(isinstance(m, Conv1D) for adapted in places.values() for m in adapted.values())
    _config(plan, list(factors), transposed).save_pretrained(folder)
    named = {f"base_model.model.{n}.{f}": t for n, pair in factors.items() for f, t in pair.items()}
    _save(named, folder / "adapter_model.safetensors")
    return rows


def modules_to_adapt(plan: Plan) -> dict[str, Modules]:
    """For each matrix's name the modules of ALIGNED that have it as their weight: two where it is tied.

    Raises ValueError for k "full", for an architecture that transformers does not have, and for matrices that
    are no weight of a linear layer or an embedding of the model, which LoRA cannot change.
    """
    if plan.k == "full":
        raise ValueError("an adapter is for a small k: with full rank it is larger than the checkpoint")
    model = _model_without_weights(plan)
    adaptable = {name: module for name, module in model.named_modules() if _is_adaptable(module)}
    by_matrix = {m.name: _modules_of(m, model, adaptable) for m in plan.matrices}
    missing = [name for name, modules in by_matrix.items() if not modules]
    if missing:
        raise ValueError(
            f"LoRA cannot change {missing[0]} ({len(missing)} such): no linear layer or embedding of "
            f"{type(model).__name__}; write a whole checkpoint instead"
        )
    return by_matrix


def untie(model: PreTrainedModel) -> PreTrainedModel:
    """Give an output head that is tied to the embeddings its own copy, so that an adapter can be merged."""
    head = model.get_output_embeddings()
    if head.weight is model.get_input_embeddings().weight:
        head.weight = nn.Parameter(head.weight.detach().clone())
        model.config.tie_word_embeddings = False
    return model


def _model_without_weights(plan: Plan) -> PreTrainedModel:
    """The aligned model on the device "meta"; its own code, if it brings some, is never run."""
    source = plan.aligned.source
    try:
        config = AutoConfig.from_pretrained(plan.aligned.folder, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        custom = "auto_map" in plan.aligned.config
        reason = "it needs code of its own, which is not run" if custom else first_line(error)
        raise ValueError(
            f"{source}: an adapter needs an architecture that transformers has, and {reason}; "
            "write a whole checkpoint instead"
        ) from None
    architecture = (config.architectures or ["an unnamed architecture"])[0]
    kind = getattr(transformers, architecture, None)
    if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
        raise ValueError(f"{source}: {architecture} is unknown to transformers, so LoRA has no place")
    with torch.device("meta"):
        return kind(config)


def _is_adaptable(module: nn.Module) -> bool:
    """Whether PEFT can adapt it; of embeddings with a way of their own it knows only the scaled ones."""
    if isinstance(module, nn.Embedding):
        return type(module).forward is nn.Embedding.forward or hasattr(module, "embed_scale")
    return isinstance(module, (nn.Linear, Conv1D))


def _modules_of(matrix: Matrix, model: PreTrainedModel, adaptable: Modules) -> Modules:
    """The modules whose weight a matrix is, by name: under its own one, or where transformers loads it to."""
    name = matrix.name.removesuffix(".weight")
    heads = {n: m for n, m in adaptable.items() if m is model.get_output_embeddings()}
    if name not in adaptable:
        name = f"{model.base_model_prefix}.{name}"  # saved as the model without its head
    if name in adaptable:
        module = adaptable[name]
        return {n: m for n, m in adaptable.items() if m.weight is module.weight} | {name: module}
    return heads if matrix.kind in HEADS else {}


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


def _config(plan: Plan, adapted: list[str], transposed: bool) -> LoraConfig:
    source = plan.aligned.source
    return LoraConfig(
        task_type="CAUSAL_LM",
        inference_mode=True,
        base_model_name_or_path=str(Path(source).absolute()) if Path(source).exists() else source,
        r=plan.k,
        lora_alpha=plan.alpha * plan.k,
        target_modules=adapted,
        fan_in_fan_out=transposed,
    )


def _save(factors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(factors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(errno.EIO, str(error), str(path)) from None
