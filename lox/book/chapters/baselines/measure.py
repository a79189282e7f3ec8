"""Defences side by side: before, during and after fine-tuning, on the same seeds and the same prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from safetensors.torch import save_file
from statsmodels.stats.multitest import multipletests
from torch import Tensor

from lox.checkpoints.energy import energy_table
from lox.extrapolation import check_names, check_shapes, update
from lox.lab import rows
from lox.lab.evaluation import paired_difference, paired_p_value
from lox.lab.setup import Evaluated, Setup
from lox.subspace import Rank, project, safety_subspace

REMOVAL = "removal"  # of the safety-subspace part of ΔW_ft, once fine-tuning is over

Weights = Mapping[str, Tensor]


def remove_safety_part(base: Weights, aligned: Weights, finetuned: Weights, *, k: Rank) -> dict[str, Tensor]:
    """W_ft − Proj_k(ΔW_ft), with ΔW_ft = W_ft − W_aligned and the safety subspace of ΔW_align.

    Mappings name -> tensor, matched by name, of the same shapes; the result has the types of
    ``finetuned``. Every 2-D weight loses its part, a 3-D one as a stack of matrices; the rest, and a
    matrix that alignment left as it was, is copied. Raises ValueError as ``lox.extrapolate`` does.
    """
    check_names(base, aligned)
    check_names(aligned, finetuned)
    result = {}
    for name, weight in finetuned.items():
        check_shapes(name, base[name], aligned[name])
        check_shapes(name, aligned[name], weight)
        delta_align = update(base[name], aligned[name])
        if weight.ndim not in (2, 3) or not delta_align.any():
            result[name] = weight.clone()
            continue
        delta_ft = update(aligned[name], weight)
        inside = project(safety_subspace(delta_align, k), delta_ft)
        result[name] = (weight.to(inside.dtype) - inside).to(weight.dtype)
    return result


def evaluate(setup: Setup, seed: int, task: str, defence: str, **which) -> Evaluated:
    """Replies and verdicts after a task under one of ``experiment.DEFENCES`` or ``REMOVAL``.

    ``which`` is k and alpha where they are not the profile's; ``REMOVAL`` has k only.
    """
    if defence != REMOVAL:
        return setup.evaluate(rows.model_folder(setup, seed, task, defence, **which), task)
    k = setup.profile.lox.k if which.get("k") is None else which["k"]
    aligned = setup.folder("aligned", seed=seed)
    recipe = {"removal": k, "base": setup.folder("base").name, "aligned": aligned.name}
    finetuned = setup.folder("attacked", seed=seed, task=task)
    return setup.evaluate_weights(recipe, finetuned, partial(_removed, setup, seed, task, k), task)


def row(setup: Setup, seed: int, task: str, defence: str, **which) -> dict:
    """A row of the result table, as ``rows.row``, for ``REMOVAL`` too."""
    if defence != REMOVAL:
        return rows.row(setup, seed, task, defence, **which)
    k = setup.profile.lox.k if which.get("k") is None else which["k"]
    with TemporaryDirectory() as scratch:
        save_file(_removed(setup, seed, task, k), Path(scratch, "model.safetensors"))
        energy = energy_table(setup.folder("base"), setup.folder("aligned", seed=seed), scratch, k=k)
    own = {"defence": REMOVAL, "k": k, "r_ft": energy["r_ft"].mean()}
    found = evaluate(setup, seed, task, REMOVAL, k=k)
    return rows.row(setup, seed, task, k=k) | own | rows.rates(found)


def against_none(
    setup: Setup, tasks: Iterable[str], seeds: Iterable[int], defences: Mapping[str, dict]
) -> pd.DataFrame:
    """ASR without a defence less that with it, on the same prompts, a row for each task and defence.

    ``defences`` are names with their ``which``. Columns as of ``rows.compare``, and p_holm: the p of
    all seeds, tasks and defences corrected together for their number (Holm, 1979).
    """
    seeds, rows = list(seeds), []
    for task in tasks:
        none = [evaluate(setup, seed, task, "none").harmful for seed in seeds]
        for defence, which in defences.items():
            with_it = [evaluate(setup, seed, task, defence, **which).harmful for seed in seeds]
            p = [paired_p_value(a, b) for a, b in zip(none, with_it)]
            names = {"task": task, "first": "none", "second": defence}
            rows.append(names | paired_difference(none, with_it) | {"p": p})
    return pd.DataFrame(rows).assign(p_holm=_holm([r["p"] for r in rows]))


def _holm(p: list[list[float]]) -> list[list[float]]:
    """Holm's step-down correction over all of them, in the shape they came in."""
    corrected = iter(multipletests([value for group in p for value in group], method="holm")[1].tolist())
    return [[next(corrected) for _ in group] for group in p]


def _removed(setup: Setup, seed: int, task: str, k: Rank) -> dict[str, Tensor]:
    base, aligned = setup.weights("base"), setup.weights("aligned", seed=seed)
    return remove_safety_part(base, aligned, setup.weights("attacked", seed=seed, task=task), k=k)
