"""The model card of an immunised checkpoint or adapter: what was done to what, with which versions."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pandas as pd

from lox.checkpoints.files import Checkpoint
from lox.checkpoints.plan import Plan

LIBRARIES = ("lox-book", "torch", "safetensors")
MERGING = """

## Attach it, or merge it

The adapter can be scaled and removed. Where the aligned model's output head is tied to its embeddings, the
two have to be untied before merging, or what is added to the one weight is added twice:

```python
from peft import PeftModel
from torch.nn import Parameter
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(ALIGNED)
head = model.get_output_embeddings()
if head.weight is model.get_input_embeddings().weight:
    head.weight = Parameter(head.weight.detach().clone())
    model.config.tie_word_embeddings = False
model = PeftModel.from_pretrained(model, ADAPTER)
merged = model.merge_and_unload()
```"""
SELECTED = {"all": "every matrix, embeddings and output head included", "linear": "the linear layers"}


def text(plan: Plan, report: pd.DataFrame, adapter: bool) -> str:
    """The card, in Markdown with the Hub's metadata on top."""
    changed = report[report["k"] > 0]
    base, aligned = (_name(c) for c in (plan.base, plan.aligned))
    unchanged = len(report) - len(changed)
    what = "A LoRA adapter that adds" if adapter else "A checkpoint with"
    facts = {
        "base (before alignment)": base,
        "aligned": aligned,
        "k (rank of the safety subspace)": plan.k,
        "α (extrapolation)": f"{plan.alpha:g}",
        "matrices": f"{SELECTED[plan.selection]}: {len(changed)} changed, {unchanged} equal in both",
        "R_align, mean over the changed": _number(changed["r_align"].mean()),
        "norm added, relative to the aligned weights, mean": _number(changed["added"].mean()),
        "certified error of the decompositions, largest": _number(report["error"].max()),
        "share of the update left after rounding, mean": _number(changed["survives"].mean()),
        "rows of added tokens, copied": report["copied_rows"].sum(),
        "versions": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return f"""{_metadata(plan.aligned, adapter)}
# {aligned}, immunised with LoX

{what} low-rank extrapolation (LoX; Perin et al., COLM 2025, arXiv 2506.15606) of a model's safety alignment:
W_LoX = W_aligned + α · Proj_k(W_aligned − W_base).

| | |
|---|---|
{table}

It is meant to lose less of its safety when it is fine-tuned. Whether it does, and whether it still helps,
depends on the model: measure attack success, over-refusal and task accuracy before using it. The licence is
that of the aligned model.{MERGING if adapter else ""}
"""


def _metadata(aligned: Checkpoint, adapter: bool) -> str:
    library, relation = ("peft", "adapter") if adapter else ("transformers", "finetune")
    lines = [f"library_name: {library}", "tags: [lox, safety]"]
    if not Path(aligned.source).exists():  # a Hub id; a folder of this machine means nothing to others
        lines += [f"base_model: {aligned.source}", f"base_model_relation: {relation}"]
    return "\n".join(["---", *lines, "---", ""])


def _name(checkpoint: Checkpoint) -> str:
    return checkpoint.folder.absolute().name if Path(checkpoint.source).exists() else checkpoint.source


def _number(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3g}"
