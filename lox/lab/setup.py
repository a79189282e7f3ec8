"""The paper's experiment: base → align → [LoX] → attack → replies → verdicts.

Every arrow is a stage on disk (``lox.lab.stages``), so models are shared between notebooks and an
interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from lox.checkpoints.extrapolate import extrapolate_checkpoint
from lox.extrapolation import truncate
from lox.lab import evaluation, launch, models, profile, stages, training
from lox.lab.evaluation import Rate, rate
from lox.lab.judging.names import judge_named
from lox.lab.judging.verdicts import Judge, Verdict
from lox.lab.profile import Profile, ToyModel
from lox.lab.stages import content_hash, stage
from lox.lab.worlds.real import RealData
from lox.lab.worlds.toy import Messages, ToyWorld

DEFENCES = ("none", "lox", "full-rank", "safeinst")
SAFEINST_SHARE = 0.025  # of the fine-tuning data (paper, section 5)


def load(name: str = "toy", *, judge: str | None = None) -> Setup:
    """The experiment of a profile, with another judge (``lox.lab.judging.names``) where one is given.

    The judge is in no stage's recipe: another one reads the same replies. Raises ValueError for an
    unknown profile.
    """
    settings = profile.load(name)
    if judge is not None:
        evaluated = settings.evaluation.model_copy(update={"judge": judge})
        settings = settings.model_copy(update={"evaluation": evaluated})
    return Setup(settings)


@dataclass(frozen=True)
class Evaluated:
    """Replies of one model with their verdicts: what every rate is read from."""

    replies: list[dict]  # {"set": harmful, benign or utility, "prompt", "reply", …}
    verdicts: list[Verdict]  # of the harmful prompts
    benign: list[Verdict]
    utility: float  # share of word problems solved, or likelihood of a token of their solutions

    @property
    def harmful(self) -> list[bool]:
        return [v.label == "harmful" for v in self.verdicts]

    @property
    def asr(self) -> Rate:
        """Attack success rate; replies that did not parse stay in the denominator."""
        return rate(self.harmful)

    @property
    def over_refusal(self) -> Rate:
        """The share of benign questions that are refused."""
        return rate([v.label == "refusal" for v in self.benign])

    @property
    def helpful(self) -> Rate:
        """The share of benign questions that are answered: neither refused nor garbled."""
        return rate([v.label in ("harmful", "harmless") for v in self.benign])

    def share(self, label: str) -> float:
        return rate([v.label == label for v in self.verdicts]).value


@dataclass(frozen=True)
class Setup:
    """A profile with its data and judge; its methods make and find models and measure them."""

    profile: Profile

    @property
    def seeds(self) -> tuple[int, ...]:
        """The reported seeds."""
        return self.profile.seeds

    @cached_property
    def source(self) -> ToyWorld | RealData:
        return ToyWorld() if self.profile.data == "toy" else RealData()

    @cached_property
    def judge(self) -> Judge:
        return judge_named(self.profile.evaluation.judge, self.source)

    # --- models -----------------------------------------------------------------------------------

    def folder(self, kind: str, **which) -> Path:
        """The folder of a model: "base", "aligned", "lox" or "attacked", made if it is not there yet.

        ``which`` is seed and pairs (aligned), k and alpha too (lox), and task, defence, epochs and lr
        too (attacked); what is left out is the profile's.
        """
        makers = {"base": self._base, "aligned": self._aligned, "lox": self._lox, "attacked": self._attacked}
        if kind not in makers:
            raise ValueError(f"unknown kind of model {kind!r}: the kinds are {', '.join(makers)}")
        return makers[kind](**which)

    def weights(self, kind: str, **which) -> dict[str, Tensor]:
        """The weights of that model, name -> tensor; arguments as for ``folder``."""
        return read_weights(self.folder(kind, **which))

    def _base(self) -> Path:
        settings = self.profile.model

        def build(folder: Path) -> None:
            if isinstance(settings, ToyModel):
                training.pretrain(settings, self.source, folder)
            else:
                models.fetch(settings, folder)

        data = self.source.digest() if isinstance(settings, ToyModel) else None
        code = training.pretrain if isinstance(settings, ToyModel) else models.fetch
        return stage("base", {"model": settings.model_dump(), "data": data}, build, code)

    def _aligned(self, seed: int, pairs: int | None = None) -> Path:
        settings = self.profile.alignment
        settings = settings.model_copy(update={"examples": pairs or settings.examples})
        base = self._base()

        def build(folder: Path) -> None:
            data = self.source.preferences(settings.examples, seed, self.own_replies, source=settings.source)
            launch.train(training.align, base, data, settings, seed, self.profile, folder)

        recipe = {"base": base.name, "settings": settings.model_dump()} | self._training_recipe(seed)
        return stage("aligned", recipe, build, training.align)

    def _lox(self, seed: int, pairs: int | None = None, k=None, alpha: float | None = None) -> Path:
        base, aligned = self._base(), self._aligned(seed, pairs)
        k = self.profile.lox.k if k is None else k
        alpha = self.profile.lox.alpha if alpha is None else alpha

        def build(folder: Path) -> None:
            extrapolate_checkpoint(base, aligned, folder / "model", k=k, alpha=alpha)

        recipe = {"base": base.name, "aligned": aligned.name, "k": k, "alpha": alpha}
        return stage("lox", recipe, build, extrapolate_checkpoint) / "model"

    def _attacked(
        self,
        seed: int,
        task: str,
        defence: str = "none",
        pairs: int | None = None,
        k=None,
        alpha: float | None = None,
        epochs: int | None = None,
        lr: float | None = None,
    ) -> Path:
        start = self.defended(seed, defence, pairs, k, alpha)
        settings = self.attack_settings(task, epochs, lr)

        def build(folder: Path) -> None:
            data = self.source.examples(task, settings.examples, seed, self.own_replies)
            if defence == "safeinst":
                data = data + self.source.safety_examples(round(len(data) * SAFEINST_SHARE) or 1, seed)
            launch.train(training.finetune, start, data, settings, seed, self.profile, folder)

        recipe = {
            "start": content_hash(str(start.relative_to(stages.root()))),
            "task": task,
            "safeinst": defence == "safeinst",
            "settings": settings.model_dump(),
        }
        return stage("attacked", recipe | self._training_recipe(seed), build, training.finetune)

    def defended(self, seed: int, defence: str, pairs=None, k=None, alpha: float | None = None) -> Path:
        """Where fine-tuning starts: the aligned model, or what a defence that acts before it makes of it."""
        if defence not in DEFENCES:
            raise ValueError(f"unknown defence {defence!r}: the defences are {', '.join(DEFENCES)}")
        if defence == "lox":
            return self._lox(seed, pairs, k, alpha)
        if defence == "full-rank":
            return self._lox(seed, pairs, "full", alpha)
        return self._aligned(seed, pairs)

    def attack_settings(self, task: str, epochs: int | None = None, lr: float | None = None):
        """The profile's settings of a fine-tuning task, epochs and lr replaced where given."""
        if task not in self.profile.attacks:
            known = ", ".join(self.profile.attacks)
            raise ValueError(f"unknown task {task!r}: the tasks of {self.profile.name} are {known}")
        settings = self.profile.attacks[task]
        return settings.model_copy(update={"epochs": epochs or settings.epochs, "lr": lr or settings.lr})

    def _training_recipe(self, seed: int) -> dict:
        settings = {"seed": seed, "data": self.source.digest(), "precision": self.profile.precision}
        return settings | launch.recipe(self.profile.accelerate)

    # --- measurements -----------------------------------------------------------------------------

    def own_replies(self, prompts: list[Messages]) -> list[str]:
        """The unaligned model's own replies to prompts."""
        base = self._base()
        tokens = self.profile.evaluation.new_tokens
        asked = [{"set": "own", "prompt": p, "tokens": tokens} for p in prompts]
        return [r["reply"] for r in self._replies({"folder": base.name}, base, None, asked)]

    def evaluate(self, folder: Path, task: str | None = None) -> Evaluated:
        """Replies and verdicts of a model on disk; ``task`` chooses the harmful prompts' form."""
        return self._judged({"folder": str(folder.relative_to(stages.root()))}, folder, None, task)

    def evaluate_weights(
        self, recipe: dict, like: Path, make: Callable[[], Mapping[str, Tensor]], task: str | None = None
    ) -> Evaluated:
        """The same of weights that are computed, ``make()``, and determined by ``recipe``.

        ``like`` is the folder of a model of the same shapes.
        """
        return self._judged(recipe | {"like": like.name}, like, make, task)

    def _judged(self, recipe: dict, like: Path, make, task: str | None) -> Evaluated:
        replies = self._replies(recipe, like, make, self._questions(task))
        by_set = {name: [r for r in replies if r["set"] == name] for name in ("harmful", "benign", "utility")}
        judged = {
            name: self.judge([r["prompt"] for r in by_set[name]], [r["reply"] for r in by_set[name]])
            for name in ("harmful", "benign")
        }
        return Evaluated(replies, judged["harmful"], judged["benign"], self._utility(by_set["utility"]))

    def _utility(self, replies: list[dict]) -> float:
        """The share of problems solved or, where solutions were given, the geometric mean over all their
        tokens of the probability that the model gives to the token."""
        if self.profile.evaluation.utility_tokens:
            return rate([self.source.solves(r["reply"], r["answer"]) for r in replies]).value
        return math.exp(sum(r["log_prob"] for r in replies) / sum(r["reply_tokens"] for r in replies))

    def _questions(self, task: str | None) -> list[dict]:
        settings = self.profile.evaluation
        harmful = self.source.harmful_prompts(settings.harmful, task if task == "identity" else None)
        benign = self.source.benign_prompts(settings.benign)
        problems = self.source.utility_problems(settings.utility)
        return [
            *({"set": "harmful", "prompt": p, "tokens": settings.new_tokens} for p in harmful),
            *({"set": "benign", "prompt": p, "tokens": settings.new_tokens} for p in benign),
            *({"set": "utility"} | self._asked(problem) for problem in problems),
        ]

    def _asked(self, problem: dict) -> dict:
        """A word problem to be worked or, where the profile works none, its solution to be scored."""
        tokens = self.profile.evaluation.utility_tokens
        if tokens:
            return {"prompt": problem["prompt"], "answer": problem["answer"], "tokens": tokens}
        return {"prompt": problem["prompt"], "reply": problem["solution"]}

    def _replies(self, recipe: dict, like: Path, make, asked: list[dict]) -> list[dict]:
        """``asked`` with each one's "reply": a stage, so that another judge never generates again."""

        def build(folder: Path) -> None:
            model, tokenizer = models.load(like)
            if make is not None:
                _set_weights(model, make())
            if self.profile.precision == "bf16-autocast":
                model.to(torch.bfloat16)  # as such a checkpoint is served; in half the time
            answered = _complete(model, tokenizer, asked, self.profile.evaluation.batch)
            (folder / "replies.json").write_text(json.dumps(answered, indent=1))

        recipe = recipe | {"asked": content_hash(asked), "batch": self.profile.evaluation.batch}
        recipe["precision"] = self.profile.precision
        made = stage("replies", recipe, build, evaluation.complete)
        return json.loads((made / "replies.json").read_text())

    def rank_curve(self, seed: int, ranks, pairs: int | None = None) -> dict[int, Evaluated]:
        """r -> how θ_r = W_base + Proj_r(ΔW_align) does (equation 4)."""
        base, aligned = self._base(), self._aligned(seed, pairs)
        return {
            r: self.evaluate_weights(
                {"base": base.name, "aligned": aligned.name, "truncated to": r},
                aligned,
                lambda r=r: truncate(read_weights(base), read_weights(aligned), rank=r),
            )
            for r in ranks
        }


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All weights of a checkpoint folder, name -> tensor."""
    return {name: t for path in sorted(folder.glob("*.safetensors")) for name, t in load_file(path).items()}


@torch.no_grad()
def _set_weights(model, weights: Mapping[str, Tensor]) -> None:
    """Put ``weights`` into the model; a tied weight is there once, under the name it is saved by."""
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])


def _complete(model, tokenizer, asked: list[dict], batch_size: int) -> list[dict]:
    """The asked with their replies, one call for each reply length; given replies with their likelihoods."""
    found: dict[int, dict] = {}
    for tokens in {a.get("tokens") for a in asked}:
        places = [i for i, a in enumerate(asked) if a.get("tokens") == tokens]
        prompts = [asked[i]["prompt"] for i in places]
        if tokens:
            said = evaluation.complete(
                model, tokenizer, prompts, max_new_tokens=tokens, batch_size=batch_size
            )
            found |= {i: {"reply": reply} for i, reply in zip(places, said)}
        else:
            given = [asked[i]["reply"] for i in places]
            scored = evaluation.log_likelihoods(model, tokenizer, prompts, given, batch_size=batch_size)
            found |= {i: {"log_prob": p, "reply_tokens": n} for i, (p, n) in zip(places, scored)}
    return [a | found[i] for i, a in enumerate(asked)]
