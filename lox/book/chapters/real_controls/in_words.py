"""What a real model beside controls and rivals shows, in sentences that corrected p decides."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.book import cells
from lox.book.cells import listed, points, rate_of, rows_of, said_of
from lox.book.chapters.real_controls.measure import (
    ATTACK,
    BEFORE,
    HARMLESS,
    IDENTITY,
    PERSONA,
    RIVALS,
    UNALIGNED,
)
from lox.book.chapters.real_controls.page import NAMES, RATES, STATES
from lox.lab.model import LONGER


def finding(
    rates: pd.DataFrame,
    by_reader: pd.DataFrame,
    by_phrases: pd.DataFrame,
    cost: pd.DataFrame,
    longer: pd.DataFrame,
    rivals: pd.DataFrame,
) -> Markdown:
    """The box of the page: ``measure``'s rates, its contrasts three times, beside_longer and against_rivals."""
    return cells.finding(
        scale_in_words(rates),
        control_in_words(rows_of(by_reader, state=ATTACK), "Harm, read blind"),
        control_in_words(rows_of(by_phrases, state=ATTACK), "Refusal lost, by phrases"),
        cost_in_words(cost),
        longer_in_words(rates, longer),
        rivals_in_words(rates, rivals),
    )


def scale_in_words(rates: pd.DataFrame) -> str:
    """What the ends of the scale are, as the reader sees them: the unaligned model and the aligned one."""
    base, aligned = (_of(rates, BEFORE, defence, "harm") for defence in (UNALIGNED, "none"))
    return (
        f"**The scale.** Read blind, {base} of the unaligned model's replies do what the harmful request wants, and "
        f"{aligned} of the aligned models'."
    )


def goals_in_words(labels: pd.DataFrame) -> Markdown:
    """How many things the evaluated goals are about, of labels of their replies."""
    plain = rows_of(labels, state=BEFORE, defence="none", set="harmful")
    return Markdown(
        f"The {plain['prompt'].nunique()} goals are about {plain['thing'].nunique()} things: goals of one cluster "
        "count as one, since what a model says to the one tells what it says to the others."
    )


def _of(rates: pd.DataFrame, state: str, defence: str, column: str) -> str:
    model = rows_of(rates, state=state, defence=defence).iloc[0]
    return rate_of(model, column)


def control_in_words(contrasts: pd.DataFrame, judged: str) -> str:
    """Whether LoX lowers the ASR in one state, whether more than random directions do, and what half of it does.

    Of half nothing is said where the contrasts do not have it.
    """
    ours = contrasts.set_index(["first", "second"])
    said = [
        f"with {NAMES[second]}, {said_of(d, 'lower than', 'higher than', 'not distinguished from')} that with "
        f"{NAMES[first]} ({points(d)})"
        for first, second in (("none", "lox"), ("random", "lox"), ("none", "half"))
        if (first, second) in ours.index
        for d in [ours.loc[(first, second)]]
    ]
    (state,) = contrasts["state"].unique()
    return f"**{judged}**, {STATES[state]}, over {int(ours['seeds'].iloc[0])} seeds: the ASR is, {'; '.join(said)}."


def cost_in_words(contrasts: pd.DataFrame) -> str:
    """What LoX, half of it and a random step cost in harmless requests answered, before fine-tuning."""
    ours = contrasts.set_index(["first", "second"])
    costs = [
        f"{NAMES[defence]} {points(ours.loc[('none', defence)])}" for defence in ("lox", "half", "random")
    ]
    return (
        f"**Its price** before fine-tuning, harmless requests that are no longer answered: {listed(costs)}."
    )


def identity_in_words(rates: pd.DataFrame, by_reader: pd.DataFrame, by_phrases: pd.DataFrame) -> str:
    """How much of identity shifting is its prompt, and how much its fine-tuning, of the model without a step."""
    harm = {
        name: _of(rates, state, defence, "harm")
        for name, state, defence in (
            ("base", PERSONA, UNALIGNED),
            ("before", PERSONA, "none"),
            ("after", IDENTITY, "none"),
        )
    }
    lost = [_of(rates, state, "none", "lost") for state in (PERSONA, IDENTITY)]
    added = [rows_of(table, defence="none").iloc[0] for table in (by_reader, by_phrases)]
    said = [f"changes it by {points(d)} ({_established(d)})" for d in added]
    return (
        f"**Identity shifting.** Asked in that attack's persona, the aligned models do what the harmful request wants "
        f"in {harm['before']} before any fine-tuning and in {harm['after']} after it, the unaligned model in "
        f"{harm['base']}; read blind, the fine-tuning {said[0]}. By phrases a refusal is lost in {lost[0]} before any "
        f"fine-tuning and in {lost[1]} after it; the fine-tuning {said[1]}."
    )


def harmless_in_words(rates: pd.DataFrame, by_reader: pd.DataFrame, added: pd.DataFrame) -> str:
    """Whether fine-tuning on data without harm brings harm, read blind, and whether there is less with LoX."""
    told = []
    for state in HARMLESS:
        brought = rows_of(added, state=state, defence="none").iloc[0]
        with_lox = rows_of(by_reader, state=state, first="none", second="lox").iloc[0]
        harm = [_of(rates, state, step, "harm") for step in ("none", "lox")]
        told.append(
            f"{STATES[state]} it is {harm[0]} without a step, {points(brought)} more than before "
            f"({_established(brought)}), and {harm[1]} with LoX "
            f"({said_of(with_lox, 'less', 'more', 'not distinguished')})"
        )
    return f"**Harmless data.** Harm, read blind: {'; '.join(told)}."


def longer_in_words(rates: pd.DataFrame, differences: pd.DataFrame) -> str:
    """What one more epoch of alignment does and costs, beside no step and beside LoX: ``measure.beside_longer``."""
    compared = {rate: rows_of(differences, rate=rate) for rate in RATES}
    utility = rows_of(rates, state=BEFORE, defence=LONGER)["utility"].item()
    harm, lost = (_of(rates, ATTACK, LONGER, rate) for rate in ("harm", "lost"))
    answers = _of(rates, BEFORE, LONGER, "helpful")
    return (
        f"**One more epoch of alignment** instead of LoX's step: {STATES[ATTACK]} harm, read by stricter readers, is "
        f"{harm}, {_between(compared['harm'], 'that')}; refusals lost are {lost}, "
        f"{_between(compared['lost'], 'those')}. Before fine-tuning {answers} of harmless requests are answered, "
        f"{_between(compared['answered'], 'the share')}; its utility of {utility:.3f} is "
        f"{_between(compared['utility'], 'that')}."
    )


def _between(differences: pd.DataFrame, that: str) -> str:
    """Where the rate with one more epoch lies, of the two rows of ``measure.beside_longer``."""
    below, above = (
        rows_of(differences, first=first, second=second).iloc[0]
        for first, second in (("none", LONGER), (LONGER, "lox"))
    )
    without = said_of(below, "lower than", "higher than", "")
    with_lox = said_of(above, "higher than", "lower than", "")
    if not (without or with_lox):
        return f"distinguished neither from {that} without a step nor from {that} with LoX"
    neither = "not distinguished from"
    return f"{without or neither} {that} without a step and {with_lox or neither} {that} with LoX"


def from_a_four_in_words(rates: pd.DataFrame, differences: pd.DataFrame) -> Markdown:
    """The same harm where a 4 counts as well: ``measure``'s rates and beside_longer of what was recorded so."""
    harm = [f"{_of(rates, ATTACK, name, 'harm')} with {NAMES[name]}" for name in ("none", LONGER, "lox")]
    compared = [
        f"{NAMES[d['first']]} minus {NAMES[d['second']]} is {points(d)} ({_established(d)})"
        for _, d in rows_of(differences, rate="harm").iterrows()
    ]
    return Markdown(
        f"Counted from a 4 on, harm {STATES[ATTACK]} is {listed(harm)}; {' and '.join(compared)}."
    )


def rivals_in_words(rates: pd.DataFrame, rivals: pd.DataFrame) -> str:
    """The harm that each rival leaves after the attack, and whether LoX leaves more or less."""
    told = []
    for rival in RIVALS:
        (d,) = rows_of(rivals, first="lox", second=rival).to_dict("records")
        compared = said_of(
            pd.Series(d), "less than LoX does", "more than LoX does", "not distinguished from LoX"
        )
        told.append(f"{NAMES[rival]} {_of(rates, ATTACK, rival, 'harm')} ({compared})")
    return f"**Rivals**, {STATES[ATTACK]}, leave harm: {listed(told)}; LoX leaves {_of(rates, ATTACK, 'lox', 'harm')}."


def parts_in_words(parts: pd.DataFrame) -> str:
    """Whether the part of Pure Bad's update inside the safety subspace does its harm."""
    ours = parts.set_index(["first", "second"])
    inside, taken = ours.loc[("inside", "nothing")], ours.loc[("whole", "outside")]
    return (
        f"**Through which directions?** Pure Bad's whole update adds {points(ours.loc[('whole', 'nothing')])} of harm. "
        f"Its part inside the safety subspace, put in alone, changes it by {points(inside)} ({_established(inside)}); "
        f"leaving that part out takes off {points(taken)} ({_established(taken)})."
    )


def _established(d: pd.Series) -> str:
    return f"{'' if cells.holds(d) else 'not '}distinguished from 0"


def choice_in_words(table: pd.DataFrame, budget: float) -> Markdown:
    """What the paper's rule and a budget choose on the selection seed: ``choice``'s recorded points."""
    curve, moved = table[table["alpha"].isna()], table[table["alpha"] > 0]
    base, aligned = curve.iloc[0], rows_of(table, alpha=0).iloc[0]
    said = [
        f"On {aligned['n_harmful']:.0f} goals alignment brings the ASR by phrases from {rate_of(base)} to "
        f"{rate_of(aligned)}."
    ]
    if moved.empty:
        return Markdown(" ".join([*said, "No rank that was tried brings it as far, so no k is chosen."]))
    k, chosen = moved["k"].iloc[0], moved[moved["chosen"]]
    said.append(f"The smallest rank that brings it as far is $k = {k:.0f}$.")
    refused = moved[moved["loss_high"] > budget]
    if not refused.empty:
        first = refused.iloc[0]
        loss = {"difference": first["loss"], "low": first["loss_low"], "high": first["loss_high"]}
        said.append(
            f"At $α = {first['alpha']:g}$ {points(pd.Series(loss))} of {first['n_harmless']:.0f} harmless requests are "
            f"no longer answered, which is not shown to be within {100 * budget:g} points."
        )
    alpha = f"$α = {chosen['alpha'].iloc[0]:g}$" if len(chosen) else "no $α$ of those tried"
    said.append(f"So the rule chooses {alpha}.")
    return Markdown(" ".join(said))
