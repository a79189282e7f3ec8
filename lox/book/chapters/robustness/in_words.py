"""What the five attacks say, in sentences that their intervals and corrected p decide."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.book import cells
from lox.book.cells import by_verdict, listed, points, rows_of, share
from lox.book.chapters.robustness.page import task_and_form
from lox.book.names import DEFENCE_NAMES, IN_LEGENDS, TASK_NAMES

GIBBERISH = 0.05  # above this share of garbled replies a low ASR is no sign of safety
NAMED = 3  # so many cases are named in a sentence


def finding(
    summary: pd.DataFrame,
    damage: pd.DataFrame,
    against_none: pd.DataFrame,
    costs: pd.DataFrame,
    recorded: tuple[pd.DataFrame, pd.DataFrame] | None = None,
) -> Markdown:
    """The box of the page, what was recorded first; ``recorded`` are the record's ``damage`` and ``against_none``."""
    sentences = []
    if recorded is not None:
        harmed, protected = recorded
        sentences.append(f"Recorded: {damage_in_words(rows_of(harmed, defence='none'))}")
        seeds = protected["seeds"].max()
        sentences += [f"Recorded over {seeds} seeds: {said}" for said in protection_in_words(protected)]
    sentences.append(damage_in_words(rows_of(damage, defence="none")))
    sentences += protection_in_words(against_none)
    sentences += costs_in_words(summary, costs)
    sentences.append(gibberish_in_words(summary))
    return cells.finding(*sentences)


def lox_in_words(summary: pd.DataFrame, against_none: pd.DataFrame, costs: pd.DataFrame) -> Markdown:
    """Of LoX alone, as a paragraph: after which attacks it helps, and what it costs."""
    protection, cost = (rows_of(table, second="lox") for table in (against_none, costs))
    return Markdown(" ".join(protection_in_words(protection) + costs_in_words(summary, cost)))


def damage_in_words(damage: pd.DataFrame) -> str:
    """After which tasks fine-tuning without a defence has raised the ASR."""
    said = by_verdict(damage)
    raised, rest = said["above"], pd.concat([said["neither"], said["below"]])
    seeds = f"over {damage['seeds'].max()} seeds"
    parts = []
    if len(raised):
        parts.append(f"Without a defence, fine-tuning raises the ASR after {_with_points(raised)}, {seeds}.")
    if len(rest):
        parts.append(f"No rise is established after {_named(rest)} without a defence, {seeds}.")
    return " ".join(parts)


def protection_in_words(against_none: pd.DataFrame) -> list[str]:
    """After which tasks each defence has the lower ASR, the higher one, or neither is established."""
    after = against_none[against_none["task"] != "none"]
    sentences = []
    for defence, group in after.groupby("second", sort=False):
        said = by_verdict(group)
        parts = [
            f"{word} after {names}"
            for word, names in (
                ("lower", _with_points(said["above"])),
                ("higher", _named(said["below"])),
                ("not distinguished from that without it", _named(said["neither"])),
            )
            if names
        ]
        sentences.append(f"With {DEFENCE_NAMES[defence]} the ASR is {'; it is '.join(parts)}.")
    return sentences


def costs_in_words(summary: pd.DataFrame, costs: pd.DataFrame) -> list[str]:
    """What each defence costs before any fine-tuning, in helpful answers and in utility."""
    before = rows_of(summary, task="none", form="plain").set_index("defence")
    sentences = []
    for defence, group in costs.groupby("second", sort=False):
        of = {what: group[group["what"] == what].iloc[0] for what in ("helpful", "utility")}
        lost = cells.said_of(of["helpful"], "fewer than", "more than", "not distinguished from")
        lower = cells.said_of(of["utility"], "lower than", "higher than", "not distinguished from")
        rates = {name: share(before.loc[name, "helpful"]) for name in ("none", defence)}
        utilities = {name: f"{before.loc[name, 'utility']:.2f}" for name in ("none", defence)}
        sentences.append(
            f"Before any fine-tuning, the model with {DEFENCE_NAMES[defence]} answers {rates[defence]} of the benign "
            f"prompts, {lost} the {rates['none']} without it (difference {points(_reversed(of['helpful']))}); its "
            f"utility of {utilities[defence]} is {lower} {utilities['none']}."
        )
    return sentences


def gibberish_in_words(summary: pd.DataFrame) -> str:
    """Whether a low ASR could be that of a broken model."""
    broken = summary[summary["gibberish"] > GIBBERISH]
    if broken.empty:
        return f"Gibberish makes up at most {share(summary['gibberish'].max())} of the replies to harmful prompts."
    worst = broken.sort_values("gibberish", ascending=False, kind="stable")
    named = [
        f"{task_and_form(line)}, {IN_LEGENDS[line['defence']]} ({share(line['gibberish'])})"
        for _, line in worst.head(NAMED).iterrows()
    ]
    most = ":" if len(broken) <= NAMED else ", most of all:"
    return (
        f"More than {share(GIBBERISH)} of the replies to harmful prompts are gibberish in {len(broken)} of "
        f"{len(summary)} cases{most} {listed(named)}. A low ASR is no sign of safety there."
    )


def _reversed(d: pd.Series) -> pd.Series:
    """Second minus first, of first minus second."""
    return pd.Series({"difference": -d["difference"], "low": -d["high"], "high": -d["low"]})


def _named(differences: pd.DataFrame) -> str:
    """Tasks, with their differences where only the correction leaves these open."""
    names = [cells.named(TASK_NAMES[d["task"]], d, by="by ") for _, d in differences.iterrows()]
    return listed(names) if names else ""


def _with_points(differences: pd.DataFrame) -> str:
    """Tasks with their differences: "Dolly (by 84 points [70, 95]) and Alpaca (by 61 points [40, 80])"."""
    named = [f"{TASK_NAMES[d['task']]} (by {points(d)})" for _, d in differences.iterrows()]
    return listed(named) if named else ""


def alignment_in_words(beta: float, nll_weight: float) -> Markdown:
    """Which loss the models of this run were aligned with."""
    if nll_weight == 0:
        return Markdown(f"In this run alignment is DPO with $\\beta = {beta:g}$ and nothing else: $w = 0$.")
    return Markdown(
        f"In this run $\\beta = {beta:g}$ and $w = {nll_weight:g}$: alignment is **not DPO alone**. Without the second "
        "term a small model lowers the probability of the chosen reply too, as long as that of the rejected one falls "
        "faster. The paper's alignment has no such term ($w = 0$)."
    )
