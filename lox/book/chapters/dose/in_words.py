"""What the doses say, in sentences that their intervals decide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from IPython.display import Markdown

from lox.book import cells
from lox.book.cells import listed, points, rows_of, said_of, share
from lox.book.chapters.dose.measure import Judged
from lox.book.chapters.dose.page import times
from lox.book.names import DEFENCE_NAMES, TASK_NAMES, attacks_in


def finding(
    ratios: pd.DataFrame,
    broken: pd.DataFrame,
    worst: tuple[pd.DataFrame, pd.DataFrame],
    last: pd.DataFrame,
    budget: float,
    recorded: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    real: Sequence[str] = (),
) -> Markdown:
    """The box of the page: what was recorded first, then the sentences on a ``real`` model, then this run.

    Tables are of ``measure``, ``recorded`` those of its function.
    """
    sentences = []
    if recorded is not None:
        sentences += [delay_in_words(ratio, recorded[1], "recorded") for _, ratio in recorded[0].iterrows()]
    sentences += real
    for task in attacks_in(broken):
        for _, ratio in ratios[ratios["task"] == task].iterrows():
            sentences.append(delay_in_words(ratio, broken, "this run"))
            lost = [rows_of(d, task=task, second=ratio["second"]).iloc[0] for d in (worst[1], last)]
            sentences.append(worst_in_words(worst[0], lost[0], budget) + " " + last_in_words(lost[1]))
    return cells.finding(*sentences)


def delay_in_words(ratio: pd.Series, broken: pd.DataFrame, run: str) -> str:
    """Whether a defence makes a task take more steps, by the ratio's p_holm; ``run`` is what run it is."""
    defence, of_task = DEFENCE_NAMES[ratio["second"]], rows_of(broken, task=ratio["task"])
    seeds = of_task["seed"].nunique()
    head = f"**{TASK_NAMES[ratio['task']]}**, {run}, {seeds} {'seed' if seeds == 1 else 'seeds'}"
    counts = {
        d: f"{(rows_of(of_task, defence=d)['dose'] < math.inf).sum()} of {seeds} models"
        for d in ("none", ratio["second"])
    }
    within = (
        f"Within {of_task['last'].max():g} steps {counts['none']} break without a defence, "
        f"{counts[ratio['second']]} with {defence}"
    )
    if ratio["seeds"] == 0:
        return f"{head}: no seed has two models that are safe before fine-tuning, so there is no ratio. {within}."
    if ratio["low"] == 0 and ratio["high"] == math.inf:
        said = f"with {defence} nothing can be said of the number of steps"
    else:
        said = f"with {defence} " + said_of(
            ratio,
            f"it takes {times(ratio)} as many steps to break the model",
            f"it takes fewer steps to break the model, {times(ratio)} as many",
            f"no change of the number of steps is established, {times(ratio)} as many",
            even=1.0,
        )
    left_out = f"; {ratio['left_out']} seeds are left out, in which a model is broken before any step"
    return f"{head}: {said}. {within}{left_out if ratio['left_out'] else ''}."


def real_in_words(judges: Mapping[str, Judged], model: str) -> list[str]:
    """``delay_in_words`` by each judge of one model's recorded runs, with the ASR from which it counts as broken."""
    return [
        delay_in_words(ratio, by.broken, f"{model}, {name} (broken from {share(by.level)})")
        for name, by in judges.items()
        for _, ratio in by.ratios.iterrows()
    ]


def twice_in_words(records: Mapping[str, pd.DataFrame], defence: str) -> Markdown:
    """On which tasks ``measure.recorded_twice`` establishes more steps with a defence, in all records or in some."""
    more = pd.DataFrame(
        {
            name: {
                r["task"]: said_of(r, "more", "fewer", even=1.0) == "more"
                for _, r in rows_of(table, second=defence).iterrows()
            }
            for name, table in records.items()
        }
    )
    sides = {
        "in all records": more.index[more.all(axis=1)],
        "in some and not in others": more.index[more.any(axis=1) & ~more.all(axis=1)],
        "in none": more.index[~more.any(axis=1)],
    }
    said = [
        f"{where}: {listed(TASK_NAMES[task] for task in tasks)}"
        for where, tasks in sides.items()
        if len(tasks)
    ]
    return Markdown(
        f"That with {DEFENCE_NAMES[defence]} it takes more steps is established {'; '.join(said)}."
    )


def beside_random_in_words(ratios: pd.DataFrame) -> Markdown:
    """Whether LoX delays an attack more than random directions do, after which tasks: ``measure.beside_random``."""
    said = [
        f"{TASK_NAMES[r['task']]} {times(r, unit='')} ({said_of(r, 'more', 'fewer', 'not distinguished', even=1.0)}, "
        f"corrected p {r['p_holm']:.2g})"
        for _, r in ratios.iterrows()
    ]
    return Markdown(
        f"Steps with LoX divided by those with a step of its size in random directions, over "
        f"{int(ratios['seeds'].max())} recorded seeds: {listed(said)}."
    )


def worst_in_words(worst: pd.DataFrame, d: pd.Series, budget: float) -> str:
    """The highest ASR that an attacker reaches who keeps the model useful."""
    asr = rows_of(worst, task=d["task"]).set_index("defence")["asr"]
    lower = cells.said_of(d, "lower", "higher", "not distinguished")
    return (
        f"An attacker who fine-tunes on {TASK_NAMES[d['task']]} and gives up at most {share(budget)} of the model's "
        f"utility reaches an ASR of {share(asr['none'])} without a defence and {share(asr[d['second']])} with "
        f"{DEFENCE_NAMES[d['second']]}, {lower} (difference {points(d)})."
    )


def worst_real_in_words(worst: tuple[pd.DataFrame, pd.DataFrame], budget: float) -> Markdown:
    """``worst_in_words`` of each task of a real model's recorded runs."""
    return Markdown(" ".join(worst_in_words(worst[0], d, budget) for _, d in worst[1].iterrows()))


def last_in_words(d: pd.Series) -> str:
    """Whether anything of the protection is left after the last step."""
    said = cells.said_of(
        d, "still has the lower ASR", "has the higher ASR", "is not distinguished from the model without it"
    )
    return f"After the last step the model with {DEFENCE_NAMES[d['second']]} {said}."


def of_paper(published: pd.DataFrame, task: str) -> Markdown:
    """What more epochs and a larger rate do in the paper's runs of one task."""
    asr = rows_of(published, task=task).set_index(["lr", "defence", "epoch"])["asr"].sort_index()
    smaller, larger = asr.index.unique("lr")[[0, -1]]
    plain = asr[smaller, "none"].drop(0, errors="ignore")  # epoch 0 is the start
    first, last = plain.index.min(), plain.index.max()
    grows = (
        "is highest after" if plain.idxmax() == last else "does not grow with the epochs: it is highest after"
    )
    lox = {rate: share(asr[rate, "lox", first]) for rate in (smaller, larger)}
    return Markdown(
        f"In the paper's runs on {TASK_NAMES[task]} without LoX the ASR {grows} epoch {plain.idxmax()}, "
        f"{share(plain.max())}, and {share(plain[last])} after epoch {last}. A larger learning rate is another way "
        f"to raise the dose: with LoX the ASR after epoch {first} is {lox[larger]} at the larger rate and "
        f"{lox[smaller]} at the smaller one."
    )
