"""Asking models and judging what they reply: what every rate of the book is read from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from lox.checkpoints.energy import energy_table
from lox.extrapolation import remove_safety_part, truncate
from lox.lab import models
from lox.lab.judging.verdicts import Verdict
from lox.lab.model import AFTERWARDS, Model
from lox.lab.replies import Computed, replies_of
from lox.lab.setup import Setup
from lox.lab.statistics import Rate, rate
from lox.subspace import Rank

IN_PERSONA = "identity"  # the task whose harmful prompts have a form of their own
FORMS = ("plain", IN_PERSONA)


@dataclass(frozen=True)
class Evaluated:
    """Replies of one model with their verdicts.

    ``replies`` are {"set": harmful, benign or utility, "prompt", "reply", …}; ``things`` names what each harmful
    prompt is about; ``utility`` is the share of word problems solved, or the likelihood of a token of their
    solutions.
    """

    replies: list[dict]
    verdicts: list[Verdict]  # of the harmful prompts
    benign: list[Verdict]
    things: list[str]
    benign_things: list[str]
    utility: float

    @cached_property
    def harmful(self) -> list[bool]:
        return [v.label == "harmful" for v in self.verdicts]

    @cached_property
    def answered(self) -> list[bool]:
        """Of each benign prompt whether it is answered: neither refused nor evaded nor garbled."""
        return [v.label in ("harmful", "harmless") for v in self.benign]

    @property
    def asr(self) -> Rate:
        """Attack success rate; replies that did not parse stay in the denominator."""
        return rate(self.harmful)

    @property
    def helpful(self) -> Rate:
        """The share of benign prompts that are answered."""
        return rate(self.answered)

    @property
    def over_refusal(self) -> Rate:
        """The share of benign prompts that are refused."""
        return rate([v.label == "refusal" for v in self.benign])

    def share(self, label: str) -> float:
        """The share of harmful prompts whose reply has that label."""
        return rate([v.label == label for v in self.verdicts]).value


def evaluate(setup: Setup, what: Model | Path | Computed, form: str | None = None) -> Evaluated:
    """Replies and verdicts of a model, of one in a folder, or of weights that are computed.

    ``form`` is that of the harmful prompts, "plain" or "identity", in that attack's persona; None means the
    form of the model's own task, for a folder plain.
    """
    if isinstance(what, Model):
        form = form or form_of(what.task)
        what = located(setup, what)
    replies = replies_of(setup.profile, what, questions(setup, form or "plain"))
    by_set = {name: [r for r in replies if r["set"] == name] for name in ("harmful", "benign", "utility")}
    prompts = {name: [r["prompt"] for r in by_set[name]] for name in ("harmful", "benign")}
    judged = {name: setup.judge(prompts[name], [r["reply"] for r in by_set[name]]) for name in prompts}
    things = {name: setup.world.things(prompts[name]) for name in prompts}
    return Evaluated(
        replies,
        judged["harmful"],
        judged["benign"],
        things["harmful"],
        things["benign"],
        _utility(setup, by_set["utility"]),
    )


def form_of(task: str | None) -> str:
    """The form in which harmful prompts are asked after a task."""
    return IN_PERSONA if task == IN_PERSONA else "plain"


def located(setup: Setup, model: Model) -> Path | Computed:
    """Where a model's weights are: a folder, or how they are computed of other folders."""
    if model.defence != AFTERWARDS:
        return setup.folder(model)
    finetuned = setup.folder(model.undefended)
    folders = (finetuned, setup.folder(model.base), setup.folder(model.aligned))
    return Computed(without_safety_part, folders, {"k": model.k})


def without_safety_part(finetuned: Path, base: Path, aligned: Path, k: Rank):
    """The weights of ``lox.extrapolation.remove_safety_part``, of three folders."""
    return remove_safety_part(*map(models.read_weights, (base, aligned, finetuned)), k=k)


def truncated(aligned: Path, base: Path, rank: int):
    """The weights of θ_r = W_base + Proj_r(ΔW_align) (equation 4), of two folders."""
    return truncate(models.read_weights(base), models.read_weights(aligned), rank=rank)


def rank_curve(
    setup: Setup, seed: int, ranks: Iterable[int], pairs: int | None = None
) -> dict[int, Evaluated]:
    """r -> how θ_r = W_base + Proj_r(ΔW_align) does (equation 4)."""
    model = setup.model(seed, pairs=pairs)
    folders = setup.folder(model), setup.folder(model.base)
    return {r: evaluate(setup, Computed(truncated, folders, {"rank": r})) for r in ranks}


def energy(setup: Setup, model: Model, k: Rank):
    """``lox.checkpoints.energy.energy_table`` of a model against its base and its aligned model."""
    base, aligned, where = setup.folder(model.base), setup.folder(model.aligned), located(setup, model)
    measured = partial(energy_table, base, aligned, k=k)
    if isinstance(where, Path):
        return measured(where)
    with models.temporary(where.weights()) as folder:
        return measured(folder)


def questions(setup: Setup, form: str) -> list[dict]:
    """All that a model is asked: harmful and benign prompts, and problems to work or solutions to score."""
    settings, world = setup.profile.evaluation, setup.world
    harmful = world.harmful_prompts(settings.harmful, IN_PERSONA if form == IN_PERSONA else None)
    return [
        *({"set": "harmful", "prompt": p, "tokens": settings.new_tokens} for p in harmful),
        *(
            {"set": "benign", "prompt": p, "tokens": settings.new_tokens}
            for p in world.benign_prompts(settings.benign)
        ),
        *(
            {"set": "utility"} | _problem(setup, problem)
            for problem in world.utility_problems(settings.utility)
        ),
    ]


def _problem(setup: Setup, problem: dict) -> dict:
    """A word problem to be worked or, where the profile works none, its solution to be scored."""
    tokens = setup.profile.evaluation.utility_tokens
    if tokens:
        return {"prompt": problem["prompt"], "answer": problem["answer"], "tokens": tokens}
    return {"prompt": problem["prompt"], "reply": problem["solution"]}


def _utility(setup: Setup, replies: list[dict]) -> float:
    """The share of problems solved or, where solutions were given, the geometric mean over all their tokens
    of the probability that the model gives to the token."""
    if setup.profile.evaluation.utility_tokens:
        return rate([setup.world.solves(r["reply"], r["answer"]) for r in replies]).value
    return math.exp(sum(r["log_prob"] for r in replies) / sum(r["reply_tokens"] for r in replies))
