"""What the attackers get, in sentences that corrected p decides."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.book import cells
from lox.book.cells import listed, rate_of, rows_of, share
from lox.book.chapters.attackers.measure import dose_of
from lox.book.chapters.attackers.page import description_of


def finding(
    paired: pd.DataFrame,
    recorded: dict[str, pd.DataFrame] | None,
    against: pd.DataFrame | None,
    real: str,
) -> Markdown:
    """The box of the page: the record's attackers, where there is one, the sentence on a ``real`` model, this run's."""
    sentences = [real, _by_word(paired, "This run")]
    if recorded is not None and against is not None:
        seeds = int(recorded["paired"]["seeds"].max())
        sentences = [in_words(against, seeds), free_in_words(recorded["means"], seeds), *sentences]
    return cells.finding(*sentences)


def in_words(against: pd.DataFrame, seeds: int) -> str:
    """Against whom LoX helps, by ``measure.against_whom``; accidents are nobody."""
    against = against[[description_of(a).cost != "–" for a in against["attacker"]]]
    said = {
        word: [description_of(a).name for a in group["attacker"]] for word, group in against.groupby("word")
    }
    parts = [
        f"{text} *{listed(said[word])}*"
        for word, text in (
            ("helps", "LoX helps against whoever"),
            ("hurts", "it makes things worse against whoever"),
            ("mixed", "it helps in one measure and hurts in the other against whoever"),
            ("open", "nothing is established against whoever"),
        )
        if word in said
    ]
    longer = against.loc[against["word"] == "helps", "ratio"].dropna()
    if len(longer):
        steps = f"{longer.min():.2f} to {longer.max():.2f} times as many steps"
        parts.append(f"those of the first whose doses were measured need {steps}")
    return f"Recorded over {seeds} seeds: {'; '.join(parts)}."


def free_in_words(means: pd.DataFrame, seeds: int) -> str:
    """What those reach with LoX who do not train, the highest ASR first."""
    free = [
        a
        for a in means["attacker"].unique()
        if description_of(a).cost in ("arithmetic", "nothing", "forward passes")
    ]
    with_lox = (
        rows_of(means, defence="lox").set_index("attacker").loc[free, "asr"].sort_values(ascending=False)
    )
    named = [f"{share(asr)} (*{description_of(a).name}*)" for a, asr in with_lox.items()]
    return f"Without any training, over {seeds} seeds, the ASR with LoX is {listed(named)}."


def _by_word(paired: pd.DataFrame, who: str) -> str:
    words = {"above": "lower against these:", "below": "higher against these:"}
    parts = cells.listed_by_verdict(paired, words, lambda d: f"*{description_of(d['attacker']).name}*")
    seeds, neither = _seeds(paired), cells.by_verdict(paired)["neither"]
    rest = f"not distinguished from that without it against {len(neither)} of {len(paired)}"
    return f"{who}, over {seeds}: the ASR with LoX is {', '.join([*parts, rest])}."


def _seeds(paired: pd.DataFrame) -> str:
    """How many seeds there are, and who has fewer."""
    most = int(paired["seeds"].max())
    fewer = [
        f"{number:.0f} of {listed(f'*{description_of(a).name}*' for a in group['attacker'])}"
        for number, group in paired[paired["seeds"] < most].groupby("seeds")
    ]
    return f"{most} seed{'s' * (most > 1)}" + (f" ({', '.join(fewer)})" if fewer else "")


def real_in_words(paired: pd.DataFrame, rates: pd.DataFrame, model: str) -> str:
    """Against whom LoX helps on a real model, read blind, and the harm that each attacker gets with it."""
    with_lox = rows_of(rates, defence="lox").sort_values("harm", ascending=False)
    harm = listed(
        f"{rate_of(r, 'harm')} (*{description_of(r['attacker']).name}*)" for _, r in with_lox.iterrows()
    )
    return f"{_by_word(paired, f'On {model}, read blind')} With LoX the harm is {harm}."


def corrected_in_words(against: pd.DataFrame) -> Markdown:
    """Which differences and ratios are distinguished when they are read together: ``measure.against_whom``."""
    ratios = against.dropna(subset="ratio")
    apart = [f"*{description_of(d['attacker']).name}*" for _, d in against.iterrows() if cells.holds(d)]
    longer = [
        f"*{description_of(d['attacker']).name}*"
        for _, d in ratios.iterrows()
        if cells.holds(dose_of(d), 1.0)
    ]
    return Markdown(
        f"An interval is for its row alone; whether LoX helps is told by p, corrected for the {len(against)} "
        f"differences and {len(ratios)} ratios together (Holm). Distinguished are the differences of {listed(apart)}, "
        f"and the ratios of {listed(longer)}."
    )


def undoing_in_words(means: pd.DataFrame) -> Markdown:
    """What undoing reaches, with the numbers."""
    asr = means.set_index(["attacker", "defence"])["asr"]
    parts = []
    for attacker in dict.fromkeys(means["attacker"]):
        if attacker == "base" or description_of(attacker).cost == "arithmetic":
            parts.append(f"{share(asr[attacker, 'lox'])} (*{description_of(attacker).name}*)")
    plain = (
        f", against {share(asr['nothing', 'lox'])} as published" if ("nothing", "lox") in asr.index else ""
    )
    return Markdown(f"With LoX the ASR becomes {listed(parts)}{plain}.")
