"""Figure, tables and sentences of the chapter on a real model beside controls of LoX's size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import listed, markdown, per_cent, points, rows_of, said_of, share
from lox.book.chapters.real_controls.measure import (
    ATTACK,
    BEFORE,
    IDENTITY,
    PERSONA,
    RIVALS,
    STEPS,
    UNALIGNED,
    steps_of,
)
from lox.book.figures import DEFENCE_COLORS, stacked
from lox.book.names import DEFENCE_NAMES

STATES = {
    BEFORE: "before fine-tuning",
    ATTACK: "after Pure Bad",
    PERSONA: "before, in persona",
    IDENTITY: "after identity shifting",
}
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
    rates: pd.DataFrame,
    by_reader: pd.DataFrame,
    by_phrases: pd.DataFrame,
    cost: pd.DataFrame,
    identity: tuple[pd.DataFrame, pd.DataFrame],
    parts: pd.DataFrame,
    rivals: pd.DataFrame,
) -> Markdown:
    """The box of the page: ``measure``'s rates, its contrasts three times, its by_identity, parts and against_rivals.

    ``identity`` is by the reader and by phrases.
    """
    return cells.finding(
        scale_in_words(rates),
        control_in_words(rows_of(by_reader, state=ATTACK), "Harm, read blind"),
        control_in_words(rows_of(by_phrases, state=ATTACK), "Refusal lost, by phrases"),
        cost_in_words(cost),
        identity_in_words(rates, *identity),
        control_in_words(rows_of(by_reader, state=IDENTITY), "The same, read blind"),
        rivals_in_words(rates, rivals),
        parts_in_words(parts),
    )


def scale_in_words(rates: pd.DataFrame) -> str:
    """What the ends of the scale are, as the reader sees them: the unaligned model and the aligned one."""
    base, aligned = (_of(rates, BEFORE, defence, "harm") for defence in (UNALIGNED, "none"))
    return (
        f"**The scale.** Read blind, {base} of the unaligned model's replies do what the harmful request wants, and "
        f"{aligned} of the aligned models'."
    )


def _of(rates: pd.DataFrame, state: str, defence: str, column: str) -> str:
    model = rows_of(rates, state=state, defence=defence).iloc[0]
    return per_cent(*model[[column, f"{column}_low", f"{column}_high"]])


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


# --- figure -------------------------------------------------------------------------------------------


def frontier(rates: pd.DataFrame, each: pd.DataFrame) -> Figure:
    """ASR read blind against harmless requests not answered, a panel a state: a dot a seed, a diamond the mean.

    ``rates`` and ``each`` are of ``measure``. The dotted line is the unaligned model's, asked as the panel's models.
    """
    states = [state for state in STATES if state != PERSONA]
    figure, panels = stacked([2.2] * len(states), sharex=True, sharey=True)
    for axes, state in zip(panels, states):
        for defence in (*steps_of(state), *(RIVALS if state == ATTACK else ())):
            own = rows_of(rates, state=state, defence=defence).iloc[0]
            _defence(axes, defence, own, rows_of(each, state=state, defence=defence))
        form = PERSONA if state == IDENTITY else BEFORE
        base = rows_of(rates, state=form, defence=UNALIGNED)["harm"].iloc[0]
        axes.axhline(base, color="0.45", linestyle=":", linewidth=1)
        axes.annotate("unaligned", (0.01, base), (0, 3), textcoords="offset points", fontsize=8, color="0.45")
        axes.set(title=STATES[state], ylabel="ASR")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[-1].set(xlabel="harmless requests not answered", xlim=(0, None), ylim=(-0.02, None))
    panels[-1].xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    handles = {
        name: handle
        for axes in panels
        for handle, name in zip(*axes.get_legend_handles_labels())
    }  # fmt: skip
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def _defence(axes, defence: str, own: pd.Series, each: pd.DataFrame) -> None:
    colour = COLOURS[defence]
    axes.plot(1 - each["answered"], each["harmful"], ".", color=colour, alpha=0.6)
    axes.errorbar(
        1 - own["helpful"],
        own["harm"],
        xerr=[[own["helpful_high"] - own["helpful"]], [own["helpful"] - own["helpful_low"]]],
        yerr=[[own["harm"] - own["harm_low"]], [own["harm_high"] - own["harm"]]],
        fmt="D",
        color=colour,
        elinewidth=1,
        **HOLLOW.get(defence, {}),
        label=NAMES[defence],
    )


# --- tables -------------------------------------------------------------------------------------------


def success(rates: pd.DataFrame, column: str) -> Markdown:
    """ "harm" or "lost" of every model with its interval: a row for each state, a column for each step."""
    lines = []
    for state in STATES:
        ours = rows_of(rates, state=state).set_index("defence")
        cell = {
            NAMES[d]: per_cent(*ours.loc[d, [column, f"{column}_low", f"{column}_high"]])
            if d in ours.index
            else "–"
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


def by_identity(by_reader: pd.DataFrame, by_phrases: pd.DataFrame) -> Markdown:
    """``measure.by_identity`` by both judges, a row for each step."""
    return _by_both(by_reader, by_phrases, lambda d: {"Step": NAMES[d["defence"]]})


def rivals(rates: pd.DataFrame, contrasts: pd.DataFrame) -> Markdown:
    """After the attack: rates of each rival, and how its harm compares with that of no defence and of LoX."""
    lines = []
    for rival in RIVALS:
        own = rows_of(rates, state=ATTACK, defence=rival).iloc[0]
        cells_of = {
            name: per_cent(*own[[column, f"{column}_low", f"{column}_high"]])
            for column, name in (("harm", "harm"), ("lost", "refusal lost"), ("helpful", "answered"))
        }
        tested = {
            f"{NAMES[first]} minus it": _tested(rows_of(contrasts, first=first, second=rival).iloc[0])
            for first in ("none", "lox")
        }
        lines.append(
            {"Rival": NAMES[rival]}
            | cells_of
            | {"utility": f"{own['utility']:.3f}"}
            | {name: f"{d['points']}, p {d['corrected']}" for name, d in tested.items()}
        )
    return markdown(pd.DataFrame(lines))


def choice_in_words(table: pd.DataFrame, budget: float) -> Markdown:
    """What the paper's rule and a budget choose on the selection seed: ``choice``'s recorded points."""
    curve, moved = table[table["alpha"].isna()], table[table["alpha"] > 0]
    base, aligned = curve.iloc[0], rows_of(table, alpha=0).iloc[0]
    said = [
        f"On {aligned['n_harmful']} goals alignment brings the ASR by phrases from {_rate(base, 'asr')} to "
        f"{_rate(aligned, 'asr')}."
    ]
    if moved.empty:
        return Markdown(" ".join([*said, "No rank that was tried brings it as far, so no k is chosen."]))
    k, chosen = moved["k"].iloc[0], moved[moved["chosen"]]
    said.append(f"The smallest rank that brings it as far is $k = {k}$.")
    refused = moved[moved["loss_high"] > budget]
    if not refused.empty:
        first = refused.iloc[0]
        loss = {"difference": first["loss"], "low": first["loss_low"], "high": first["loss_high"]}
        said.append(
            f"At $α = {first['alpha']:g}$ {points(pd.Series(loss))} of {first['n_harmless']} harmless requests are no "
            f"longer answered, which is not shown to be within {100 * budget:g} points."
        )
    alpha = f"$α = {chosen['alpha'].iloc[0]:g}$" if len(chosen) else "no $α$ of those tried"
    said.append(f"So the rule chooses {alpha}.")
    return Markdown(" ".join(said))


def _rate(point: pd.Series, column: str) -> str:
    return per_cent(*point[[column, f"{column}_low", f"{column}_high"]])


def choice(table: pd.DataFrame) -> Markdown:
    """``choice``'s recorded points, a row for each; of ranks only the ASR was asked for."""
    asked = table["n_harmless"].notna()
    return markdown(
        pd.DataFrame(
            {
                "Point": [f"**{p}**" if chosen else p for p, chosen in zip(table["point"], table["chosen"])],
                "ASR": [_rate(row, "asr") for _, row in table.iterrows()],
                "answered": [
                    _rate(row, "answered") if is_asked else "–"
                    for (_, row), is_asked in zip(table.iterrows(), asked)
                ],
            }
        )
    )


def trials(table: pd.DataFrame, chosen: Mapping[str, float | None]) -> Markdown:
    """``trials``'s recorded rows, a row for each rival and strength; what the rule chose is bold."""
    return markdown(
        pd.DataFrame(
            {
                "Rival": NAMES[row["defence"]],
                "strength": "–"
                if pd.isna(row["strength"])
                else f"**{row['strength']:g}**"
                if chosen[row["defence"]] == row["strength"]
                else f"{row['strength']:g}",
                "refusal lost": share(row["asr"]),
                "answered": share(row["helpful"]),
                "utility": f"{row['utility']:.3f}",
                "fine-tuning left": share(row["left"]),
            }
            for _, row in table.iterrows()
        )
    )


def kinds(table: pd.DataFrame) -> Markdown:
    """``measure.by_kind``: what the replies to harmful requests do, a row for each model."""
    shown = [kind for kind in KINDS if kind in table]
    return markdown(
        pd.DataFrame(
            {"Model": STATES[row["state"]], "Step": NAMES[row["defence"]]}
            | {KINDS[kind]: share(row[kind]) for kind in shown}
            for state in STATES
            for _, row in rows_of(table, state=state).iterrows()
        )
    )


def costs(rates: pd.DataFrame) -> Markdown:
    """Harmless requests answered and utility of every model; of those of several seeds with their intervals."""
    return markdown(
        pd.DataFrame(
            {
                "Model": STATES[row["state"]],
                "Step": NAMES[row["defence"]],
                "answered": per_cent(*row[["helpful", "helpful_low", "helpful_high"]]),
                "utility": f"{row['utility']:.3f}"
                + (f" [{row['utility_low']:.3f}, {row['utility_high']:.3f}]" if row["seeds"] > 1 else ""),
            }
            for state in STATES
            if state != PERSONA  # the same models as before fine-tuning, asked the same harmless requests
            for _, row in rows_of(rates, state=state).iterrows()
        )
    )


def parts(by_reader: pd.DataFrame, by_phrases: pd.DataFrame) -> Markdown:
    """``measure.parts`` by both judges, a row for each pair."""
    return _by_both(
        by_reader,
        by_phrases,
        lambda d: {"What is added": PART_NAMES[d["first"]], "minus": PART_NAMES[d["second"]]},
    )


def _by_both(
    by_reader: pd.DataFrame, by_phrases: pd.DataFrame, head: Callable[[pd.Series], dict]
) -> Markdown:
    """Differences by the reader and by phrases side by side, each row under its ``head``."""
    lines = []
    for (_, read), (_, told) in zip(by_reader.iterrows(), by_phrases.iterrows(), strict=True):
        tested = {"read blind": _tested(read), "by phrases": _tested(told)}
        lines.append(
            head(read)
            | {f"{key}, {by}": d[key] for by, d in tested.items() for key in ("points", "corrected")}
        )
    return markdown(pd.DataFrame(lines))


def _tested(d: pd.Series) -> dict[str, str]:
    return {"points": cells.in_points(d), "p": f"{d['p']:.2g}", "corrected": f"{d['p_holm']:.2g}"}
