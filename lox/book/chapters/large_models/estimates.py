"""The chapter's estimates as tables: what each profile's runs are, what they take, and what was counted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import yaml
from transformers import AutoConfig, PretrainedConfig

from lox.book.chapters.large_models import measure
from lox.lab import launch
from lox.lab.profile import Profile, Training

GPU_GB = 80.0  # of the GPUs that the profiles' settings are for
COUNTED_TOKENS = 128


def config(profile: Profile) -> PretrainedConfig:
    """The configuration of a profile's model; KeyError for one that ``measure.CONFIGS`` lacks."""
    return measure.CONFIGS[profile.model.source]


def gpus(profile: Profile) -> int:
    """The number of processes, one for each GPU, of a profile's accelerate configuration."""
    return yaml.safe_load(launch.configuration(profile.accelerate).read_text())["num_processes"]


def runs(profile: Profile) -> dict[str, Training]:
    """Task -> settings, "alignment" first."""
    return {"alignment": profile.alignment, **profile.attacks}


def settings(profiles: Mapping[str, Profile]) -> pd.DataFrame:
    """A row for each run: profile, task, examples, epochs, batch (its factors), total (their product), lr."""
    return pd.DataFrame(
        {"profile": name, "task": task, "examples": run.examples, "epochs": run.epochs}
        | {"batch": f"{gpus(one)} × {run.batch} × {run.accumulation}"}
        | {"total": gpus(one) * run.batch * run.accumulation, "lr": run.lr}
        for name, one in profiles.items()
        for task, run in runs(one).items()
    )


def checked(configs: Mapping[str, PretrainedConfig]) -> pd.DataFrame:
    """Weights and operations by the formulas and as counted, a row for each model."""
    rows = []
    for name, one in configs.items():
        weights, operations = measure.counted(one, COUNTED_TOKENS)
        formula = 6 * measure.multiplied(one) * COUNTED_TOKENS
        rows.append(
            {"model": name, "weights": measure.parameters(one), "counted_weights": weights}
            | {"operations": formula, "counted_operations": operations}
        )
    return pd.DataFrame(rows)


def on_disk(base: Path) -> tuple[float, float]:
    """Megabytes of a float32 model's weights: of its files, and by the formula."""
    size = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    return size / 1e6, measure.FLOAT32 * measure.parameters(AutoConfig.from_pretrained(base)) / 1e6


def memory(profiles: Mapping[str, Profile], tasks: tuple[str, ...] = ("alignment", "gsm8k")) -> pd.DataFrame:
    """Gigabytes on each GPU in a step of full-length sequences: columns profile, task, part, gb."""
    return pd.DataFrame(
        {"profile": name, "task": task, "part": part, "gb": gb}
        for name, one in profiles.items()
        for task in tasks
        for part, gb in measure.memory(config(one), runs(one)[task], gpus(one)).items()
    )


def held(profiles: Mapping[str, Profile]) -> pd.DataFrame:
    """Gigabytes that a model in training holds for its weights, whatever it reads: columns profile, gb."""
    return pd.DataFrame(
        {"profile": name, "gb": measure.HELD * measure.FLOAT32 * measure.parameters(config(one)) / measure.GB}
        for name, one in profiles.items()
    )


def outside(profiles: Mapping[str, Profile]) -> pd.DataFrame:
    """Gigabytes that lie outside a step: one whole model, all processes' together, and all models on disk."""
    rows = []
    for name, one in profiles.items():
        whole = measure.FLOAT32 * measure.parameters(config(one)) / measure.GB
        kept = 1 + len(one.seeds) * (2 + 2 * len(one.attacks))
        rows.append({"profile": name, "whole": whole, "loading": gpus(one) * whole, "disk": kept * whole})
    return pd.DataFrame(rows)


def hours(
    profiles: Mapping[str, Profile],
    lengths: pd.DataFrame,
    *,
    tflops: float,
    utilisation: float,
    characters: float,
) -> pd.DataFrame:
    """GPU hours of each run: columns profile, task, hours.

    ``lengths`` is ``lengths.recorded``'s, ``tflops`` a GPU's peak, ``characters`` those of a token.
    """
    mean, speed = lengths.set_index("task")["characters"], tflops * 1e12 * utilisation
    return pd.DataFrame(
        {"profile": name, "task": task}
        | {"hours": measure.training_flops(config(one), run, mean[task] / characters) / speed / 3600}
        for name, one in profiles.items()
        for task, run in runs(one).items()
    )


def robustness(profiles: Mapping[str, Profile], hours: pd.DataFrame, bandwidth: float) -> pd.DataFrame:
    """Hours of the chapter on robustness, all seeds: columns profile, gpu_hours, training, replies, all.

    For each seed one alignment, every attack without and with LoX, and the replies of all those models.
    """
    rows = []
    for name, one in profiles.items():
        each = hours[hours["profile"] == name].set_index("task")["hours"]
        gpu_hours = len(one.seeds) * (each["alignment"] + 2 * each.drop("alignment").sum())
        models = len(one.seeds) * (2 + 2 * len(one.attacks))
        replies = models * measure.reply_seconds(config(one), one.evaluation, bandwidth) / 3600
        training = gpu_hours / gpus(one)
        rows.append(
            {"profile": name, "gpus": gpus(one), "gpu_hours": gpu_hours, "training": training}
            | {"replies": replies, "all": training + replies}
        )
    return pd.DataFrame(rows)
