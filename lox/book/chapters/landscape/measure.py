"""The safety landscape: attack success over the plane that LoX and fine-tuning span in weight space.

Source: Perin et al., "LoX", COLM 2025; safety landscapes are Peng et al.'s, NeurIPS 2024. The first
direction leads from the aligned to the LoX model, the second is the mean of the two fine-tuning updates
(from either start), orthogonalised against the first by Gram–Schmidt over all weights together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import pandas as pd
from torch import Tensor

from lox.lab import rows
from lox.lab.evaluated import Evaluated, of_set
from lox.lab.evaluation import ask, form_of, questions
from lox.lab.model import Model
from lox.lab.models import read_weights
from lox.lab.parallel import side_by_side
from lox.lab.replies import Computed
from lox.lab.setup import Setup
from lox.subspace import Rank

Weights = Mapping[str, Tensor]

SETS = ("harmful", "benign")
STARTS = {"aligned": 0.0, "lox": 1.0}  # the models that fine-tuning starts from -> x in steps
PARALLEL = 1e-5  # share of an update that rounding in float32 may leave of it outside its own direction


@dataclass(frozen=True)
class Plane:
    """The points ``origin`` + x · ``first`` + y · ``second`` of weight space.

    The directions are orthonormal over all weights together, so x and y are distances. ``x_step`` is how
    far LoX moves the aligned model, ``y_step`` the length of the mean fine-tuning update across ``first``.
    """

    origin: Weights
    first: Weights
    second: Weights
    x_step: float
    y_step: float

    def weights(self, x: float, y: float) -> dict[str, Tensor]:
        """The weights at (x, y), name -> tensor."""
        return {n: w + x * self.first[n] + y * self.second[n] for n, w in self.origin.items()}

    def coordinates(self, weights: Weights) -> tuple[float, float, float]:
        """x and y of the projection onto the plane, and the distance from it."""
        moved = _difference(weights, self.origin)
        x, y = dot(moved, self.first), dot(moved, self.second)
        rest = {name: moved[name] - x * self.first[name] - y * self.second[name] for name in moved}
        return x, y, norm(rest)


def plane(aligned: Weights, lox: Weights, finetuned: Weights, finetuned_lox: Weights) -> Plane:
    """The plane through the aligned model along LoX's step and the mean fine-tuning update.

    Four mappings name -> tensor. Raises ValueError where these two steps span no plane.
    """
    safety_step = _difference(lox, aligned)
    updates = _difference(finetuned, aligned), _difference(finetuned_lox, lox)
    finetuning_step = {name: (updates[0][name] + updates[1][name]) / 2 for name in aligned}
    x_step = norm(safety_step)
    if x_step == 0:
        raise ValueError("the LoX model is the aligned one: take an alpha other than 0")
    first = {name: t / x_step for name, t in safety_step.items()}
    along = dot(finetuning_step, first)
    across = {name: t - along * first[name] for name, t in finetuning_step.items()}
    y_step = norm(across)
    if y_step <= PARALLEL * abs(along):
        raise ValueError("fine-tuning moved the models along LoX's own step or not at all: there is no plane")
    return Plane(aligned, first, {name: t / y_step for name, t in across.items()}, x_step, y_step)


def dot(left: Weights, right: Weights) -> float:
    """Inner product over all weights together, in float64."""
    return sum(float((left[name].double() * right[name].double()).sum()) for name in left)


def norm(weights: Weights) -> float:
    """Euclidean norm over all weights together, in float64."""
    return math.sqrt(dot(weights, weights))


def at_point(
    aligned: Path, lox: Path, finetuned: Path, finetuned_lox: Path, x: float, y: float
) -> dict[str, Tensor]:
    """The weights at a point of the plane of four folders; x and y in steps."""
    spanned = plane_of(aligned, lox, finetuned, finetuned_lox)
    return spanned.weights(x * spanned.x_step, y * spanned.y_step)


@lru_cache(maxsize=2)  # a plane takes three times the memory of a model
def plane_of(*folders: Path) -> Plane:
    """The ``plane`` of the models in four folders."""
    return plane(*map(read_weights, folders))


# --- what the models at its points do -------------------------------------------------------------------


@dataclass(frozen=True)
class Landscape:
    """Attack success over the plane of one seed's models and one task.

    ``finetuned`` is the model that was fine-tuned from LoX's. Points are given in steps: x = 1 is the LoX model,
    y = 1 as far along ``Plane.second`` as the mean fine-tuning update goes. At each point ``prompts`` harmful and as
    many harmless questions are asked, the first of the profile's; None asks all.
    """

    setup: Setup
    finetuned: Model
    prompts: int | None = None

    @cached_property
    def folders(self) -> dict[str, Path]:
        """The four models that define the plane."""
        plain = self.finetuned.undefended
        models = {
            "aligned": plain.start,
            "lox": self.finetuned.start,
            "finetuned": plain,
            "finetuned_lox": self.finetuned,
        }
        return {name: self.setup.folder(model) for name, model in models.items()}

    @property
    def plane(self) -> Plane:
        return plane_of(*self.folders.values())

    def at(self, x: float, y: float) -> Evaluated:
        """What the model at a point replies, x and y in steps."""
        return self.evaluate(Computed(at_point, tuple(self.folders.values()), {"x": x, "y": y}))

    def evaluate(self, where: Path | Computed) -> Evaluated:
        """What a model replies to the questions of this landscape; no problems are worked, so utility is NaN."""
        every = questions(self.setup, form_of(self.finetuned.task))
        return ask(self.setup, where, [q for name in SETS for q in of_set(every, name)[: self.prompts]])

    def line(self, x: float, ys: Sequence[float]) -> pd.DataFrame:
        """The rates at the points (x, y) for all y.

        Columns: profile, seed, task; x_steps, y_steps, and x, y as distances; those of ``rows.rates`` but utility.
        """
        lines = []
        for y in ys:
            steps = {"x_steps": x, "y_steps": y}
            distances = {"x": x * self.plane.x_step, "y": y * self.plane.y_step}
            lines.append(self._head() | steps | distances | _rates(self.at(x, y)))
        return pd.DataFrame(lines)

    def models(self) -> pd.DataFrame:
        """The four models: x, y, distance from the plane, their rates, and the ASR of their projections onto it."""
        lines = []
        for name, folder in self.folders.items():
            x, y, distance = self.plane.coordinates(read_weights(folder))
            projection = self.at(x / self.plane.x_step, y / self.plane.y_step)
            place = {"model": name, "x": x, "y": y, "distance": distance}
            rates = _rates(self.evaluate(folder)) | {"asr_in_plane": projection.asr.value}
            lines.append(self._head() | place | rates)
        return pd.DataFrame(lines)

    def _head(self) -> dict:
        return {
            "profile": self.setup.profile.name,
            "seed": self.finetuned.seed,
            "task": self.finetuned.task,
        }


def landscape_of(
    setup: Setup, seed: int, task: str, k: Rank | None, alpha: float | None, prompts: int | None
) -> Landscape:
    """That of one seed; ``k`` and ``alpha`` of LoX are the profile's where they are None."""
    return Landscape(setup, setup.model(seed, task, "lox", k=k, alpha=alpha), prompts)


def surface(scape: Landscape, xs: Sequence[float], ys: Sequence[float], workers: int) -> pd.DataFrame:
    """The rates at every point of a grid, ``Landscape.line`` by line."""
    calls = [partial(scape.line, x, list(ys)) for x in xs]
    return pd.concat(side_by_side(calls, workers), ignore_index=True)


def lines(scapes: Sequence[Landscape], ys: Sequence[float], workers: int) -> pd.DataFrame:
    """The lines from the aligned and from the LoX model along y, of several seeds."""
    calls = [partial(scape.line, x, list(ys)) for scape in scapes for x in STARTS.values()]
    return pd.concat(side_by_side(calls, workers), ignore_index=True)


def line_means(scapes: Sequence[Landscape], ys: Sequence[float]) -> pd.DataFrame:
    """Mean ASR over seeds along the two lines with its interval: start, y_steps, asr, low, high, seeds, n, helpful."""
    means = []
    for start, x in STARTS.items():
        for y in ys:
            evaluated = [scape.at(x, y) for scape in scapes]
            helpful = sum(e.helpful.value for e in evaluated) / len(evaluated)
            means.append(
                {"start": start, "y_steps": y} | rows.asr_over_seeds(evaluated) | {"helpful": helpful}
            )
    return pd.DataFrame(means)


def comparisons(scapes: Sequence[Landscape]) -> pd.DataFrame:
    """Differences between the two starts, aligned minus LoX: what, y_steps, and those of ``rows.difference``.

    The ASR ("harmful") one step along ``Plane.second`` away, and the harmless questions "answered" before any.
    """
    return pd.DataFrame(
        {"what": what, "y_steps": y}
        | rows.difference(*([scape.at(x, y) for scape in scapes] for x in STARTS.values()), what=what)
        for what, y in (("harmful", 1.0), ("answered", 0.0))
    )


def edges(lines: pd.DataFrame, limit: float) -> pd.DataFrame:
    """The ``edge`` from either start: seed, aligned, lox."""
    return pd.DataFrame(
        {"seed": seed} | {start: edge(of_seed[of_seed["x_steps"] == x], limit) for start, x in STARTS.items()}
        for seed, of_seed in lines.groupby("seed", sort=False)
    )


def edge(line: pd.DataFrame, limit: float) -> float:
    """The first y_steps ≥ 0 at which the ASR of a line is above ``limit``; infinite if none is."""
    above = line[(line["y_steps"] >= 0) & (line["asr"] > limit)]
    return float(above["y_steps"].min()) if len(above) else math.inf


def _rates(evaluated: Evaluated) -> dict:
    return {name: value for name, value in rows.rates(evaluated).items() if name != "utility"}


def _difference(left: Weights, right: Weights) -> dict[str, Tensor]:
    return {name: left[name].float() - right[name].float() for name in right}
