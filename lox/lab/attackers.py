"""Attackers who know: what somebody does with published weights, by training and without any.

An attacker is a name. Some change the weights by arithmetic, one puts the first words into the model's mouth, the
others fine-tune on harmful examples by a method of their own. "int8" and "int4" mean no harm: rounding is an
accident that happens to every published model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lox.checkpoints.pair import EMBEDDINGS, HEADS, kind
from lox.extrapolation import extrapolate
from lox.lab import finetuning, models, stages
from lox.lab.evaluation import Evaluated, evaluate, questions
from lox.lab.fingerprint import content_hash
from lox.lab.model import Model
from lox.lab.profile import Evaluation
from lox.lab.refusal_direction import without_refusal
from lox.lab.replies import Computed, complete, loaded, prompt_texts
from lox.lab.setup import Setup
from lox.lab.worlds.messages import Messages
from lox.subspace import Rank

UNTRAINED = ("nothing", "base", "refusal-direction", "prefill", "int8", "int4")
UNDOING = ("undo", "pair")  # with a number: how many times the safety part is taken back
TRAINED = ("full", "inside", "outside")
METHODS = ("lora", "rate")  # with a number: the rank, or the multiple of the learning rate
HARMFUL, HARMLESS = "pure_bad", "alpaca"  # the tasks whose prompts tell refusal's direction
BLOCK = 32  # weights that share a scale when they are rounded, as in GGUF's Q8_0 and Q4_0


def split(attacker: str) -> tuple[str, float | None]:
    """ "lora-8" as ("lora", 8.0), "full" as ("full", None); ValueError, naming the known ones, for no attacker."""
    kind, _, number = attacker.rpartition("-")
    if attacker in (*UNTRAINED, *TRAINED):
        return attacker, None
    form = r"\d+" if kind == "lora" else r"\d+(\.\d+)?"
    if kind in (*UNDOING, *METHODS) and re.fullmatch(form, number) and float(number) > 0:
        return kind, float(number)
    numbered = (f"{kind}-NUMBER" for kind in (*UNDOING, *METHODS))
    known = ", ".join((*UNTRAINED, *TRAINED, *numbered))
    raise ValueError(f"unknown attacker {attacker!r}: there are {known}")


def trains(attacker: str) -> bool:
    """Whether an attacker fine-tunes; ValueError for an unknown one."""
    return split(attacker)[0] in (*TRAINED, *METHODS)


def course(setup: Setup, model: Model, attacker: str, k: Rank, steps: Sequence[int]) -> dict[int, Path]:
    """Optimisation step -> folder of ``model`` as it is after it, fine-tuned the attacker's way; 0 is the start.

    ``k`` is the rank of the subspace inside or outside of which two of them stay.
    """
    kept = tuple(sorted({step for step in steps if step}))
    kind, number = split(attacker)
    if kind in ("full", "rate"):  # which differ in the learning rate of the model's description
        made = setup.course(model, kept)
        return {step: made[step] for step in sorted({0, *kept})}
    if attacker in finetuning.SIDES:
        options = {"base": setup.folder(model.base), "k": k, "side": attacker}
        made = setup.finetuned_by(model, finetuning.restricted, options, kept)
    else:
        made = setup.finetuned_by(model, finetuning.lora, {"rank": int(number or 0)}, kept)
    return {0: setup.folder(model.start)} | {s: finetuning.training.step_folder(made, s) for s in kept}


def after(setup: Setup, attacker: str, published: Model, k: Rank, opening: str) -> Evaluated:
    """What an attacker who does not train gets out of a published model.

    ``k`` is the rank that is taken back, ``opening`` what is put into the model's mouth. The pair of weights tells
    an attacker nothing where only the aligned model was published: then it is the model as it is.
    ValueError for an attacker who trains, or whom there is not.
    """
    folder, base, aligned = (setup.folder(m) for m in (published, published.base, published.aligned))
    if attacker == "prefill":
        return prefilled(setup, folder, opening)
    what: Path | Computed = folder
    kind, number = split(attacker)
    if kind == "undo":
        what = Computed(undone, (folder, base), {"k": k, "times": number})
    elif kind == "base":
        what = base
    elif kind == "pair" and published.alpha and number:
        what = Computed(beyond, (aligned, folder), {"scale": number / published.alpha})
    elif kind == "refusal-direction":
        what = Computed(without_refusal, (folder,), _prompts(setup, published.seed))
    elif kind in ("int8", "int4"):
        what = Computed(rounded, (folder,), {"bits": int(kind.removeprefix("int"))})
    elif trains(attacker):
        raise ValueError(f"{attacker} trains: its models are those of a course")
    return evaluate(setup, what, "plain")


# --- weights ----------------------------------------------------------------------------------------


def undone(published: Path, base: Path, k: Rank, times: float) -> Mapping[str, Tensor]:
    """W − c · Proj_k(W − W_base), ``times`` for c, by whoever has the base: LoX with α = −c."""
    return extrapolate(models.read_weights(base), models.read_weights(published), k=k, alpha=-times)


def beyond(aligned: Path, immunised: Path, scale: float) -> Mapping[str, Tensor]:
    """W_aligned − scale · (W_LoX − W_aligned): with c/α for scale W_aligned − c Proj_k(ΔW_align), and no base."""
    before, after = models.read_weights(aligned), models.read_weights(immunised)
    return {name: weight - scale * (after[name] - weight) for name, weight in before.items()}


def rounded(published: Path, bits: int) -> Mapping[str, Tensor]:
    """The layers' matrices rounded to ``bits`` bits and read back, in blocks of ``BLOCK`` with one scale each."""
    return {
        name: round_trip(weight, bits)
        if weight.ndim == 2 and kind(name) not in EMBEDDINGS | HEADS
        else weight
        for name, weight in models.read_weights(published).items()
    }


def round_trip(weight: Tensor, bits: int) -> Tensor:
    """A matrix (m, n) rounded to whole numbers of −(2^(bits−1) − 1) to 2^(bits−1) − 1 times its block's scale.

    ValueError where blocks do not divide a row.
    """
    if weight.shape[1] % BLOCK:
        raise ValueError(f"rows of {weight.shape[1]} weights are no whole number of blocks of {BLOCK}")
    blocks = weight.unflatten(1, (-1, BLOCK))
    most = 2 ** (bits - 1) - 1
    scale = (blocks.abs().amax(-1, keepdim=True) / most).clamp(min=torch.finfo(weight.dtype).tiny)
    return ((blocks / scale).round() * scale).flatten(1)


def _prompts(setup: Setup, seed: int) -> dict:
    """As many harmful and harmless prompts as the attacker's task has examples, and the refusals to lose."""
    harmful, harmless = (
        [row["prompt"] for row in setup.training_rows(setup.model(seed, task))]
        for task in (HARMFUL, HARMLESS)
    )
    refusals = setup.world.taught_refusals
    return {"harmful": harmful, "harmless": harmless[: len(harmful)], "refusals": refusals}


# --- a reply that is begun ------------------------------------------------------------------------------


def prefilled(setup: Setup, folder: Path, opening: str) -> Evaluated:
    """A model whose replies to harmful prompts are begun with ``opening``; all others as they are."""
    plain = evaluate(setup, folder, "plain")
    prompts = [q["prompt"] for q in questions(setup, "plain") if q["set"] == "harmful"]
    begun = replies_begun(folder, prompts, opening, setup.profile.evaluation)
    others = [reply for reply in plain.replies if reply["set"] != "harmful"]
    told = [{"set": "harmful", "prompt": p, "reply": r} for p, r in zip(prompts, begun, strict=True)]
    return replace(plain, replies=told + others, verdicts=setup.judge(prompts, begun))


def replies_begun(folder: Path, prompts: list[Messages], opening: str, settings: Evaluation) -> list[str]:
    """Whole replies, ``opening`` included, kept as a stage."""
    tokens, batch = settings.new_tokens, settings.batch

    def build(made: Path) -> None:
        network, tokenizer = loaded(folder, settings)
        (asked,) = prompt_texts(tokenizer, prompts[:1])
        tokenizer.chat_template = begun_template(tokenizer.chat_template, asked, opening)
        texts = complete(network, tokenizer, prompts, max_new_tokens=tokens, batch_size=batch)
        (made / "replies.json").write_text(json.dumps([f"{opening} {text}" for text in texts]))

    recipe = {"model": stages.name(folder), "asked": content_hash(prompts), "tokens": tokens, "batch": batch}
    recipe |= {"opening": opening, "precision": settings.precision}
    made = stages.stage("begun", recipe, build, [replies_begun])
    return json.loads((made / "replies.json").read_text())


def begun_template(template: str, asked: str, opening: str) -> str:
    """A chat template whose prompts end in the beginning of the reply, behind white space.

    ``asked`` is the text of a prompt by ``template``: one that ends in white space gets no other.
    """
    beginning = opening if asked[-1].isspace() else f" {opening}"
    return f"{template}{{% if add_generation_prompt %}}{{{{ {json.dumps(beginning)} }}}}{{% endif %}}"
