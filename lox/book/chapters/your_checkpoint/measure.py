"""A pair of checkpoints made ready for the commands, and what to check before an immunised one is given away."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from lox.checkpoints.extrapolate import extrapolate_checkpoint
from lox.checkpoints.files import Checkpoint
from lox.lab import choosing, models, stages
from lox.lab.choice import Choice, Paired
from lox.lab.choosing import Measured
from lox.lab.evaluated import Evaluated
from lox.lab.evaluation import evaluate
from lox.lab.prompts import questions_of
from lox.lab.reply_file import ReplyFile
from lox.lab.setup import Setup, immunised
from lox.subspace import Rank

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")  # other weights beside those that are read
TOKENS = 64  # whose logits are compared


@dataclass(frozen=True)
class Pair:
    """A model before and after alignment, and after LoX: folders among the stages."""

    base: Path
    aligned: Path
    immunised: Path


# --- making them ----------------------------------------------------------------------------------


def ends(setup: Setup, seed: int, base: str | None, aligned: str | None) -> tuple[Path, Path]:
    """Base and aligned model as folders: the profile's own of ``seed`` or, where both are named, two of one's own,
    folders or Hub ids. ValueError where only one of the two is named."""
    if (base is None) != (aligned is None):
        raise ValueError("name both base and aligned, or neither of them")
    if base is None or aligned is None:
        model = setup.model(seed)
        return setup.folder(model.base), setup.folder(model)
    return adopted(base), adopted(aligned)


def immunised_pair(base: Path, aligned: Path, k: Rank, alpha: float) -> Pair:
    """The two with what LoX makes of them; ValueError where they do not fit together."""
    return Pair(base, aligned, immunised(base, aligned, k, alpha))


def adopted(source: str) -> Path:
    """A checkpoint that was made elsewhere as a stage, so that replies can be kept for it: links to its weights, and
    copies of what is beside them, since links that lead out of a folder are not copied along."""
    checkpoint = Checkpoint.open(source)
    files = sorted(path for path in checkpoint.folder.iterdir() if path.is_file())
    facts = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in files]

    def build(folder: Path) -> None:
        for path in files:
            if path in checkpoint.files:
                (folder / path.name).symlink_to(path.resolve())
            elif path.suffix not in WEIGHTS:
                shutil.copy(path, folder / path.name)

    return stages.stage("own", {"files": facts}, build, [adopted])


def linked(base: Path, aligned: Path, work: Path) -> None:
    """The two names, ``base`` and ``aligned``, in the folder in which the page's commands run."""
    (work / "base").symlink_to(base)
    (work / "aligned").symlink_to(aligned)


def shell(command: str, work: Path) -> str:
    """What a ``lox`` command prints when it is run in a folder; CalledProcessError if it fails."""
    words = [Path(sys.executable).with_name("lox"), *command.split()[1:]]
    return subprocess.run(words, cwd=work, check=True, stdout=subprocess.PIPE, text=True).stdout


# --- what came out --------------------------------------------------------------------------------


def rounding(alphas: tuple[float, ...], work: Path) -> pd.DataFrame:
    """The report of LoX on weights of 1 before alignment and the next number of bf16 after it, for each α."""
    for name, value in {"before": 1, "after": 1 + 2**-7}.items():
        (work / name).mkdir()
        weights = {"w": torch.full((4, 4), value, dtype=torch.bfloat16)}
        models.save_file(weights, work / name / "model.safetensors")
    reports = [
        extrapolate_checkpoint(work / "before", work / "after", work / f"moved-{alpha}", k=1, alpha=alpha)
        for alpha in alphas
    ]
    return pd.concat([report.assign(alpha=alpha) for report, alpha in zip(reports, alphas)])


def adapter_against_whole(aligned: Path, immunised: Path, adapter: Path) -> pd.DataFrame:
    """Size in MB, and the largest difference of logits from the whole checkpoint's, on ``TOKENS`` of the vocabulary.

    Rows: the whole checkpoint, the adapter attached to the aligned model, and the adapter switched off.
    """
    from peft import PeftModel

    whole, tokenizer = models.load(immunised)
    attached = PeftModel.from_pretrained(models.load(aligned)[0], adapter).eval()
    ids = torch.arange(min(TOKENS, len(tokenizer)), device=whole.device)[None]
    with torch.inference_mode():
        expected, on = whole(ids).logits, attached(ids).logits
        with attached.disable_adapter():
            off = attached(ids).logits
    mb = [sum(f.stat().st_size for f in made.glob("*.safetensors")) / 1e6 for made in (immunised, adapter)]
    return pd.DataFrame(
        {"what": what, "mb": size, "logits": float((logits - expected).abs().max())}
        for what, size, logits in (
            ("whole checkpoint", mb[0], expected),
            ("adapter attached", mb[1], on),
            ("adapter switched off", float("nan"), off),
        )
    )


# --- choosing k and α ------------------------------------------------------------------------------


def choosing_questions(setup: Setup, n: int) -> tuple[list[dict], bool]:
    """At most n harmful and n harmless prompts to choose by, and whether the harmful ones are others than those that
    the page reports. The harmless ones always are; of harmful prompts a world may have no more."""
    reported, name = setup.profile.evaluation, setup.profile.data
    sources = ("toy", "toy") if name == "toy" else ("advbench", "xstest")
    questions = questions_of(*sources, new_tokens=reported.new_tokens)
    harmful, harmless = ([q for q in questions if q["set"] == kind] for kind in ("harmful", "benign"))
    others = harmful[reported.harmful :][:n]
    return (others or harmful[:n]) + harmless[reported.benign :][:n], bool(others)


def prompts_needed(budget: float) -> int | None:
    """How many independent harmless prompts show a loss to be within a budget where not one answer is lost."""
    nothing_lost = Paired([True, True], [True, True], ["one", "other"])
    return nothing_lost.prompts_to_show_below(budget)


def measured_choice(setup: Setup, work: Path, questions: list[dict], budget: float) -> Measured:
    """What ``lox choose`` does, with the profile's judge and precision, on ``base`` and ``aligned`` in a folder."""
    kept = ReplyFile(work / "choose.jsonl")
    return choosing.of_setup(setup, work / "aligned", work / "base", questions, kept, budget=budget)


def k_and_alpha(setup: Setup, choice: Choice, k: int | None, alpha: float | None) -> tuple[Rank, float]:
    """k and α of the page: those that are given, else what the rule chose, else the profile's."""
    profile = setup.profile.lox
    taken = (choice.k, choice.alpha) if choice.alpha is not None else (profile.k, profile.alpha)
    return taken[0] if k is None else k, taken[1] if alpha is None else alpha


def evaluated_pair(setup: Setup, pair: Pair) -> dict[str, Evaluated]:
    """The aligned and the immunised model of a pair, asked and judged."""
    return {name: evaluate(setup, getattr(pair, name)) for name in ("aligned", "immunised")}
