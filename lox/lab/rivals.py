"""Rivals that repair a fine-tuned model by arithmetic: each with its published rule, on mappings and on folders.

Mappings are name -> tensor, matched by name; a rule acts on every 2-D weight that alignment changed, and copies all
others from the fine-tuned model. ``strength`` is the one number of each that is tuned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from lox.extrapolation import check_names, update
from lox.lab import models

Weights = Mapping[str, Tensor]
MERGED_SHARE = 0.5  # of the matrices that SafeMERGE merges, those that point least along alignment
# Of three trials each on the selection seeds of the toy, after Pure Bad and Dolly (``lox.book.chapters.rivals.trials``)
STRENGTHS = {
    "safe-lora": 0.5,
    "resta": 1.0,
    "safemerge": 1.0,
    "wise-ft": 0.5,
    "guarded": 16.0,
    "proximal": 0.001,
    "longer": 4.0,
    "slower": 0.75,
}


def safe_lora(base: Weights, aligned: Weights, finetuned: Weights, strength: float) -> dict[str, Tensor]:
    """Safe LoRA (Hsu et al., 2024): W_aligned + C ΔW_ft with C = V Vᵀ / ‖V‖ and V = ΔW_align.

    Of the share ``strength`` of the matrices whose ΔW_ft has the smallest cosine with C ΔW_ft; chosen by their
    number, as its code also offers, for a threshold is no number that models share.
    """
    chosen = least_along(base, aligned, finetuned, strength)

    def repaired(name: str, delta_align: Tensor, delta_ft: Tensor) -> Tensor:
        return along(delta_align, delta_ft) if name in chosen else delta_ft

    return _each(base, aligned, finetuned, repaired)


def resta(base: Weights, aligned: Weights, finetuned: Weights, strength: float) -> dict[str, Tensor]:
    """RESTA (Bhardwaj et al., 2024): W_ft + γ (W_aligned − W_base), task arithmetic with the safety vector."""
    return _each(base, aligned, finetuned, lambda _, delta_align, delta_ft: delta_ft + strength * delta_align)


def safemerge(base: Weights, aligned: Weights, finetuned: Weights, strength: float) -> dict[str, Tensor]:
    """SafeMERGE (Djuhera et al., 2025): matrices that point least along alignment are merged with the safe model.

    (1 − λ) W_ft + λ W_aligned for the share ``MERGED_SHARE`` of the matrices that Safe LoRA's cosine puts first.
    """
    chosen = least_along(base, aligned, finetuned, MERGED_SHARE)

    def repaired(name: str, delta_align: Tensor, delta_ft: Tensor) -> Tensor:
        return (1 - strength) * delta_ft if name in chosen else delta_ft

    return _each(base, aligned, finetuned, repaired)


def wise_ft(base: Weights, aligned: Weights, finetuned: Weights, strength: float) -> dict[str, Tensor]:
    """WiSE-FT (Wortsman et al., 2022): (1 − λ) W_ft + λ W_aligned, all weights."""
    check_names(aligned, finetuned)
    return {
        name: (aligned[name] + (1 - strength) * update(aligned[name], weight)).to(weight.dtype)
        for name, weight in finetuned.items()
    }


REPAIRS: dict[str, Callable[..., dict[str, Tensor]]] = {
    "safe-lora": safe_lora,
    "resta": resta,
    "safemerge": safemerge,
    "wise-ft": wise_ft,
}


def repaired(finetuned: Path, base: Path, aligned: Path, repair: str, strength: float) -> dict[str, Tensor]:
    """The weights of one of ``REPAIRS`` on three folders."""
    return REPAIRS[repair](*map(models.read_weights, (base, aligned, finetuned)), strength)


def along(delta_align: Tensor, delta_ft: Tensor) -> Tensor:
    """C ΔW_ft with C = V Vᵀ / ‖V‖_F, V = ΔW_align (m, n): Safe LoRA's projection, which is not idempotent."""
    return delta_align @ (delta_align.mT @ delta_ft) / torch.linalg.vector_norm(delta_align)


def least_along(base: Weights, aligned: Weights, finetuned: Weights, share: float) -> set[str]:
    """The share of the matrices (at least one) whose ΔW_ft has the smallest cosine with C ΔW_ft."""
    cosines = {}
    for name, delta_align, delta_ft in _updates(base, aligned, finetuned):
        part = along(delta_align, delta_ft)
        norms = torch.linalg.vector_norm(part) * torch.linalg.vector_norm(delta_ft)
        cosines[name] = float((part * delta_ft).sum() / norms) if norms > 0 else 1.0
    ordered = sorted(cosines, key=lambda name: (cosines[name], name))
    return set(ordered[: max(1, round(share * len(ordered)))])


def _each(base: Weights, aligned: Weights, finetuned: Weights, change: Callable) -> dict[str, Tensor]:
    """W_aligned + change(name, ΔW_align, ΔW_ft) of every matrix that alignment changed."""
    changed = {name: weight.clone() for name, weight in finetuned.items()}
    for name, delta_align, delta_ft in _updates(base, aligned, finetuned):
        moved = aligned[name].to(delta_ft.dtype) + change(name, delta_align, delta_ft)
        changed[name] = moved.to(finetuned[name].dtype)
    return changed


def _updates(base: Weights, aligned: Weights, finetuned: Weights) -> Iterator[tuple[str, Tensor, Tensor]]:
    check_names(base, aligned)
    check_names(aligned, finetuned)
    for name, weight in finetuned.items():
        delta_align = update(base[name], aligned[name])
        if weight.ndim == 2 and delta_align.any():
            yield name, delta_align, update(aligned[name], weight)
