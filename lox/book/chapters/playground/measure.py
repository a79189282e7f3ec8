"""What the playground stores: models of an experiment's toy world, made if they are not there yet."""

from __future__ import annotations

from collections.abc import Iterable

from lox.book.chapters.playground.export import Attacked, export
from lox.book.names import TASK_NAMES
from lox.lab.setup import Setup


def stored_models(
    setup: Setup,
    *,
    seed: int,
    stored: Iterable[str],
    attacks: Iterable[str],
    k: int | None = None,
    alpha: float | None = None,
    held_out: int = 20,
) -> dict | None:
    """What the page is given (``export``), or None for a profile without the toy world.

    ``stored`` are the tasks whose attacked models go in, without and with LoX of ``k`` and ``alpha``;
    ``attacks`` are those that the reader can run, with the examples of that seed.
    """
    if setup.profile.data != "toy":
        return None
    lox = setup.model(seed, defence="lox", k=k, alpha=alpha)
    models = [
        setup.model(seed, task, defence, k=k, alpha=alpha) for task in stored for defence in ("none", "lox")
    ]
    return export(
        setup.world,
        setup.folder(lox.base),
        setup.folder(lox.aligned),
        attacked=[
            Attacked(model.task, TASK_NAMES[model.task], setup.folder(model), model.k, model.alpha or 0.0)
            for model in models
        ],
        attacks={
            task: (TASK_NAMES[task], setup.attack(task), setup.training_rows(setup.model(seed, task)))
            for task in attacks
        },
        lox=(lox.k, lox.alpha),
        held_out=held_out,
    )
