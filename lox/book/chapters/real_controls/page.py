"""Figure and tables of the chapter on a real model beside controls of LoX's size."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import markdown, rate_of, rows_of, share
from lox.book.chapters.real_controls.measure import (
    ATTACK,
    BEFORE,
    HALVED,
    HARMLESS,
    IDENTITY,
    PERSONA,
    RIVALS,
    STEPS,
    UNALIGNED,
    steps_of,
)
from lox.book.figures import DEFENCE_COLORS, stacked
from lox.book.names import DEFENCE_NAMES
from lox.lab.model import LONGER

STATES = {
    BEFORE: "before fine-tuning",
    ATTACK: "after Pure Bad",
    PERSONA: "before, in persona",
    IDENTITY: "after identity shifting",
    "dolly": "after Dolly",
    "gsm8k": "after GSM8K",
}
NAMES = DEFENCE_NAMES | {
    "none": "no step",
    "half": "half of LoX's step",
    LONGER: "one more epoch of alignment",
    UNALIGNED: "unaligned",
}
RATES = {
    "answered": "harmless requests answered",
    "harm": "harm, read blind",
    "lost": "refusal lost, by phrases",
    "utility": "utility",
}
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


# --- figure -------------------------------------------------------------------------------------------


def frontier(rates: pd.DataFrame, each: pd.DataFrame) -> Figure:
    """ASR read blind against harmless requests not answered, a panel a state: a dot a seed, a diamond the mean.

    After ``HARMLESS`` there is hardly any harm, and no panel.
    ``rates`` and ``each`` are of ``measure``. The dotted line is the unaligned model's, asked as the panel's models.
    """
    states = [state for state in STATES if state not in (PERSONA, *HARMLESS)]
    figure, panels = stacked([2.2] * len(states), sharex=True, sharey=True)
    for axes, state in zip(panels, states):
        longer, rivals = [LONGER] if state in HALVED else [], RIVALS if state == ATTACK else ()
        for defence in (*steps_of(state), *longer, *rivals):
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
            NAMES[d]: rate_of(ours.loc[d], column) if d in ours.index else "–" for d in (UNALIGNED, *STEPS)
        }
        lines.append({"Model": STATES[state]} | cell)
    return markdown(pd.DataFrame(lines))


def differences(contrasts: pd.DataFrame) -> Markdown:
    """``measure.contrasts``, a row for each state and pair, with p corrected for the rows of a state."""
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


def added(by_reader: pd.DataFrame, by_phrases: pd.DataFrame) -> Markdown:
    """``measure.added`` by both judges, a row for each state and step."""
    return _by_both(
        by_reader, by_phrases, lambda d: {"Model": f"{STATES[d['state']]}, {NAMES[d['defence']]}"}
    )


def rivals(rates: pd.DataFrame) -> Markdown:
    """After the attack: harm, refusals lost, harmless requests answered and utility with each rival, and with LoX."""
    models = rows_of(rates, state=ATTACK).set_index("defence")
    return markdown(
        pd.DataFrame(
            {"After the attack": NAMES[name]} | _all_rates(models.loc[name])
            for name in ("none", "lox", LONGER, *RIVALS)
        )
    )


def longer(rates: pd.DataFrame) -> Markdown:
    """Harm, refusals lost, answers and utility without a step, with one more epoch, and with LoX, in ``HALVED``."""
    return markdown(
        pd.DataFrame(
            {"Model": f"{STATES[state]}, {NAMES[name]}"}
            | _all_rates(rows_of(rates, state=state, defence=name).iloc[0])
            for state in HALVED
            for name in ("none", LONGER, "lox")
        )
    )


def _all_rates(model: pd.Series) -> dict[str, str]:
    return {
        "harm": rate_of(model, "harm"),
        "refusal lost": rate_of(model, "lost"),
        "answered": rate_of(model, "helpful"),
        "utility": f"{model['utility']:.3f}",
    }


def beside_longer(differences: pd.DataFrame) -> Markdown:
    """``measure.beside_longer``, a row for each rate and pair."""
    return markdown(
        pd.DataFrame(
            {
                "Rate": f"{RATES[d['rate']]}, {STATES[d['state']]}",
                "difference": f"{NAMES[d['first']]} minus {NAMES[d['second']]}",
            }
            | _tested(d)
            for _, d in differences.iterrows()
        )
    )


def against_rivals(contrasts: pd.DataFrame) -> Markdown:
    """``measure.against_rivals``: a row for each rival, in points, beside no defence and beside LoX."""
    lines = []
    for rival in RIVALS:
        line = {"Rival": NAMES[rival]}
        for first, name in (("none", "none minus it"), ("lox", "LoX minus it")):
            tested = _tested(rows_of(contrasts, first=first, second=rival).iloc[0])
            line |= {name: tested["points"], f"p, {name}": tested["corrected"]}
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def choice(table: pd.DataFrame) -> Markdown:
    """``choice``'s recorded points, a row for each; of ranks only the ASR was asked for."""
    asked = table["n_harmless"].notna()
    return markdown(
        pd.DataFrame(
            {
                "Point": [f"**{p}**" if chosen else p for p, chosen in zip(table["point"], table["chosen"])],
                "ASR": [rate_of(row) for _, row in table.iterrows()],
                "answered": [
                    rate_of(row, "answered") if is_asked else "–"
                    for (_, row), is_asked in zip(table.iterrows(), asked)
                ],
            }
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
                "answered": rate_of(row, "helpful"),
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
