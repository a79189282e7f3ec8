"""The experiment of a profile: its data, and the models that it makes.

base → align → [a defence's step] → fine-tune: every arrow is a stage on disk (``lox.lab.stages``), so models are
shared between notebooks and an interrupted run goes on where it was. Asking and judging them is
``lox.lab.evaluation``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import cast

from torch import Tensor

from lox.checkpoints.extrapolate import extrapolate_weights
from lox.lab import bases, controls, finetuning, launch, models, profile, replies, stages, training
from lox.lab.fingerprint import content_hash
from lox.lab.judging.names import judge_named
from lox.lab.judging.verdicts import Judge
from lox.lab.model import AFTERWARDS, DEFENCES, DURING, LONGER, MIXED_IN, SLOWER, STEPS, Model
from lox.lab.profile import Profile, Schedule, ToyModel, Training
from lox.lab.rivals import STRENGTHS
from lox.lab.worlds import World, world_named
from lox.lab.worlds.messages import Messages
from lox.lab.worlds.toy import ToyWorld
from lox.subspace import Rank

SAFEINST_SHARE = 0.025  # of the fine-tuning data (paper, section 5)
INSIDE = "model"  # the folder of a stage that holds an extrapolated checkpoint


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


def immunised(base: Path, aligned: Path, k: Rank, alpha: float) -> Path:
    """The folder of what LoX makes of the models of two stages, a stage too; ValueError where they do not fit."""
    recipe = {"base": base.name, "aligned": aligned.name, "k": k, "alpha": alpha}

    def build(folder: Path) -> None:
        extrapolate_weights(base, aligned, folder / INSIDE, k=k, alpha=alpha)

    return stages.stage("lox", recipe, build, [extrapolate_weights]) / INSIDE


@dataclass(frozen=True)
class Setup:
    """A profile with its data and judge; describes models, makes them, and says where they are."""

    profile: Profile

    @property
    def seeds(self) -> tuple[int, ...]:
        """The reported seeds of a run."""
        return self.profile.seeds

    @cached_property
    def world(self) -> World:
        return world_named(self.profile.data, self.profile.stand_ins)

    @cached_property
    def judge(self) -> Judge:
        return judge_named(self.profile.evaluation.judge, self.world)

    # --- what a model is --------------------------------------------------------------------------

    def model(
        self,
        seed: int,
        task: str | None = None,
        defence: str = "none",
        *,
        pairs: int | None = None,
        k: Rank | None = None,
        alpha: float | None = None,
        examples: int | None = None,
        lr: float | None = None,
        schedule: Schedule | None = None,
        epochs: int | None = None,
        strength: float | None = None,
    ) -> Model:
        """The description of a model; what is None is the profile's. ValueError for unknown names."""
        if defence not in DEFENCES:
            raise ValueError(f"unknown defence {defence!r}: the defences are {', '.join(DEFENCES)}")
        lox, settings = self.profile.lox, None if task is None else self.attack(task)
        parts = defence.split("+")
        uses_alpha = any(part in STEPS for part in parts)
        uses_k = uses_alpha or defence == "removal"
        tuned = next((STRENGTHS[part] for part in parts if part in STRENGTHS), None)
        chosen_k = "full" if defence == "full-rank" else lox.k if k is None else k
        return Model(
            seed=seed,
            pairs=self.profile.alignment.examples if pairs is None else pairs,
            defence=defence,
            k=chosen_k if uses_k else None,
            alpha=(lox.alpha if alpha is None else alpha) if uses_alpha else None,
            task=task,
            examples=settings and (examples or settings.examples),
            lr=settings and (lr or settings.lr),
            schedule=settings and (schedule or settings.schedule),
            epochs=settings and (epochs or settings.epochs),
            strength=tuned if tuned is None or strength is None else strength,
        )

    def attack(self, task: str) -> Training:
        """The profile's settings of a fine-tuning task; ValueError for an unknown one."""
        if task not in self.profile.attacks:
            known = ", ".join(self.profile.attacks)
            raise ValueError(f"unknown task {task!r}: the tasks of {self.profile.name} are {known}")
        return self.profile.attacks[task]

    # --- where it is ------------------------------------------------------------------------------

    def folder(self, model: Model) -> Path:
        """The folder of a model, made if it is not there yet.

        Raises ValueError for the model of a defence that acts after fine-tuning: it is computed, not kept
        (``lox.lab.evaluation.computed``).
        """
        if afterwards := model.part(AFTERWARDS):
            raise ValueError(f"{afterwards} acts on weights after fine-tuning and leaves no folder")
        if model.task is not None:
            return self._finetuned(model)
        if model.defence in STEPS:
            return self._stepped(model)
        return self._aligned(model) if model.pairs else self._base(model)

    def weights(self, model: Model) -> dict[str, Tensor]:
        """The weights of a model, name -> tensor."""
        return models.read_weights(self.folder(model))

    def course(self, model: Model, steps: Sequence[int]) -> dict[int, Path]:
        """Optimisation step -> folder of the model as it was after it, of one run of its fine-tuning.

        Step 0 is where fine-tuning starts; the last of ``steps`` may lie beyond the run only where ValueError
        is what is wanted. The run is that of ``folder``, with its states kept.
        """
        kept = sorted({step for step in steps if step})
        made = self._finetuned(model, tuple(kept))
        return {0: self.folder(model.start)} | {step: training.step_folder(made, step) for step in kept}

    def finetuned_by(self, model: Model, method: Callable, options: dict, keep: tuple[int, ...] = ()) -> Path:
        """The folder of a model whose fine-tuning is of ``lox.lab.finetuning`` instead of with all weights free.

        ``options`` are the method's, plain data or folders of stages; ``keep`` are steps that are kept too.
        ValueError where the profile trains in several processes, for which these methods are not made.
        """
        if self.profile.accelerate:
            raise ValueError(f"{method.__name__} trains in one process, and {self.profile.name} in several")
        start, rows, settings = self._finetuning(model)
        told = {name: stages.name(o) if isinstance(o, Path) else o for name, o in options.items()}
        recipe = {"options": told}
        return self._trained("attacked", method, start, rows, settings, model.seed, keep, options, recipe)

    def steps(self, model: Model) -> int:
        """The number of optimisation steps of a model's fine-tuning."""
        settings = self.attack(model.task).model_copy(update={"epochs": model.epochs})
        return settings.steps(len(self.training_rows(model)))

    def _base(self, model: Model) -> Path:
        settings = self.profile.model
        if not isinstance(settings, ToyModel):
            recipe = {"model": settings.model_dump(), "as_found": models.as_found(settings)}
            return stages.stage("base", recipe, lambda folder: models.fetch(settings, folder), [models.fetch])
        return bases.base(settings, cast(ToyWorld, self.world), model.seed)

    def _aligned(self, model: Model) -> Path:
        settings, rows = self.profile.alignment, self.training_rows(model)
        if model.defence == LONGER:
            settings = settings.model_copy(update={"epochs": round(settings.epochs * model.strength)})
        return self._trained("aligned", training.align, self._base(model.base), rows, settings, model.seed)

    def _stepped(self, model: Model) -> Path:
        base, aligned = self.folder(model.base), self.folder(model.aligned)
        if model.defence in ("lox", "full-rank"):
            return immunised(base, aligned, model.k, model.alpha)
        step = {"random": controls.random_step, "bottom": controls.bottom_step}[model.defence]

        def build(folder: Path) -> None:
            moved = step(
                models.read_weights(base), models.read_weights(aligned), model.k, model.alpha, model.seed
            )
            models.save_weights(moved, aligned, folder / INSIDE)

        recipe = {"base": base.name, "aligned": aligned.name, "k": model.k, "alpha": model.alpha}
        recipe["seed"] = model.seed
        return stages.stage(model.defence, recipe, build, [step, models.save_weights]) / INSIDE

    def _finetuned(self, model: Model, keep: tuple[int, ...] = ()) -> Path:
        if during := model.part(DURING):
            method = {"guarded": finetuning.guarded, "proximal": finetuning.proximal}[during]
            return self.finetuned_by(model, method, {"strength": model.strength}, keep)
        return self._trained("attacked", training.finetune, *self._finetuning(model), model.seed, keep)

    def _finetuning(self, model: Model) -> tuple[Path, list[dict], Training]:
        """Where a model's fine-tuning starts, on which examples, with which settings."""
        changed = {name: getattr(model, name) for name in ("examples", "lr", "schedule", "epochs")}
        if model.part((SLOWER,)):
            changed["lr"] *= model.strength
        settings = self.attack(model.task).model_copy(update=changed)
        return self.folder(model.start), self.training_rows(model), settings

    def _trained(
        self,
        kind,
        function,
        start: Path,
        rows,
        settings: Training,
        seed: int,
        keep=(),
        options=None,
        more=None,
    ) -> Path:
        """The stage of a training run: ``rows`` stand in its recipe as they are, by their hash.

        ``options`` go to the function, ``more`` into the recipe.
        """
        call = partial(function, **options) if options else function

        def build(folder: Path) -> None:
            launch.train(call, start, rows, settings, seed, self.profile, folder, keep)

        recipe = {
            "start": stages.name(start),
            "data": content_hash(rows),
            "settings": settings.model_dump(),
            "seed": seed,
            "precision": self.profile.precision,
        }
        if keep:
            recipe["keep"] = list(keep)
        recipe |= launch.recipe(self.profile.accelerate) | (more or {})
        return stages.stage(kind, recipe, build, [function])

    # --- what it is trained on --------------------------------------------------------------------

    def training_rows(self, model: Model) -> list[dict]:
        """The preference pairs of an aligned model, or the examples of a fine-tuned one."""
        # what the data do not depend on is left out
        key = replace(model, k=None, alpha=None, lr=None, schedule=None, epochs=None, strength=None)
        if key not in self._rows:
            self._rows[key] = self._pairs(model) if model.task is None else self._examples(model)
        return self._rows[key]

    @cached_property
    def _rows(self) -> dict[Model, list[dict]]:
        return {}

    def _pairs(self, model: Model) -> list[dict]:
        source = self.profile.alignment.source
        return self.world.preferences(model.pairs, model.seed, self._reply_of(model.base), source)

    def _examples(self, model: Model) -> list[dict]:
        rows = self.world.examples(model.task, model.examples, model.seed, self._reply_of(model.base))
        if model.part((MIXED_IN,)):
            rows = rows + self.world.safety_examples(round(len(rows) * SAFEINST_SHARE) or 1, model.seed)
        return rows

    def _reply_of(self, base: Model):
        """The unaligned model's own replies, for a world that makes training data of them."""

        def reply(prompts: list[Messages]) -> list[str]:
            tokens = self.profile.evaluation.new_tokens
            questions = [{"set": "own", "prompt": prompt, "tokens": tokens} for prompt in prompts]
            return [r["reply"] for r in replies.replies_of(self.profile, self.folder(base), questions)]

        return reply
