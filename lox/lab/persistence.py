"""Fine-tuning watched epoch by epoch: one run, and the model as it was after each of its epochs.

Imports what trains and nothing that measures: the stages are named by this module's code and its
imports', and a new judge should not train anything again.
"""

from __future__ import annotations

from pathlib import Path

from transformers import TrainerCallback

from lox.lab import models, stages, training


def epoch_folders(
    setup, seed: int, task: str, defence: str = "none", *, epochs: int, lr: float, share: float = 1.0
) -> list[Path]:
    """Folders of the model before fine-tuning and after each of ``epochs`` epochs of one run.

    ``setup`` is an ``experiment.Setup``; ``share`` is how much of the profile's examples of the task is
    used (the first ones), the rest of the settings are the profile's. The learning-rate schedule spans all
    epochs. Raises ValueError for a share outside (0, 1], and as ``Setup.folder`` does for bad names.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is a part of the examples, above 0 and at most 1, not {share!r}")
    start = setup.defended(seed, defence)
    settings = setup.attack_settings(task, epochs, lr)
    settings = settings.model_copy(update={"examples": max(1, round(share * settings.examples))})

    def build(folder: Path) -> None:
        data = setup.source.examples(task, settings.examples, seed, setup.own_replies)
        keep = [KeepEveryEpoch(folder)]
        training.finetune(start, data, settings, seed, setup.profile.precision, folder, keep)

    recipe = {
        "start": str(start.relative_to(stages.root())),
        "task": task,
        "settings": settings.model_dump(),
        "seed": seed,
        "data": setup.source.digest(),
        "precision": setup.profile.precision,
    }
    made = stages.stage("epochs", recipe, build, epoch_folders)
    return [start, *(epoch_folder(made, epoch) for epoch in range(1, epochs + 1))]


class KeepEveryEpoch(TrainerCallback):
    """Saves model and tokenizer at the end of each epoch."""

    def __init__(self, folder: Path):
        self.folder = folder

    def on_epoch_end(self, args, state, control, model=None, processing_class=None, **kwargs) -> None:
        models.save(model, processing_class, epoch_folder(self.folder, round(state.epoch)))


def epoch_folder(made: Path, epoch: int) -> Path:
    return made / f"epoch-{epoch}"
