"""The safety landscape: attack success over the plane that LoX and fine-tuning span in weight space.

Source: Perin et al., "LoX", COLM 2025; safety landscapes are Peng et al.'s, NeurIPS 2024. The first
direction leads from the aligned to the LoX model, the second is the mean of the two fine-tuning updates
(from either start), orthogonalised against the first by Gram–Schmidt over all weights together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from lox.lab import evaluation, models, stages
from lox.lab.setup import Evaluated, Setup, read_weights
from lox.lab.stages import content_hash, stage
from lox.subspace import Rank

Weights = Mapping[str, Tensor]

SETS = ("harmful", "benign")
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

    def weight(self, name: str, x: float, y: float) -> Tensor:
        """The weight of that name at (x, y)."""
        return self.origin[name] + x * self.first[name] + y * self.second[name]

    def coordinates(self, weights: Weights) -> tuple[float, float, float]:
        """x and y of the nearest point of the plane, and the distance from it."""
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


@dataclass(frozen=True)
class Landscape:
    """Attack success over the plane of one seed's models and one task.

    Points are given in steps: x = 1 is the LoX model, y = 1 one mean fine-tuning update further on.
    ``k`` and ``alpha`` are the profile's where they are None. At each point ``prompts`` harmful and as many
    harmless questions are asked, the first of the profile's; None asks all.
    """

    setup: Setup
    seed: int
    task: str
    k: Rank | None = None
    alpha: float | None = None
    prompts: int | None = None

    @cached_property
    def folders(self) -> dict[str, Path]:
        """The four models that define the plane."""
        lox = {"k": self.k, "alpha": self.alpha}
        attack = {"seed": self.seed, "task": self.task}
        return {
            "aligned": self.setup.folder("aligned", seed=self.seed),
            "lox": self.setup.folder("lox", seed=self.seed, **lox),
            "finetuned": self.setup.folder("attacked", **attack),
            "finetuned_lox": self.setup.folder("attacked", **attack, defence="lox", **lox),
        }

    @cached_property
    def plane(self) -> Plane:
        return plane(**{name: read_weights(folder) for name, folder in self.folders.items()})

    @cached_property
    def asked(self) -> list[dict]:
        """{"set": harmful or benign, "prompt"}: from what every other page asks after this task."""
        return [{name: r[name] for name in ("set", "prompt")} for r in self._answered("aligned")]

    def surface(self, xs: Sequence[float], ys: Sequence[float]) -> pd.DataFrame:
        """The rates at every point of a grid, ``line`` by line."""
        return pd.concat([self.line(x, ys) for x in xs], ignore_index=True)

    def line(self, x: float, ys: Sequence[float]) -> pd.DataFrame:
        """The rates at the points (x, y) for all y; their replies are one stage on disk.

        Columns: profile, seed, task; x_steps, y_steps, and x, y as distances; n, asr and its Wilson
        interval, unparsed, gibberish; helpful and over_refusal.
        """
        where = {"profile": self.setup.profile.name, "seed": self.seed, "task": self.task}
        rows = []
        for y, replies in zip(ys, self._replies(x, ys)):
            steps = {"x_steps": x, "y_steps": y}
            distances = {"x": x * self.plane.x_step, "y": y * self.plane.y_step}
            answered = [a | {"reply": reply} for a, reply in zip(self.asked, replies, strict=True)]
            rows.append(where | steps | distances | self._rates(answered))
        return pd.DataFrame(rows)

    def models(self) -> pd.DataFrame:
        """The four models: x, y, distance from the plane, and the rates there and at the point below."""
        rows = []
        for name, folder in self.folders.items():
            x, y, distance = self.plane.coordinates(read_weights(folder))
            below = self.line(x / self.plane.x_step, [y / self.plane.y_step]).iloc[0]
            place = {"seed": self.seed, "model": name, "x": x, "y": y, "distance": distance}
            rows.append(place | self._rates(self._answered(name)) | {"asr_in_plane": below["asr"]})
        return pd.DataFrame(rows)

    def _answered(self, model: str) -> list[dict]:
        """The first ``prompts`` of each set, with the replies of one of the four models."""
        replies = self.setup.evaluate(self.folders[model], self.task).replies
        return [r for name in SETS for r in [r for r in replies if r["set"] == name][: self.prompts]]

    def _rates(self, answered: list[dict]) -> dict:
        judged = {
            name: self.setup.judge(
                [a["prompt"] for a in answered if a["set"] == name],
                [a["reply"] for a in answered if a["set"] == name],
            )
            for name in SETS
        }
        found = Evaluated(answered, judged["harmful"], judged["benign"], utility=math.nan)
        asr = found.asr
        return {
            "n": asr.n,
            "asr": asr.value,
            "asr_low": asr.low,
            "asr_high": asr.high,
            "unparsed": found.share("unparsed"),
            "gibberish": found.share("gibberish"),
            "helpful": found.helpful.value,
            "over_refusal": found.over_refusal.value,
        }

    def _replies(self, x: float, ys: Sequence[float]) -> list[list[str]]:
        settings = self.setup.profile.evaluation
        recipe = {
            "models": {name: str(f.relative_to(stages.root())) for name, f in self.folders.items()},
            "x": x,
            "ys": list(ys),
            "asked": content_hash(self.asked),
            "tokens": settings.new_tokens,
            "batch": settings.batch,
        }

        def build(folder: Path) -> None:
            (folder / "replies.json").write_text(json.dumps([self._reply(x, y) for y in ys], indent=1))

        return json.loads((stage("landscape", recipe, build, Landscape) / "replies.json").read_text())

    @torch.no_grad()
    def _reply(self, x: float, y: float) -> list[str]:
        """Replies at a point: one model is kept in memory, and only its weights are changed."""
        model, tokenizer = self._model
        for name, parameter in model.named_parameters():
            parameter.copy_(self.plane.weight(name, x * self.plane.x_step, y * self.plane.y_step))
        settings = self.setup.profile.evaluation
        return evaluation.complete(
            model,
            tokenizer,
            [a["prompt"] for a in self.asked],
            max_new_tokens=settings.new_tokens,
            batch_size=settings.batch,
        )

    @cached_property
    def _model(self):
        return models.load(self.folders["aligned"])


def edge(line: pd.DataFrame, limit: float) -> float:
    """The first y_steps ≥ 0 at which the ASR of a ``line`` is above ``limit``; infinite if none is."""
    above = line[(line["y_steps"] >= 0) & (line["asr"] > limit)]
    return float(above["y_steps"].min()) if len(above) else math.inf


def _difference(left: Weights, right: Weights) -> dict[str, Tensor]:
    return {name: left[name].float() - right[name].float() for name in right}
