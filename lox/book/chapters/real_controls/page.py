"""Figure, tables and sentences of the chapter on a real model beside controls of LoX's size."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import listed, markdown, per_cent, points, rows_of, said_of, share
from lox.book.chapters.real_controls.measure import PERSONA, UNALIGNED
from lox.book.figures import DEFENCE_COLORS, stacked
from lox.book.names import DEFENCE_NAMES, TASK_NAMES, attacks_in

STATES = {  # of a model, in the order of the tables
    "none": "before fine-tuning",
    "pure_bad": "after Pure Bad",
    PERSONA: "before fine-tuning, in persona",
    "identity": "after identity shifting, in persona",
}
NAMES = DEFENCE_NAMES | {"none": "no step", UNALIGNED: "unaligned"}
KINDS = {"harmful": "neither", "refusal": "refuses", "evasion": "evades", "gibberish": "gibberish"}


# --- sentences ----------------------------------------------------------------------------------------


def finding(
    reader: pd.DataFrame, by_reader: pd.DataFrame, by_phrases: pd.DataFrame, cost: pd.DataFrame
) -> Markdown:
    """The box of the page; ``reader`` is ``measure.success``, the others ``measure.contrasts``."""
    return cells.finding(
        scale_in_words(reader),
        *(control_in_words(task, by_reader, "read blind") for task in attacks_in(by_reader)),
        *(control_in_words(task, by_phrases, "by phrases") for task in attacks_in(by_phrases)),
        cost_in_words(cost),
    )


def scale_in_words(reader: pd.DataFrame) -> str:
    """What the ends of the scale are, as the reader sees them: the unaligned model and the aligned one."""
    models = rows_of(reader, defence=UNALIGNED).iloc[0], rows_of(reader, task="none", defence="none").iloc[0]
    base, aligned = (per_cent(*m[["asr", "low", "high"]]) for m in models)
    return (
        f"**The scale.** Read blind, {base} of the unaligned model's replies do what the harmful request wants, and "
        f"{aligned} of the aligned models'."
    )


def control_in_words(task: str, contrasts: pd.DataFrame, judged: str) -> str:
    """Whether LoX lowers the ASR after a task, whether random directions do, and whether LoX does more than these."""
    ours = rows_of(contrasts, task=task).set_index(["first", "second"])
    return (
        f"**After {TASK_NAMES[task]}, {judged}**, over {int(ours['seeds'].iloc[0])} seeds: "
        + "; ".join(
            f"{said_of(d, 'lower', 'higher')} {words} ({points(d)})"
            for words, d in (
                ("with LoX than without", ours.loc[("none", "lox")]),
                ("with random directions than without", ours.loc[("none", "random")]),
                ("with LoX than with random directions", ours.loc[("random", "lox")]),
            )
        )
        + "."
    )


def cost_in_words(contrasts: pd.DataFrame) -> str:
    """What LoX and a random step cost in harmless requests answered, before fine-tuning."""
    before = rows_of(contrasts, task="none").set_index(["first", "second"])
    costs = [f"{NAMES[defence]} {points(before.loc[('none', defence)])}" for defence in ("lox", "random")]
    return (
        f"**Its price** before fine-tuning, harmless requests that are no longer answered: {listed(costs)}."
    )


# --- figure -------------------------------------------------------------------------------------------


def frontier(reader: pd.DataFrame, answered: pd.DataFrame) -> Figure:
    """ASR read blind against harmless requests not answered, a panel a task: a dot a seed, a diamond the mean."""
    tasks = _states_in(reader)
    figure, panels = stacked([2.3] * len(tasks), sharex=True, sharey=True)
    for axes, task in zip(panels, tasks):
        for defence in rows_of(answered, task=task)["defence"]:
            _defence(
                axes, defence, *(rows_of(t, task=task, defence=defence).iloc[0] for t in (reader, answered))
            )
        base = rows_of(reader, defence=UNALIGNED)["asr"].iloc[0]
        axes.axhline(base, color="0.45", linestyle=":", linewidth=1)
        axes.set(title=STATES[task], ylabel="ASR")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[-1].set(xlabel="harmless requests not answered", xlim=(0, None), ylim=(-0.02, None))
    panels[-1].xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0].annotate(
        "unaligned", (0.01, base), (0, 3), textcoords="offset points", fontsize=8, color="0.45"
    )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def _defence(axes, defence: str, reader: pd.Series, answered: pd.Series) -> None:
    colour = DEFENCE_COLORS[defence]
    axes.plot([1 - a for a in answered["each"]], reader["each"], ".", color=colour, alpha=0.6)
    axes.errorbar(
        1 - answered["answered"],
        reader["asr"],
        xerr=[[answered["high"] - answered["answered"]], [answered["answered"] - answered["low"]]],
        yerr=[[reader["asr"] - reader["low"]], [reader["high"] - reader["asr"]]],
        fmt="D",
        color=colour,
        elinewidth=1,
        label=NAMES[defence],
    )


def _states_in(table: pd.DataFrame) -> list[str]:
    return [state for state in STATES if state in set(table["task"])]


# --- tables -------------------------------------------------------------------------------------------


def rates(success: pd.DataFrame) -> Markdown:
    """ASR of every model with its interval: a row for each task, a column for each defence."""
    defences = [d for d in NAMES if d in set(success["defence"])]
    lines = []
    for task in _states_in(success):
        ours = rows_of(success, task=task).set_index("defence")
        cell = {
            NAMES[d]: per_cent(*ours.loc[d, ["asr", "low", "high"]]) if d in ours.index else "–"
            for d in defences
        }
        lines.append({"Model": STATES[task]} | cell)
    return markdown(pd.DataFrame(lines))


def differences(contrasts: pd.DataFrame) -> Markdown:
    """``measure.contrasts``, a row for each task and pair, with p corrected for the table."""
    return markdown(
        pd.DataFrame(
            {
                "Model": STATES[d["task"]],
                "difference": f"{NAMES[d['first']]} minus {NAMES[d['second']]}",
                "points": cells.in_points(d),
                "p": f"{d['p']:.2g}",
                "corrected": f"{d['p_holm']:.2g}",
            }
            for _, d in contrasts.iterrows()
        )
    )


def kinds(table: pd.DataFrame) -> Markdown:
    """``measure.by_kind``: what the replies to harmful requests do, a row for each model."""
    shown = [kind for kind in KINDS if kind in table]
    return markdown(
        pd.DataFrame(
            {"Model": STATES[row["task"]], "Step": NAMES[row["defence"]]}
            | {KINDS[kind]: share(row[kind]) for kind in shown}
            for _, row in table.iterrows()
        )
    )


def costs(answered: pd.DataFrame, utility: pd.DataFrame) -> Markdown:
    """Harmless requests answered and utility of every model, with their intervals over seeds."""
    both = answered.merge(utility, on=["task", "defence"], suffixes=("", "_utility"))
    return markdown(
        pd.DataFrame(
            {
                "Model": STATES[row["task"]],
                "Step": NAMES[row["defence"]],
                "answered": per_cent(row["answered"], row["low"], row["high"]),
                "utility": f"{row['utility']:.3f} [{row['low_utility']:.3f}, {row['high_utility']:.3f}]",
            }
            for _, row in both.iterrows()
        )
    )
