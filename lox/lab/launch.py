"""Training in this process or, where a profile asks for it, in several through ``accelerate launch``.

The several call the very same ``training.align`` or ``training.finetune``. What they share, and how, is
decided by the accelerate configuration alone.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing.errors import record

from lox.lab import profile, training
from lox.lab.profile import Alignment, Profile, Training

FOLDER = profile.FOLDER / "accelerate"
LAUNCHED: dict[str, tuple[Callable[..., None], type[Training]]] = {
    "align": (training.align, Alignment),
    "finetune": (training.finetune, Training),
}
LAST_LINES = 40  # of a failed launch's output: the traceback of the process that failed first is among them


def train(
    function: Callable,
    start: Path,
    data: list[dict],
    settings: Training,
    seed: int,
    by: Profile,
    folder: Path,
    keep: Sequence[int] = (),
) -> None:
    """``training.align`` or ``training.finetune`` with the precision and in the processes that ``by`` states.

    ``keep`` are the optimisation steps after which the model is kept as well.

    Raises ChildProcessError, with the last lines of the output, if a launched process fails.
    """
    if by.accelerate is None:
        function(start, data, settings, seed, by.precision, folder, keep)
        return
    from datasets import Dataset

    job = {
        "function": function.__name__,
        "start": str(start),
        "settings": settings.model_dump(),
        "seed": seed,
        "precision": by.precision,
        "folder": str(folder),
        "keep": list(keep),
    }
    with tempfile.TemporaryDirectory() as scratch:
        Dataset.from_list(data).save_to_disk(Path(scratch, "data"))
        Path(scratch, "job.json").write_text(json.dumps(job))
        _launch(configuration(by.accelerate), scratch)


def configuration(name: str) -> Path:
    """The accelerate configuration of that name; ValueError, naming the known ones, if there is none."""
    path = FOLDER / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
        raise ValueError(f"unknown accelerate configuration {name!r}: there are {known}")
    return path


def recipe(name: str | None) -> dict:
    """What a launch adds to a stage's recipe: its configuration, which decides the total batch."""
    return {} if name is None else {"accelerate": configuration(name).read_text()}


def _launch(configuration: Path, job: str) -> None:
    """Run ``job`` in the processes of ``configuration``; their output stays out of the page."""
    gc.collect()
    torch.cuda.empty_cache()  # this process's unused memory on the first GPU is needed by the others
    command = [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(configuration), "--main_process_port", "0", "--module", "lox.lab.launch", job,
    ]  # fmt: skip
    finished = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if finished.returncode:
        last = "\n".join(finished.stdout.splitlines()[-LAST_LINES:])
        raise ChildProcessError(f"training launched with {configuration.name} failed:\n{last}")


@record  # the launcher's last words are then the traceback of the process that failed first
def run_job(job: Path) -> None:
    """One process's part of a job that ``train`` wrote into the folder ``job``."""
    from datasets import load_from_disk

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # before a model is put on "the" GPU
    given = json.loads((job / "job.json").read_text())
    function, kind = LAUNCHED[given["function"]]
    function(
        Path(given["start"]),
        load_from_disk(job / "data"),
        kind(**given["settings"]),
        given["seed"],
        given["precision"],
        Path(given["folder"]),
        given["keep"],
    )


if __name__ == "__main__":
    run_job(Path(sys.argv[1]))
