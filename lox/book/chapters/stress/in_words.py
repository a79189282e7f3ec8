"""What the causal test says, in sentences that its corrected p decide."""

from __future__ import annotations

import math

import pandas as pd
from IPython.display import Markdown

from lox.book import cells
from lox.book.cells import by_verdict, points, rows_of, said_of, share
from lox.book.chapters.stress.measure import SPLIT_ONLY, WHOLE
from lox.book.chapters.stress.names import VARIANT_NAMES
from lox.book.chapters.stress.tables import asr_of
from lox.book.names import TASK_NAMES

FT, ALIGN = "$\\Delta W_\\text{ft}$", "$\\Delta W_\\text{align}$"
CHANGES = ("raises the ASR", "lowers the ASR", "does not distinguishably change the ASR")
COMPARED = ("higher than", "lower than", "not distinguished from")


def finding(
    differences: pd.DataFrame,
    means: pd.DataFrame,
    shares: pd.DataFrame,
    geometry: pd.DataFrame,
    recorded: bool,
) -> Markdown:
    """What the causal test and the geometry say of a recorded run, or of this one.

    ``differences`` are ``causal.contrasts`` of both defences, ``means`` ``causal.variant_means`` without one,
    ``shares`` is ``causal.damage``, ``geometry`` is ``measure.geometry``.
    """
    overall = differences[differences["task"] == "all"].set_index(["defence", "first", "second"])
    plain, lox = overall.loc["none"], overall.loc["lox"]
    whose = f"{'Recorded' if recorded else 'This run'}, over {int(differences['seeds'].max())} seeds"
    return cells.finding(
        f"{whose}: " + _damage_in_words(plain.loc["all: whole", "all: nothing"]),
        f"{_inside_in_words(plain)} {_matrices_in_words(means)}",
        _outside_in_words(plain, rows_of(shares, task="all").iloc[0]),
        _special_in_words(plain),
        _counteraction_in_words(geometry),
        _transplant_in_words(lox),
    )


def _damage_in_words(damage: pd.Series) -> str:
    said = said_of(damage, *CHANGES[:2], "leaves an ASR that is not distinguished from the start's")
    return f"fine-tuning as a whole, averaged over the tasks, {said}: a difference of {points(damage)}."


def _inside_in_words(plain: pd.DataFrame) -> str:
    alone = plain.loc["safety: inside", "all: nothing"]
    against = plain.loc["safety: inside", "random: inside, scaled"]
    return (
        f"The part of {FT} inside the safety subspace, put in alone, {said_of(alone, *CHANGES)} ({points(alone)}). "
        f"The ASR is {said_of(against, *COMPARED)} that of a random part of the same norm ({points(against)})."
    )


def _matrices_in_words(means: pd.DataFrame) -> str:
    """How much the inside alone could show: it is a part of the layers' matrices."""
    matrices, whole = (asr_of(means, "all", variant) for variant in (SPLIT_ONLY, WHOLE))
    return (
        f"All split matrices together, without embeddings, head and norms, give an ASR of {matrices}, all of {FT} one "
        f"of {whole}: where the first is little, the inside alone can hardly show more, and leaving it out is the "
        "stronger test."
    )


def _outside_in_words(plain: pd.DataFrame, of_damage: pd.Series) -> str:
    out, random = plain.loc["all: whole", "safety: outside"], plain.loc["random: outside", "safety: outside"]
    rest = plain.loc["safety: outside", "all: nothing"]
    gone = said_of(out, "lowers the ASR", "raises the ASR", "does not distinguishably change the ASR")
    part = "" if math.isnan(of_damage["share"]) else f", {share(of_damage['share'])} of the damage"
    than = said_of(random, "more than", "less than", "not distinguished from")
    left = said_of(rest, "above", "below", "not distinguished from")
    return (
        f"Leaving that part out {gone} (taken off: {points(out)}{part}), which is {than} what leaving out random "
        f"directions does ({points(random)}). What remains has an ASR {left} the start's ({points(rest)})."
    )


def _special_in_words(plain: pd.DataFrame) -> str:
    own = plain.loc["own: inside", "safety: inside"]
    return (
        f"Of the directions in which {FT} itself is largest, as many put in alone give an ASR that is "
        f"{said_of(own, *COMPARED)} the safety subspace's ({points(own)})."
    )


def _counteraction_in_words(geometry: pd.DataFrame) -> str:
    safety = rows_of(geometry, subspace="safety", defence="none")
    means = safety.groupby("task")["counteraction"].agg(["mean", "min"])
    against = int((means["min"] > 0).sum())
    return (
        f"Inside the safety subspace {FT} points against {ALIGN} in every seed after "
        f"{cells.counted(against, len(means), 'tasks')}; the mean counteraction lies between "
        f"{means['mean'].min():.2f} and {means['mean'].max():.2f} (1 is straight against, 0 across)."
    )


def _transplant_in_words(lox: pd.DataFrame) -> str:
    own, other = (
        lox.loc[first, "all: nothing"] for first in ("all: whole", "all: whole, of the undefended run")
    )
    said = [said_of(d, "raises", "lowers", "does not distinguishably change") for d in (own, other)]
    return (
        f"From the LoX model, its own fine-tuning {said[0]} the ASR ({points(own)}), and the undefended run's {FT}, "
        f"put in as it is, {said[1]} it ({points(other)})."
    )


def dimension(k: int) -> Markdown:
    """How many dimensions the safety subspace has."""
    return Markdown(f"Here the safety subspace has $k = {k}$ dimension{'' if k == 1 else 's'}.")


def contrasts_in_words(differences: pd.DataFrame) -> Markdown:
    """For each contrast, after how many tasks the first ASR is higher, lower, or neither."""
    lines = []
    by_task = differences[differences["task"] != "all"]
    for (first, second), group in by_task.groupby(["first", "second"], sort=False):
        higher, lower, neither = map(len, by_verdict(group).values())
        lines.append(
            f"- ASR of *{VARIANT_NAMES[first]}* against *{VARIANT_NAMES[second]}*: higher after {higher} of "
            f"{len(group)} tasks, lower after {lower}, not distinguished after {neither}."
        )
    return Markdown("\n".join(lines))


def left_after_lox(differences: pd.DataFrame) -> Markdown:
    """Whether LoX leaves damage that could be taken apart, by the contrast of whole against nothing after it."""
    own = rows_of(differences, task="all", defence="lox", first="all: whole", second="all: nothing").iloc[0]
    said = said_of(
        own,
        "There is damage left, and the table takes it apart.",
        "Fine-tuning lowers the ASR here, so there is no damage to take apart.",
        "No damage is distinguished, so the split after LoX says nothing here.",
    )
    return Markdown(
        f"With LoX, the whole of {FT} changes the mean ASR over the tasks by {points(own)}. {said}"
    )


def distinct(differences: pd.DataFrame, ability: pd.DataFrame, task: str) -> Markdown:
    """What one task's fine-tuning says to whether the safety subspace is distinct.

    ``differences`` are those without a defence, ``ability`` is of ``causal.ability``, after the task.
    """
    harm = rows_of(differences, task=task, second="all: nothing").set_index("first")
    inside, outside = harm.loc["safety: inside"], harm.loc["safety: outside"]
    verdict = {
        (True, True): "Either side does damage without the other, so safety is not confined to the subspace.",
        (True, False): "Only the inside is seen to do damage, as a distinct safety subspace would have it.",
        (False, True): "Only the outside is seen to do damage: safety is lost outside of the subspace.",
        (False, False): "Neither side alone is seen to do damage: it needs both, or there is none to see.",
    }[tuple(said_of(side, "raises", "lowers") == "raises" for side in (inside, outside))]
    lost = [
        f"{line['what']} without the {line['side']} ({100 * line['difference']:z.0f} points)"
        for _, line in by_verdict(ability)["above"].iterrows()
    ]
    carried = (
        f"Ability goes with it: {cells.listed(lost)} is lower than with all of it."
        if lost
        else "No loss of helpful answers or utility is established when a side is left out."
    )
    return Markdown(
        f"After {TASK_NAMES[task]} the ASR changes by {points(inside)} put in inside alone and by {points(outside)} "
        f"put in outside alone. {verdict} {carried}"
    )
