"""What other tools' settings of LoX do to the same pair of models, and what they leave unsaid."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch
from torch import Tensor

import lox
from lox.subspace import Rank

SETTINGS: dict[str, tuple[Rank, float]] = {  # as their code or documentation has it: k and alpha
    "the paper": (6, 1.25),
    "SafeTune `apply_lox`": (64, 1.5),
    "SafeTune `apply_lox_harden`": ("full", 1.0),
    "SafeTune's runner": (8, 0.3),
}


def settings(base: Mapping[str, Tensor], aligned: Mapping[str, Tensor]) -> pd.DataFrame:
    """A row for each tool's settings, applied by ``lox.extrapolate``.

    Columns: tool, k, alpha; kept, the norm of the part of the update that is extrapolated, as a share of the
    update's; added, the norm of what is added over that of the aligned matrices; apart, the largest entry of
    the difference to ``by_whole_svd``, over the largest entry of the weights.
    """
    names = [name for name, tensor in aligned.items() if tensor.dim() == 2]
    update, size = _norm(_minus(aligned, base, names)), _norm([aligned[name] for name in names])
    lines = []
    for tool, (k, alpha) in SETTINGS.items():
        ours, theirs = lox.extrapolate(base, aligned, k=k, alpha=alpha), by_whole_svd(base, aligned, k, alpha)
        step = _norm(_minus(ours, aligned, names))
        largest = max(float(tensor.abs().max()) for tensor in theirs.values())
        apart = max(float((ours[name] - theirs[name]).abs().max()) for name in theirs) / largest
        line = {"tool": tool, "k": k, "alpha": alpha, "kept": step / alpha / update}
        lines.append(line | {"added": step / size, "apart": apart})
    return pd.DataFrame(lines)


def by_whole_svd(
    base: Mapping[str, Tensor], aligned: Mapping[str, Tensor], k: Rank, alpha: float
) -> dict[str, Tensor]:
    """The rule as such tools write it: all singular values of every update, and what does not fit is skipped."""
    result = dict(aligned)
    for name, weight in aligned.items():
        if weight.dim() != 2 or name not in base or base[name].shape != weight.shape:
            continue
        U, S, Vh = torch.linalg.svd(weight.float() - base[name].float(), full_matrices=False)
        S[len(S) if k == "full" else k :] = 0
        result[name] = (weight.float() + alpha * (U * S) @ Vh).to(weight.dtype)
    return result


def with_a_misfit(base: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """``base`` with one matrix of another shape, as where a checkpoint of another size is taken, and its name."""
    name = next(name for name, tensor in base.items() if "up_proj" in name)
    return {**base, name: base[name][:-1]}, name


def misfit_message(base: Mapping[str, Tensor], aligned: Mapping[str, Tensor]) -> str:
    """What ``lox.extrapolate`` says where the pair does not fit; empty where it does."""
    try:
        lox.extrapolate(base, aligned)
    except ValueError as error:
        return str(error)
    return ""


def _minus(first: Mapping[str, Tensor], second: Mapping[str, Tensor], names: list[str]) -> list[Tensor]:
    return [first[name].double() - second[name].double() for name in names]


def _norm(matrices: list[Tensor]) -> float:
    return float(torch.stack([matrix.double().norm() for matrix in matrices]).norm())
