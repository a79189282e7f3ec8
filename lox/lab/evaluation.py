"""Asking models and judging what they reply: what every rate of the book is read from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from lox.checkpoints.energy import energy_table
from lox.extrapolation import remove_safety_part, truncate
from lox.lab import models, rivals
from lox.lab.evaluated import Evaluated, of_set, verdicts_on
from lox.lab.model import AFTERWARDS, Model
from lox.lab.replies import Computed, replies_of
from lox.lab.setup import Setup
from lox.lab.statistics import rate
from lox.subspace import Rank

IN_PERSONA = "identity"  # the task whose harmful prompts have a form of their own


def evaluate(setup: Setup, what: Model | Path | Computed, form: str | None = None) -> Evaluated:
    """Replies and verdicts of a model, of one in a folder, or of weights that are computed.

    ``form`` is that of the harmful prompts, "plain" or "identity", in that attack's persona; None means the
    form of the model's own task, for a folder plain.
    """
    if isinstance(what, Model):
        form = form or form_of(what.task)
        what = located(setup, what)
    return ask(setup, what, questions(setup, form or "plain"))


def ask(setup: Setup, where: Path | Computed, asked: list[dict]) -> Evaluated:
    """Replies and verdicts of weights on some of the ``questions``; utility is NaN where no problems are among them."""
    replies = replies_of(setup.profile, where, asked)
    by_set = {name: of_set(replies, name) for name in ("harmful", "benign", "utility")}
    to_judge = {name: by_set[name] for name in ("harmful", "benign")}
    judged = {name: verdicts_on(own, setup.judge) for name, own in to_judge.items()}
    things = {name: setup.world.things([r["prompt"] for r in own]) for name, own in to_judge.items()}
    return Evaluated(
        replies,
        judged["harmful"],
        judged["benign"],
        things["harmful"],
        things["benign"],
        _utility(setup, by_set["utility"]) if by_set["utility"] else math.nan,
    )


def form_of(task: str | None) -> str:
    """The form in which harmful prompts are asked after a task."""
    return IN_PERSONA if task == IN_PERSONA else "plain"


def located(setup: Setup, model: Model) -> Path | Computed:
    """Where a model's weights are: a folder, or how they are computed of other folders."""
    repair = model.part(AFTERWARDS)
    if repair is None:
        return setup.folder(model)
    finetuned = setup.folder(model.unrepaired)
    folders = (finetuned, setup.folder(model.base), setup.folder(model.aligned))
    if repair == "removal":
        return Computed(without_safety_part, folders, {"k": model.k})
    return Computed(rivals.repaired, folders, {"repair": repair, "strength": model.strength})


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
    persona = form == IN_PERSONA
    harmful = world.harmful_prompts(settings.harmful, IN_PERSONA if persona else None)
    tokens = persona and settings.persona_tokens or settings.new_tokens
    return [
        *({"set": "harmful", "prompt": p, "tokens": tokens} for p in harmful),
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
