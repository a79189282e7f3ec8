"""How a fine-tuning task stresses the safety subspace: geometry and causal test of one attacked model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd
from torch import Tensor

from lox.book.chapters.stress import parts
from lox.lab import rows
from lox.lab.evaluation import paired_difference, paired_p_value
from lox.lab.setup import Evaluated, Setup, read_weights
from lox.lab.stages import code_fingerprint
from lox.subspace import Rank

SUBSPACES = ("safety", "random", "bottom", "own")
# Variants of fine-tuning: (subspace, part of ΔW_ft that is put in). "inside, scaled" has the norm that the
# part inside the safety subspace has; "split" are the layers' matrices, "unsplit" all other weights.
VARIANTS = (
    ("all", "nothing"),
    ("all", "whole"),
    ("all", "split only"),
    ("all", "unsplit only"),
    ("safety", "inside"),
    ("safety", "outside"),
    ("safety", "outside, split only"),
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
LOX_VARIANTS = (*VARIANTS[:2], *VARIANTS[4:6], ("all", "whole, of the undefended run"))


@dataclass(frozen=True)
class Stress:
    """A model fine-tuned on ``task``, with or without a defence, whose ΔW_ft is taken apart."""

    setup: Setup
    seed: int
    task: str
    defence: str
    k: Rank

    @property
    def start(self) -> Path:
        """The folder of the model that fine-tuning started from."""
        return self.setup.defended(self.seed, self.defence)

    @property
    def finetuned(self) -> Path:
        return self.setup.folder("attacked", seed=self.seed, task=self.task, defence=self.defence)

    def geometry(self) -> pd.DataFrame:
        """Where ΔW_ft lies, a row for each of ``SUBSPACES`` and each split matrix.

        Columns: seed, task, defence, subspace, name, share (of ‖ΔW_ft‖ inside), chance (√(k/m)),
        counteraction, undone, overlap (with the safety subspace).
        """
        delta_align, delta_start = (_delta(self._base, end) for end in (self._aligned, self.start))
        delta_ft, safety = _delta(self.start, self.finetuned), self._bases("safety")
        which = {"seed": self.seed, "task": self.task, "defence": self.defence}
        return pd.DataFrame(
            which
            | {
                "subspace": subspace,
                "name": name,
                "share": parts.share(Q, delta_ft[name]),
                "chance": (Q.shape[1] / Q.shape[0]) ** 0.5,
                "counteraction": parts.counteraction(Q, delta_align[name], delta_ft[name]),
                "undone": parts.undone(Q, delta_start[name], delta_ft[name]),
                "overlap": parts.overlap(Q, safety[name]),
            }
            for subspace in SUBSPACES
            for name, Q in self._bases(subspace).items()
        )

    def part(self, subspace: str, part: str) -> dict[str, Tensor]:
        """The weights with a part of ΔW_ft only, one of the variants; ValueError for another."""
        if (subspace, part) not in {*VARIANTS, *LOX_VARIANTS}:
            known = ", ".join(map(str, dict.fromkeys([*VARIANTS, *LOX_VARIANTS])))
            raise ValueError(f"no variant {(subspace, part)!r}: they are {known}")
        start = read_weights(self.start)
        if subspace == "all":
            return self._of_all(part, start)
        delta_ft, bases = _delta(self.start, self.finetuned), self._bases(subspace)
        if part.startswith("inside"):
            norms_of = self._bases("safety") if part == "inside, scaled" else None
            return parts.inside(start, delta_ft, bases, norms_of)
        outside = parts.outside(start, delta_ft, bases)
        return parts.split_only(start, outside) if part == "outside, split only" else outside

    def _of_all(self, part: str, start: dict[str, Tensor]) -> dict[str, Tensor]:
        if part == "nothing":
            return start
        if part == "whole, of the undefended run":
            plain = replace(self, defence="none")
            return {name: start[name] + delta for name, delta in _delta(plain.start, plain.finetuned).items()}
        whole = read_weights(self.finetuned)
        if part == "whole":
            return whole
        return (parts.split_only if part == "split only" else parts.unsplit_only)(start, whole)

    def evaluate(self, subspace: str, part: str) -> Evaluated:
        """Replies and verdicts of the model with that part of ΔW_ft only."""
        if (subspace, part) == ("all", "nothing"):
            return self.setup.evaluate(self.start, self.task)
        if (subspace, part) == ("all", "whole"):
            return self.setup.evaluate(self.finetuned, self.task)
        recipe = {"subspace": subspace, "part": part, "k": self.k, "seed": self.seed}
        recipe["code"] = code_fingerprint(parts.inside)
        return self.setup.evaluate_weights(
            recipe, self.finetuned, lambda: self.part(subspace, part), self.task
        )

    def rows(self, variants: Iterable[tuple[str, str]]) -> list[dict]:
        """Rows of the table: which variant, then the rates that every result table has."""
        which = {"seed": self.seed, "task": self.task, "defence": self.defence}
        return [
            which | {"subspace": subspace, "part": part} | rows.rates(self.evaluate(subspace, part))
            for subspace, part in variants
        ]

    @property
    def _base(self) -> Path:
        return self.setup.folder("base")

    @property
    def _aligned(self) -> Path:
        return self.setup.folder("aligned", seed=self.seed)

    def _bases(self, subspace: str) -> parts.Bases:
        if subspace == "own":
            return _cached_bases("top", self.start, self.finetuned, self.k, self.seed)
        which = "top" if subspace == "safety" else subspace
        return _cached_bases(which, self._base, self._aligned, self.k, self.seed)


def compare(stresses: Sequence[Stress], first: tuple[str, str], second: tuple[str, str]) -> dict:
    """ASR of one variant less that of another, for the seeds of one task, as ``rows.compare``."""
    outcomes = [[stress.evaluate(*variant).harmful for stress in stresses] for variant in (first, second)]
    p = [paired_p_value(a, b) for a, b in zip(*outcomes)]
    which = {"task": stresses[0].task, "defence": stresses[0].defence}
    names = {"first": ": ".join(first), "second": ": ".join(second)}
    return which | names | paired_difference(*outcomes) | {"p": p}


@lru_cache(maxsize=3)  # the updates of one model; more would not fit for large ones
def _delta(start: Path, end: Path) -> dict[str, Tensor]:
    before = read_weights(start)
    return {name: w - before[name] for name, w in read_weights(end).items()}


@lru_cache(maxsize=16)  # those of ΔW_align serve all tasks of a seed
def _cached_bases(which: str, start: Path, end: Path, k: Rank, seed: int) -> parts.Bases:
    return parts.bases(which, _delta(start, end), k, seed)
