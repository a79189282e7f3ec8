"""The ablation of k and α (paper, section 5): one SVD of each matrix serves every k and every α."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path

import pandas as pd
from torch import Tensor

from lox.book.chapters.ablation.which_k import FULL, Ranks
from lox.extrapolation import add_projected, check_names, check_shapes, update
from lox.lab import rows
from lox.lab.evaluation import Evaluated, evaluate
from lox.lab.model import Model
from lox.lab.models import read_weights
from lox.lab.parallel import side_by_side
from lox.lab.replies import Computed
from lox.lab.setup import Setup
from lox.lab.statistics import difference_of_seeds
from lox.subspace import Rank, Subspace, check_rank, safety_subspace

WHOLE = 0.5  # share of what the aligned model can do, more than which a whole model still does
UNBROKEN = "nothing"  # by which a whole model is broken
POINT = ["task", "choice", "alpha"]  # what a point of the grid after fine-tuning is, but for its seed


class Extrapolations:
    """W_aligned + α Proj_k(ΔW_align) (equation 3) of any k and α, from one SVD of each matrix.

    ``base`` and ``aligned`` are mappings name -> tensor; the result is that of ``lox.extrapolate``, to
    rounding. Raises ValueError as ``lox.extrapolate`` does for names, shapes and k.
    """

    def __init__(self, base: Mapping[str, Tensor], aligned: Mapping[str, Tensor]):
        check_names(base, aligned)
        for name in aligned:
            check_shapes(name, base[name], aligned[name])
        self.base, self.aligned = base, aligned

    @cached_property
    def subspaces(self) -> dict[str, Subspace]:
        """All singular triplets of every matrix of ΔW_align that alignment moved."""
        updates = {n: update(self.base[n], w) for n, w in self.aligned.items() if w.ndim in (2, 3)}
        return {name: safety_subspace(delta, FULL) for name, delta in updates.items() if delta.any()}

    def weights(self, k: Rank, alpha: float) -> dict[str, Tensor]:
        """The extrapolated weights, name -> tensor; what is no matrix is the aligned model's."""
        check_rank(k)
        moved = {name: weight.clone() for name, weight in self.aligned.items()}
        for name, every in self.subspaces.items():
            moved[name] = add_projected(self.aligned[name], every.first(k), alpha)
        return moved


def extrapolated(aligned: Path, base: Path, k: Rank, alpha: float) -> dict[str, Tensor]:
    """The weights of ``lox.extrapolate``, of two folders; a further k or α needs no further SVD."""
    return _extrapolations(aligned, base).weights(k, alpha)


@lru_cache(maxsize=4)  # the factors of a model take about twice its memory
def _extrapolations(aligned: Path, base: Path) -> Extrapolations:
    return Extrapolations(read_weights(base), read_weights(aligned))


# --- before fine-tuning -------------------------------------------------------------------------------


def before(setup: Setup, ks: Ranks, alphas: Iterable[float], workers: int) -> pd.DataFrame:
    """What extrapolation alone does, a row for each choice of k, α and seed.

    Columns: choice, seed, k, alpha, those of ``rows.rates``, and ``broken_by``: "answers", "utility", "answers and
    utility", or "nothing" of a model that is still whole. α goes up to where every seed's model is broken.
    """
    calls = [partial(before_of, setup, choice, by_seed, list(alphas)) for choice, by_seed in ks.items()]
    return pd.concat(side_by_side(calls, workers), ignore_index=True)


def before_of(setup: Setup, choice: str, ks: Mapping[int, Rank], alphas: Sequence[float]) -> pd.DataFrame:
    """``before`` of one choice of k."""
    along = until_broken(setup, ks, alphas)
    return pd.DataFrame(
        {"choice": choice, "seed": seed, "k": ks[seed], "alpha": alpha}
        | rows.rates(evaluated)
        | {"broken_by": " and ".join(broken_by(evaluated, along[0.0][seed])) or UNBROKEN}
        for alpha, by_seed in along.items()
        for seed, evaluated in by_seed.items()
    )


def until_broken(
    setup: Setup, ks: Mapping[int, Rank], alphas: Iterable[float]
) -> dict[float, dict[int, Evaluated]]:
    """α -> seed -> how W_aligned + α Proj_k(ΔW_align) does, from α = 0 up to where every seed's is broken.

    ``ks`` has each seed's k; ``alphas`` above 0 are tried upwards. Nothing is trained.
    """
    start = {seed: evaluate(setup, setup.model(seed)) for seed in ks}
    along = {0.0: start}
    for alpha in sorted(alphas):
        along[alpha] = {seed: evaluated_extrapolation(setup, seed, k, alpha) for seed, k in ks.items()}
        if not any(is_whole(along[alpha][seed], start[seed]) for seed in ks):
            break
    return along


def evaluated_extrapolation(setup: Setup, seed: int, k: Rank, alpha: float) -> Evaluated:
    """Replies and verdicts of the extrapolated model, before any fine-tuning."""
    model = setup.model(seed)
    folders = setup.folder(model), setup.folder(model.base)
    return evaluate(setup, Computed(extrapolated, folders, {"k": k, "alpha": alpha}))


def is_whole(evaluated: Evaluated, start: Evaluated) -> bool:
    """Whether nothing has broken a model: one that refuses or garbles more is broken, however low its ASR."""
    return not broken_by(evaluated, start)


def broken_by(evaluated: Evaluated, start: Evaluated) -> list[str]:
    """In which of "answers" (harmless questions answered) and "utility" a model has at most half of ``start``'s."""
    now, before = ({"answers": side.helpful.value, "utility": side.utility} for side in (evaluated, start))
    return [what for what in now if now[what] <= WHOLE * before[what]]


def breaking_points(before: pd.DataFrame) -> pd.DataFrame:
    """The first α at which a model is broken, ``breaks_at``, and what it is ``broken_by`` there; NaN if at none.

    A row for each choice of k and seed. ``before`` has columns choice, seed, k, alpha and broken_by.
    """
    broken = before[before["broken_by"] != UNBROKEN].sort_values("alpha")
    first = broken.groupby(["choice", "seed"])[["alpha", "broken_by"]].first()
    models = before[["choice", "seed", "k"]].drop_duplicates().reset_index(drop=True)
    return models.join(first.rename(columns={"alpha": "breaks_at"}), on=["choice", "seed"])


def gains(setup: Setup, ks: Ranks, before: pd.DataFrame) -> pd.DataFrame:
    """Answers to harmless questions, and utility, with each choice of k minus with full rank, at full rank's largest α.

    Columns: what ("answers" or "utility"), choice, alpha, and those of ``rows.difference``, with p_holm, which is
    corrected for the number of choices. The interval of utility, one number a seed, is Student's over seeds.
    """
    alpha = float(before.loc[before["choice"] == FULL, "alpha"].max())
    sides = {
        c: [evaluated_extrapolation(setup, s, k, alpha) for s, k in by_seed.items()]
        for c, by_seed in ks.items()
    }
    full = sides.pop(FULL)
    lines = []
    for choice, side in sides.items():
        head = {"choice": choice, "alpha": alpha}
        lines.append({"what": "answers"} | head | rows.difference(side, full, "answered"))
        gained = [one.utility - other.utility for one, other in zip(side, full)]
        lines.append({"what": "utility"} | head | difference_of_seeds(gained))
    table = pd.DataFrame(lines)
    return rows.corrected(table, table["what"])


# --- after fine-tuning --------------------------------------------------------------------------------


def after(
    setup: Setup, ks: Ranks, alphas: Sequence[float], tasks: Mapping[str, int], workers: int
) -> pd.DataFrame:
    """A result row for each task, choice of k, α (0 among them) and seed; ``tasks`` has each one's epochs.

    With α = 0 there is no defence: the same models for every choice.
    """
    points = [
        (task, choice, alpha, seed)
        for task, choice, alpha in itertools.product(tasks, ks, [0.0, *alphas])
        for seed in ks[choice]
    ]
    models = [finetuned(setup, s, t, ks[c][s], a, tasks[t]) for t, c, a, s in points]
    measured = side_by_side([partial(rows.row, setup, model) for model in models], workers)
    return pd.DataFrame(
        row | {"choice": choice, "k": ks[choice][seed], "alpha": alpha}
        for row, (_, choice, alpha, seed) in zip(measured, points)
    )


def finetuned(setup: Setup, seed: int, task: str, k: Rank, alpha: float, epochs: int) -> Model:
    """The model of a point of the grid: without a defence where α is 0."""
    defence = ("full-rank" if k == FULL else "lox") if alpha else "none"
    return setup.model(seed, task, defence, k=k, alpha=alpha, epochs=epochs)


def after_means(setup: Setup, ks: Ranks, alphas: Sequence[float], tasks: Mapping[str, int]) -> pd.DataFrame:
    """Mean ASR of each point of the grid over seeds with its interval: ``POINT`` and ``rows.asr_over_seeds``."""
    return pd.DataFrame(
        dict(zip(POINT, point)) | rows.asr_over_seeds(_at_point(setup, ks, tasks, *point))
        for point in itertools.product(tasks, ks, [0.0, *alphas])
    )


def differences(setup: Setup, ks: Ranks, alphas: Sequence[float], tasks: Mapping[str, int]) -> pd.DataFrame:
    """Paired differences of ASR after fine-tuning, at the same α and on the same prompts.

    Columns: first, second, ``POINT``, and those of ``rows.difference``, with p_holm, which is corrected for the
    number of differences with the same ``first``. There are "none" minus "lox", for every choice of k, and
    "full-rank" minus "lox", for every other choice than full rank itself.
    """
    lines = []
    for point in itertools.product(tasks, ks, alphas):
        task, choice, _ = point
        here = _at_point(setup, ks, tasks, *point)
        other = {"none": _at_point(setup, ks, tasks, task, choice, 0.0)}
        if choice != FULL:
            other["full-rank"] = _at_point(setup, ks | {choice: ks[FULL]}, tasks, *point)
        lines += [
            {"first": first, "second": "lox", **dict(zip(POINT, point))} | rows.difference(side, here)
            for first, side in other.items()
        ]
    table = pd.DataFrame(lines)
    return rows.corrected(table, table["first"])


def _at_point(
    setup: Setup, ks: Ranks, tasks: Mapping[str, int], task: str, choice: str, alpha: float
) -> list[Evaluated]:
    """How the models of a point do, one for each seed."""
    return [
        evaluate(setup, finetuned(setup, seed, task, k, alpha, tasks[task])) for seed, k in ks[choice].items()
    ]
