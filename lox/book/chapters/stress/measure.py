"""How a fine-tuning task stresses the safety subspace: geometry and causal test of fine-tuned models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import pandas as pd
from torch import Tensor

from lox.book.chapters.stress import parts
from lox.lab import rows
from lox.lab.evaluation import Evaluated, evaluate, form_of
from lox.lab.model import Model
from lox.lab.models import read_weights
from lox.lab.parallel import side_by_side
from lox.lab.replies import Computed
from lox.lab.setup import Setup
from lox.subspace import Rank

Variant = tuple[str, str]  # (subspace, part of ΔW_ft that is put in)

SUBSPACES = ("safety", "random", "bottom", "own")
NOTHING, WHOLE = ("all", "nothing"), ("all", "whole")
INSIDE, OUTSIDE = ("safety", "inside"), ("safety", "outside")
SPLIT_ONLY, SPLIT_OUTSIDE = ("all", "split only"), ("safety", "outside, split only")
TRANSPLANT = ("all", "whole, of the undefended run")
# "inside, scaled" has the norm that the part inside the safety subspace has; "split" are the layers' matrices,
# "unsplit" all other weights.
VARIANTS = (
    NOTHING,
    WHOLE,
    SPLIT_ONLY,
    ("all", "unsplit only"),
    INSIDE,
    OUTSIDE,
    SPLIT_OUTSIDE,
    ("random", "inside"),
    ("random", "inside, scaled"),
    ("random", "outside"),
    ("bottom", "inside"),
    ("bottom", "outside"),
    ("own", "inside"),
    ("own", "outside"),
)
# After LoX the controls are not repeated; the whole ΔW_ft of the undefended run, put in, says how much of
# the protection is the start's alone.
LOX_VARIANTS = (NOTHING, WHOLE, INSIDE, OUTSIDE, TRANSPLANT)
BY_DEFENCE = {"none": VARIANTS, "lox": LOX_VARIANTS}
SETTINGS = ["k", "alpha", "lr", "judge", "n"]
NUMBERS = ["share", "counteraction", "undone"]  # that describe the inside


@dataclass(frozen=True)
class Stress:
    """A fine-tuned model, with or without LoX, whose ΔW_ft is taken apart at subspaces of k dimensions."""

    setup: Setup
    model: Model
    k: Rank

    @property
    def folders(self) -> tuple[Path, ...]:
        """Arguments of ``with_part``: fine-tuned, start, base, aligned, and the undefended run's first two."""
        model, plain = self.model, self.model.undefended
        own = (model, model.start, model.base, model.aligned)
        return tuple(map(self.setup.folder, own if plain == model else (*own, plain, plain.start)))

    @property
    def head(self) -> dict:
        return {"seed": self.model.seed, "task": self.model.task, "defence": self.model.defence}

    def geometry(self) -> pd.DataFrame:
        """Where ΔW_ft lies, a row for each of ``SUBSPACES`` and each split matrix.

        Columns: seed, task, defence, subspace, name, share (of ‖ΔW_ft‖ inside), chance (√(k/m)),
        counteraction, undone, overlap (with the safety subspace).
        """
        own = finetuned, start, base, aligned = self.folders[:4]
        delta_align, delta_start = _delta(base, aligned), _delta(base, start)
        delta_ft = _delta(start, finetuned)
        bases = {s: _bases(s, *own, k=self.k, seed=self.model.seed) for s in SUBSPACES}
        return pd.DataFrame(
            self.head
            | {
                "subspace": subspace,
                "name": name,
                "share": parts.share(Q, delta_ft[name]),
                "chance": (Q.shape[1] / Q.shape[0]) ** 0.5,
                "counteraction": parts.counteraction(Q, delta_align[name], delta_ft[name]),
                "undone": parts.undone(Q, delta_start[name], delta_ft[name]),
                "overlap": parts.overlap(Q, bases["safety"][name]),
            }
            for subspace in SUBSPACES
            for name, Q in bases[subspace].items()
        )

    def evaluate(self, variant: Variant) -> Evaluated:
        """Replies and verdicts of the model with a part of ΔW_ft only; ValueError for no such variant."""
        known = (*VARIANTS, TRANSPLANT)
        if variant not in known:
            raise ValueError(f"no variant {variant!r}: they are {', '.join(map(str, known))}")
        form = form_of(self.model.task)
        if variant in (NOTHING, WHOLE):
            return evaluate(self.setup, self.model.start if variant == NOTHING else self.model, form)
        subspace, part = variant
        options = {"subspace": subspace, "part": part, "k": self.k, "seed": self.model.seed}
        return evaluate(self.setup, Computed(with_part, self.folders, options), form)


def with_part(
    finetuned: Path,
    start: Path,
    base: Path,
    aligned: Path,
    *undefended: Path,
    subspace: str,
    part: str,
    k: Rank,
    seed: int,
) -> dict[str, Tensor]:
    """The weights of ``start`` with a part of ΔW_ft only, one of the variants.

    ``undefended`` are the fine-tuned model and the start of the same run without a defence, for ``TRANSPLANT``.
    """
    before = read_weights(start)
    if (subspace, part) == TRANSPLANT:
        return {name: before[name] + delta for name, delta in _delta(undefended[1], undefended[0]).items()}
    if subspace == "all":
        whole = read_weights(finetuned)
        return (parts.split_only if part == "split only" else parts.unsplit_only)(before, whole)
    delta_ft = _delta(start, finetuned)
    bases = _bases(subspace, finetuned, start, base, aligned, k, seed)
    if part.startswith("inside"):
        scaled = part == "inside, scaled"
        norms_of = _bases("safety", finetuned, start, base, aligned, k, seed) if scaled else None
        return parts.inside(before, delta_ft, bases, norms_of)
    outside = parts.outside(before, delta_ft, bases)
    return parts.split_only(before, outside) if part == "outside, split only" else outside


def stresses_of(
    setup: Setup, tasks: Sequence[str], seeds: Sequence[int], defence: str, k: Rank
) -> dict[str, list[Stress]]:
    """Task -> the models of all seeds, with a defence or with "none"."""
    return {task: [Stress(setup, setup.model(s, task, defence), k) for s in seeds] for task in tasks}


# --- tables -------------------------------------------------------------------------------------------


def variant_rows(stresses: Iterable[Stress], workers: int) -> pd.DataFrame:
    """Rates of every variant of every model, a row for each.

    Columns: those of ``rows.head``, seed, task, defence, subspace, part, k, alpha and lr, and those of ``rows.rates``.
    """
    made = side_by_side([partial(_rows, stress) for stress in stresses], workers)
    return pd.DataFrame(row for of_one in made for row in of_one)


def _rows(stress: Stress) -> list[dict]:
    made = {"k": stress.k, "alpha": stress.model.alpha, "lr": stress.model.lr}
    return [
        rows.head(stress.setup)
        | stress.head
        | dict(zip(("subspace", "part"), variant))
        | made
        | rows.rates(stress.evaluate(variant))
        for variant in BY_DEFENCE[stress.model.defence]
    ]


def geometry(stresses: Iterable[Stress]) -> pd.DataFrame:
    """``Stress.geometry`` of several models, means over their matrices."""
    matrices = pd.concat([stress.geometry() for stress in stresses]).drop(columns="name")
    return matrices.groupby(["seed", "task", "defence", "subspace"], sort=False).mean().reset_index()


# --- weights ------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)  # the updates of one model; more would not fit for large ones
def _delta(start: Path, end: Path) -> dict[str, Tensor]:
    before = read_weights(start)
    return {name: weight - before[name] for name, weight in read_weights(end).items()}


def _bases(
    subspace: str, finetuned: Path, start: Path, base: Path, aligned: Path, k: Rank, seed: int
) -> parts.Bases:
    """Of one of ``SUBSPACES``: "own" is of ΔW_ft, the others are of ΔW_align."""
    if subspace == "own":
        return _cached_bases("top", start, finetuned, k, seed)
    return _cached_bases("top" if subspace == "safety" else subspace, base, aligned, k, seed)


@lru_cache(maxsize=16)  # those of ΔW_align serve all tasks of a seed
def _cached_bases(subspace: str, start: Path, end: Path, k: Rank, seed: int) -> parts.Bases:
    return parts.bases(subspace, _delta(start, end), k, seed)
