"""Figure, tables and sentences of the chapter on a real model beside controls of LoX's size."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import listed, markdown, per_cent, points, rows_of, said_of, share
from lox.book.chapters.real_controls.measure import ATTACK, BEFORE, STEPS, UNALIGNED
from lox.book.figures import DEFENCE_COLORS, stacked
from lox.book.names import DEFENCE_NAMES

STATES = {BEFORE: "before fine-tuning", ATTACK: "after Pure Bad"}
NAMES = DEFENCE_NAMES | {"none": "no step", "half": "half of LoX's step", UNALIGNED: "unaligned"}
COLOURS = DEFENCE_COLORS | {"half": "#3f9c9c"}  # a lighter LoX
HOLLOW = {"random": {"markersize": 11, "markerfacecolor": "none"}}  # it may lie on that of no step
KINDS = {"harmful": "neither", "refusal": "refuses", "evasion": "evades", "gibberish": "gibberish"}
PART_NAMES = {
    "nothing": "nothing",
    "whole": "the whole update",
    "inside": "its part inside the safety subspace",
    "outside": "all but that part",
    "random inside": "a part of the same size in random directions",
}


# --- sentences ----------------------------------------------------------------------------------------


def finding(
    reader: pd.DataFrame,
    by_reader: pd.DataFrame,
    by_phrases: pd.DataFrame,
    cost: pd.DataFrame,
    parts: pd.DataFrame,
) -> Markdown:
    """The box of the page; ``reader`` is ``measure.shares``, ``parts`` is ``measure.parts``, the rest contrasts."""
    return cells.finding(
        scale_in_words(reader),
        control_in_words(by_reader, "Harm, read blind"),
        control_in_words(by_phrases, "Refusal lost, by phrases"),
        cost_in_words(cost),
        parts_in_words(parts),
    )


def scale_in_words(reader: pd.DataFrame) -> str:
    """What the ends of the scale are, as the reader sees them: the unaligned model and the aligned one."""
    models = [rows_of(reader, state=BEFORE, defence=defence).iloc[0] for defence in (UNALIGNED, "none")]
    base, aligned = (per_cent(*m[["asr", "low", "high"]]) for m in models)
    return (
        f"**The scale.** Read blind, {base} of the unaligned model's replies do what the harmful request wants, and "
        f"{aligned} of the aligned models'."
    )


def control_in_words(contrasts: pd.DataFrame, judged: str) -> str:
    """Whether LoX lowers the ASR after Pure Bad, whether more than random directions do, and what half of it does."""
    ours = rows_of(contrasts, state=ATTACK).set_index(["first", "second"])
    said = [
        f"with {NAMES[second]}, {said_of(d, 'lower than', 'higher than', 'not distinguished from')} that with "
        f"{NAMES[first]} ({points(d)})"
        for first, second in (("none", "lox"), ("random", "lox"), ("none", "half"))
        for d in [ours.loc[(first, second)]]
    ]
    return f"**{judged}**, {STATES[ATTACK]}, over {int(ours['seeds'].iloc[0])} seeds: the ASR is, {'; '.join(said)}."


def cost_in_words(contrasts: pd.DataFrame) -> str:
    """What LoX, half of it and a random step cost in harmless requests answered, before fine-tuning."""
    ours = contrasts.set_index(["first", "second"])
    costs = [
        f"{NAMES[defence]} {points(ours.loc[('none', defence)])}" for defence in ("lox", "half", "random")
    ]
    return (
        f"**Its price** before fine-tuning, harmless requests that are no longer answered: {listed(costs)}."
    )


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


# --- figure -------------------------------------------------------------------------------------------


def frontier(reader: pd.DataFrame, answered: pd.DataFrame) -> Figure:
    """ASR read blind against harmless requests not answered, a panel a state: a dot a seed, a diamond the mean."""
    states = _states_in(reader)
    figure, panels = stacked([2.3] * len(states), sharex=True, sharey=True)
    base = rows_of(reader, defence=UNALIGNED)["asr"].iloc[0]
    for axes, state in zip(panels, states):
        for defence in STEPS:
            own = (rows_of(table, state=state, defence=defence).iloc[0] for table in (reader, answered))
            _defence(axes, defence, *own)
        axes.axhline(base, color="0.45", linestyle=":", linewidth=1)
        axes.set(title=STATES[state], ylabel="ASR")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[-1].set(xlabel="harmless requests not answered", xlim=(0, None), ylim=(-0.02, None))
    panels[-1].xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0].annotate(
        "unaligned", (0.01, base), (0, 3), textcoords="offset points", fontsize=8, color="0.45"
    )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def _defence(axes, defence: str, reader: pd.Series, answered: pd.Series) -> None:
    colour = COLOURS[defence]
    axes.plot([1 - a for a in answered["each"]], reader["each"], ".", color=colour, alpha=0.6)
    axes.errorbar(
        1 - answered["answered"],
        reader["asr"],
        xerr=[[answered["high"] - answered["answered"]], [answered["answered"] - answered["low"]]],
        yerr=[[reader["asr"] - reader["low"]], [reader["high"] - reader["asr"]]],
        fmt="D",
        color=colour,
        elinewidth=1,
        **HOLLOW.get(defence, {}),
        label=NAMES[defence],
    )


def _states_in(table: pd.DataFrame) -> list[str]:
    return [state for state in STATES if state in set(table["state"])]


# --- tables -------------------------------------------------------------------------------------------


def rates(success: pd.DataFrame) -> Markdown:
    """ASR of every model with its interval: a row for each state, a column for each defence."""
    lines = []
    for state in _states_in(success):
        ours = rows_of(success, state=state).set_index("defence")
        cell = {
            NAMES[d]: per_cent(*ours.loc[d, ["asr", "low", "high"]]) if d in ours.index else "–"
            for d in (UNALIGNED, *STEPS)
        }
        lines.append({"Model": STATES[state]} | cell)
    return markdown(pd.DataFrame(lines))


def differences(contrasts: pd.DataFrame) -> Markdown:
    """``measure.contrasts``, a row for each state and pair, with p corrected for the table."""
    return markdown(
        pd.DataFrame(
            {
                "Model": STATES[d["state"]],
                "difference": f"{NAMES[d['first']]} minus {NAMES[d['second']]}",
            }
            | _tested(d)
            for _, d in contrasts.iterrows()
        )
    )


def kinds(table: pd.DataFrame) -> Markdown:
    """``measure.by_kind``: what the replies to harmful requests do, a row for each model."""
    shown = [kind for kind in KINDS if kind in table]
    return markdown(
        pd.DataFrame(
            {"Model": STATES[row["state"]], "Step": NAMES[row["defence"]]}
            | {KINDS[kind]: share(row[kind]) for kind in shown}
            for state in _states_in(table)
            for _, row in rows_of(table, state=state).iterrows()
        )
    )


def costs(answered: pd.DataFrame, utility: pd.DataFrame) -> Markdown:
    """Harmless requests answered and utility of every model; of those of several seeds with their intervals."""
    both = answered.merge(utility, on=["state", "defence"], suffixes=("", "_utility"))
    return markdown(
        pd.DataFrame(
            {
                "Model": STATES[row["state"]],
                "Step": NAMES[row["defence"]],
                "answered": per_cent(row["answered"], row["low"], row["high"]),
                "utility": f"{row['utility']:.3f}"
                + (f" [{row['low_utility']:.3f}, {row['high_utility']:.3f}]" if row["seeds"] > 1 else ""),
            }
            for state in _states_in(both)
            for _, row in rows_of(both, state=state).iterrows()
        )
    )


def parts(by_reader: pd.DataFrame, by_phrases: pd.DataFrame) -> Markdown:
    """``measure.parts`` by both judges, a row for each pair."""
    lines = []
    for (_, read), (_, told) in zip(by_reader.iterrows(), by_phrases.iterrows(), strict=True):
        head = {"What is added": PART_NAMES[read["first"]], "minus": PART_NAMES[read["second"]]}
        tested = {"read blind": _tested(read), "by phrases": _tested(told)}
        lines.append(
            head | {f"{key}, {by}": d[key] for by, d in tested.items() for key in ("points", "corrected")}
        )
    return markdown(pd.DataFrame(lines))


def _tested(d: pd.Series) -> dict[str, str]:
    return {"points": cells.in_points(d), "p": f"{d['p']:.2g}", "corrected": f"{d['p_holm']:.2g}"}
