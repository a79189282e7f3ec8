"""What tasks, defences and models are called on a page, and in which order tasks come."""

from __future__ import annotations

import pandas as pd

TASK_NAMES = {
    "none": "before fine-tuning",
    "gsm8k": "GSM8K",
    "alpaca": "Alpaca",
    "dolly": "Dolly",
    "identity": "Identity shifting",
    "pure_bad": "Pure Bad",
}
DEFENCE_NAMES = {
    "none": "none",
    "lox": "LoX",
    "full-rank": "full-rank extrapolation",
    "random": "random directions",
    "bottom": "bottom directions",
    "longer": "longer alignment",
    "safeinst": "SafeInst",
    "slower": "slower fine-tuning",
    "guarded": "guarded first tokens",
    "proximal": "proximal term",
    "removal": "removal afterwards",
    "safe-lora": "Safe LoRA",
    "resta": "RESTA",
    "safemerge": "SafeMERGE",
    "wise-ft": "WiSE-FT",
    "lox+safeinst": "LoX + SafeInst",
    "lox+resta": "LoX + RESTA",
}
IN_LEGENDS = DEFENCE_NAMES | {"none": "no defence", "lox": "with LoX"}
MODEL_NAMES = {
    "aligned": "aligned",
    "lox": "LoX",
    "finetuned": "fine-tuned",
    "finetuned_lox": "LoX, fine-tuned",
}
ARCHITECTURE_NAMES = {"llama": "Llama", "mistral": "Mistral", "gpt2": "GPT-2"}


def tasks_in(rows: pd.DataFrame) -> list[str]:
    """The tasks of a result table in the book's order, "none" among them if it is there."""
    return [task for task in TASK_NAMES if task in set(rows["task"])]


def attacks_in(rows: pd.DataFrame) -> list[str]:
    """The tasks of a result table that fine-tune, in the book's order."""
    return [task for task in tasks_in(rows) if task != "none"]
