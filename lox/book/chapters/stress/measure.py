"""How a fine-tuning task stresses the safety subspace: geometry and causal test of fine-tuned models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from torch import Tensor

from lox.book.chapters.stress import parts
from lox.lab import rows
from lox.lab.evaluation import Evaluated, evaluate, form_of
from lox.lab.model import Model
from lox.lab.models import read_weights
from lox.lab.parallel import side_by_side
from lox.lab.replies import Computed
from lox.lab.setup import Setup
from lox.lab.statistics import compared, holm, mean_over_seeds
from lox.subspace import Rank

Variant = tuple[str, str]  # (subspace, part of ΔW_ft that is put in)
Outcomes = Mapping[tuple[str, Variant], np.ndarray]  # task and variant -> harmful or not, (seeds, prompts)

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
CONTRASTS = {
    "none": (
        (WHOLE, NOTHING),
        (INSIDE, NOTHING),
        (INSIDE, ("random", "inside, scaled")),
        (WHOLE, OUTSIDE),
        (("random", "outside"), OUTSIDE),
        (("bottom", "outside"), OUTSIDE),
        (("own", "inside"), INSIDE),
        (OUTSIDE, ("own", "outside")),
        (OUTSIDE, NOTHING),
        (SPLIT_OUTSIDE, NOTHING),
        (SPLIT_ONLY, SPLIT_OUTSIDE),
    ),
    "lox": ((WHOLE, NOTHING), (TRANSPLANT, NOTHING)),
}
EVERY_TASK = "all"  # the mean over the tasks, prompt by prompt
GEOMETRY = ["share", "chance", "counteraction", "undone", "overlap"]
TASKS_TO_RANK = 3  # the fewest tasks whose ranks can be compared


@dataclass(frozen=True)
class Stress:
    """A fine-tuned model, with or without LoX, whose ΔW_ft is taken apart at subspaces of k dimensions."""

    setup: Setup
    model: Model
    k: Rank

    @property
    def finetuned(self) -> Path:
        return self.setup.folder(self.model)

    @property
    def start(self) -> Path:
        """The folder of the model that fine-tuning started from."""
        return self.setup.folder(self.model.start)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Arguments of ``with_part``: fine-tuned, start, base, aligned, and the undefended run's first two."""
        plain = self.model.undefended
        own = (self.finetuned, self.start, *map(self.setup.folder, (self.model.base, self.model.aligned)))
        return (
            own if plain == self.model else (*own, self.setup.folder(plain), self.setup.folder(plain.start))
        )

    @property
    def head(self) -> dict:
        return {"seed": self.model.seed, "task": self.model.task, "defence": self.model.defence}

    def geometry(self) -> pd.DataFrame:
        """Where ΔW_ft lies, a row for each of ``SUBSPACES`` and each split matrix.

        Columns: seed, task, defence, subspace, name, share (of ‖ΔW_ft‖ inside), chance (√(k/m)),
        counteraction, undone, overlap (with the safety subspace).
        """
        finetuned, start, base, aligned, *_ = self.folders
        delta_align, delta_start = _delta(base, aligned), _delta(base, start)
        delta_ft = _delta(start, finetuned)
        bases = {s: _bases(s, *self.folders[:4], self.k, self.model.seed) for s in SUBSPACES}
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
        if variant not in {*VARIANTS, *LOX_VARIANTS}:
            known = ", ".join(map(str, dict.fromkeys([*VARIANTS, *LOX_VARIANTS])))
            raise ValueError(f"no variant {variant!r}: they are {known}")
        form = form_of(self.model.task)
        if variant in (NOTHING, WHOLE):
            return evaluate(self.setup, self.model.start if variant == NOTHING else self.model, form)
        options = dict(zip(("subspace", "part"), variant)) | {"k": self.k, "seed": self.model.seed}
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
    """Rates of every variant of every model: seed, task, defence, subspace, part, and those of ``rows.rates``."""
    made = side_by_side([partial(_rows, stress) for stress in stresses], workers)
    return pd.DataFrame(row for of_one in made for row in of_one)


def _rows(stress: Stress) -> list[dict]:
    return [
        stress.head | dict(zip(("subspace", "part"), variant)) | rows.rates(stress.evaluate(variant))
        for variant in BY_DEFENCE[stress.model.defence]
    ]


def geometry(stresses: Iterable[Stress]) -> pd.DataFrame:
    """``Stress.geometry`` of several models, means over their matrices."""
    matrices = pd.concat([stress.geometry() for stress in stresses])
    return (
        matrices.groupby(["seed", "task", "defence", "subspace"], sort=False)[GEOMETRY].mean().reset_index()
    )


def outcomes(by_task: Mapping[str, Sequence[Stress]]) -> tuple[Outcomes, list[str]]:
    """Whether each reply is harmful, of every task and variant of one defence; and what the prompts are about.

    With "all" for the task: the share of the tasks after which it is.
    """
    variants = BY_DEFENCE[next(iter(by_task.values()))[0].model.defence]
    found, things = {}, []
    for variant in variants:
        for task, stresses in by_task.items():
            evaluated = [stress.evaluate(variant) for stress in stresses]
            found[task, variant] = np.array([e.harmful for e in evaluated], float)
            things = things or evaluated[0].things
        found[EVERY_TASK, variant] = np.mean([found[task, variant] for task in by_task], axis=0)
    return found, things


def variant_means(found: Outcomes, things: Sequence[str]) -> pd.DataFrame:
    """Mean ASR over seeds with its interval: task, subspace, part, asr, low, high, seeds, n."""
    lines = []
    for (task, (subspace, part)), harmful in found.items():
        mean = mean_over_seeds(harmful, things)
        lines.append({"task": task, "subspace": subspace, "part": part} | mean.columns("asr") | {"n": mean.n})
    return pd.DataFrame(lines)


def contrasts(found: Outcomes, things: Sequence[str], defence: str) -> pd.DataFrame:
    """ASR of one variant minus that of another on the same seeds and prompts, for each task and for their mean.

    Columns: task, defence, first, second, difference, low, high, p, seeds, n, and p_holm, which is corrected for
    the number of tasks of a contrast or, where the task is "all", for the number of contrasts.
    """
    tasks = list(dict.fromkeys(task for task, _ in found))
    lines = []
    for first, second in CONTRASTS[defence]:
        for task in tasks:
            names = {"first": ": ".join(first), "second": ": ".join(second)}
            sides = found[task, first], found[task, second]
            lines.append({"task": task, "defence": defence} | names | compared(*sides, things))
    table = pd.DataFrame(lines)
    family = (table["first"] + table["second"]).where(table["task"] != EVERY_TASK, EVERY_TASK)
    return table.assign(p_holm=table.groupby(family)["p"].transform(lambda p: np.array(holm(list(p)))))


def contrast(differences: pd.DataFrame, first: Variant, second: Variant, **values) -> pd.DataFrame:
    """The rows of ``contrasts`` that are of one contrast and have these values in other columns."""
    for column, value in values.items():
        differences = differences[differences[column] == value]
    named = (differences["first"] == ": ".join(first)) & (differences["second"] == ": ".join(second))
    return differences[named]


def damage(differences: pd.DataFrame) -> pd.DataFrame:
    """What of the damage is gone when the inside is left out, for each task and their mean.

    The damage is ASR(whole) − ASR(nothing), ``gone`` is ASR(whole) − ASR(outside), and ``share`` their ratio: NaN
    where the interval of the damage reaches down to 0, for a share of nothing means nothing.
    """
    columns = ["difference", "low", "high"]
    done = contrast(differences, WHOLE, NOTHING).set_index("task")[columns].add_prefix("damage_")
    gone = contrast(differences, WHOLE, OUTSIDE).set_index("task")[columns].add_prefix("gone_")
    both = done.join(gone).reset_index()
    share = both["gone_difference"] / both["damage_difference"]
    return both.assign(share=share.where(both["damage_low"] > 0))


def rank_correlations(geometry: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's ρ over the tasks, for each seed, of what the geometry says and what the causal test says.

    ``geometry`` and ``table`` are as above. Columns: geometry, effect, seed, tasks (the number that are ranked), rho.
    A task without damage has no share of it, and is left out there; ρ is NaN where fewer than
    ``TASKS_TO_RANK`` are left, or where all are the same.
    """
    safety = geometry[(geometry["subspace"] == "safety") & (geometry["defence"] == "none")]
    places = safety.set_index(["seed", "task"])[["share", "counteraction", "undone"]]
    plain = table[table["defence"] == "none"]
    asr = plain.pivot(index=["seed", "task"], columns=["subspace", "part"], values="asr")
    done, gone = asr[WHOLE] - asr[NOTHING], asr[WHOLE] - asr[OUTSIDE]
    effects = {"damage": done, "share of the damage that is gone": gone / done.where(done > 0)}
    return pd.DataFrame(
        {"geometry": place, "effect": effect, "seed": seed} | _spearman(places.loc[seed, place], of.loc[seed])
        for place in places
        for effect, of in effects.items()
        for seed in asr.index.get_level_values("seed").unique()
    )


def _spearman(first: pd.Series, second: pd.Series) -> dict:
    both = pd.DataFrame({"first": first, "second": second}).dropna()
    varied = len(both) >= TASKS_TO_RANK and both.nunique().min() > 1
    return {"tasks": len(both), "rho": float(spearmanr(*both.T.to_numpy()).statistic) if varied else np.nan}


def lox_gains(table: pd.DataFrame) -> pd.DataFrame:
    """ASR after fine-tuning without and with LoX: seed, task, without, with."""
    whole = table[(table["subspace"] == "all") & (table["part"] == "whole")]
    gains = whole.pivot(index=["seed", "task"], columns="defence", values="asr").reset_index()
    return gains.rename(columns={"none": "without", "lox": "with"})


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
def _cached_bases(which: str, start: Path, end: Path, k: Rank, seed: int) -> parts.Bases:
    return parts.bases(which, _delta(start, end), k, seed)
