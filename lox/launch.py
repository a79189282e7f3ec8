"""Training in processes that ``accelerate launch`` starts: for models that one GPU does not hold.

The processes call the very functions of ``lox.training`` that are otherwise called here; how many there are,
and how they share the model (FSDP), is said by a configuration of accelerate.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from datasets import Dataset, load_from_disk

from lox import profile, training
from lox.profile import Alignment, Training

CONFIGURATIONS = profile.FOLDER / "accelerate"
JOBS = {"align": (training.align, Alignment), "finetune": (training.finetune, Training)}


def train(
    kind: str,
    accelerate: str | None,
    start: Path,
    data: list[dict],
    settings: Training,
    seed: int,
    precision: str,
    folder: Path,
) -> None:
    """``training.align`` or ``training.finetune`` ("align", "finetune") with these arguments.

    With ``accelerate``, a file of ``CONFIGURATIONS`` without its ending, in processes of their own. Raises
    ValueError for an unknown one, and ChildProcessError, with the last that was said, if they fail.
    """
    if accelerate is None:
        JOBS[kind][0](start, Dataset.from_list(data), settings, seed, precision, folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        # Data on disk, so that what one process derives from it the others find.
        Dataset.from_list(data).save_to_disk(f"{scratch}/data")
        job = [kind, str(start), f"{scratch}/data", settings.model_dump(), seed, precision, str(folder)]
        file = Path(scratch) / "job.json"
        file.write_text(json.dumps(job))
        _launch(accelerate, file)


def _launch(accelerate: str, job: Path) -> None:
    configuration = CONFIGURATIONS / f"{accelerate}.yaml"
    if not configuration.exists():
        known = ", ".join(sorted(path.stem for path in CONFIGURATIONS.glob("*.yaml")))
        raise ValueError(f"no configuration of accelerate {accelerate!r}: there are {known}")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(configuration)]
    done = subprocess.run(
        [*command, "-m", "lox.launch", str(job)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise ChildProcessError(f"training with accelerate ({accelerate}) failed:\n{done.stdout[-4000:]}")


def _run(job: Path) -> None:
    """What each of the launched processes does."""
    kind, start, data, settings, seed, precision, folder = json.loads(job.read_text())
    function, of_settings = JOBS[kind]
    function(Path(start), load_from_disk(data), of_settings(**settings), seed, precision, Path(folder))


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
