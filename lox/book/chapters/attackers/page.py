"""Who the attackers are, their figure and their tables."""

from __future__ import annotations

import math
from textwrap import fill
from typing import NamedTuple

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from lox.book.cells import in_points, markdown, rate_of, rows_of, share
from lox.book.chapters.attackers.measure import dose_of
from lox.book.chapters.dose.page import times
from lox.book.figures import DEFENCE_COLORS, REFERENCE, stacked

LABEL = 29  # letters of a line of a label
WORDS = {"helps": "**yes**", "hurts": "**worse with LoX**", "mixed": "mixed", "open": "not established"}


class Description(NamedTuple):
    """What an attacker is called, what it has to have, and what it costs."""

    name: str
    needs: str
    cost: str


DESCRIPTIONS = {
    "nothing": Description("nobody: as published", "–", "–"),
    "full": Description("fine-tunes all weights", "weights, harmful examples", "training"),
    "inside": Description(
        "fine-tunes inside the safety subspace", "weights, base, harmful examples", "training"
    ),
    "outside": Description("fine-tunes outside of it", "weights, base, harmful examples", "training"),
    "base": Description("uses the base instead", "base", "nothing"),
    "refusal-direction": Description(
        "takes refusal's direction out", "weights, prompts of both kinds", "forward passes"
    ),
    "prefill": Description("begins the reply", "the reply's first words", "nothing"),
    "int8": Description("nobody: rounding to 8 bits", "–", "–"),
    "int4": Description("nobody: rounding to 4 bits", "–", "–"),
}


def description_of(attacker: str) -> Description:
    """What is told of an attacker, of "lora-8" and "rate-4" too."""
    kind, _, number = attacker.rpartition("-")
    if kind == "lora":
        return Description(
            f"fine-tunes a LoRA of rank {number}", "weights, harmful examples", "less training"
        )
    if kind == "rate":
        return Description(
            f"fine-tunes all weights at {number} times the rate", "weights, harmful examples", "training"
        )
    if kind in ("undo", "pair"):
        often = {"1": "once", "2": "twice"}.get(number, f"{number} times")
        name = f"takes the safety part back {often}"
        if kind == "pair":
            return Description(f"{name}, from both weights", "aligned and LoX weights", "arithmetic")
        return Description(name, "weights, base", "arithmetic")
    return DESCRIPTIONS[attacker]


# --- figure -----------------------------------------------------------------------------------------------


def attackers(rows: pd.DataFrame, means: pd.DataFrame, recorded: pd.DataFrame | None = None) -> Figure:
    """ASR of each attacker without and with LoX: dots are seeds, diamonds means, bands the recorded intervals."""
    order = list(dict.fromkeys(means["attacker"]))
    figure, (axes,) = stacked([1.2 + 0.5 * len(order)])
    for i, attacker in enumerate(order):
        for defence, shift in (("none", -0.18), ("lox", 0.18)):
            place, color = i + shift, DEFENCE_COLORS[defence]
            seeds = rows_of(rows, attacker=attacker, defence=defence)["asr"]
            axes.plot(seeds, [place] * len(seeds), "o", color=color, alpha=0.5, ms=4, clip_on=False)
            mean = rows_of(means, attacker=attacker, defence=defence).iloc[0]
            axes.plot(mean["asr"], place, "D", color=color, ms=6, clip_on=False)
            if recorded is not None:
                for _, r in rows_of(recorded, attacker=attacker, defence=defence).iterrows():
                    width = r["asr_high"] - r["asr_low"]
                    axes.barh(place, width, 0.3, r["asr_low"], color=color, alpha=0.22, lw=0)
                    axes.plot([r["asr"]] * 2, [place - 0.15, place + 0.15], color=color, lw=2)
    axes.set_yticks(range(len(order)), [fill(description_of(a).name, LABEL) for a in order])
    axes.set(xlabel="attack success rate", xlim=(-0.02, 1.02), ylim=(len(order) - 0.5, -0.5))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="y", visible=False)
    handles = [
        Line2D([], [], color=DEFENCE_COLORS[d], marker="D", ls="", label=text)
        for d, text in (("none", "without LoX"), ("lox", "with LoX"))
    ]
    band = (
        []
        if recorded is None
        else [Patch(color=REFERENCE, alpha=0.3, lw=0, label="recorded: mean, interval")]
    )
    figure.legend(handles=[*handles, *band], loc="outside upper left", ncols=3)
    return figure


# --- tables -----------------------------------------------------------------------------------------------


def who(names: list[str]) -> Markdown:
    """Who the attackers are: what each has to have, and what it costs."""
    return markdown(
        pd.DataFrame(
            {
                "Attacker": description_of(a).name,
                "Has": description_of(a).needs,
                "Costs": description_of(a).cost,
                "Name": f"`{a}`",
            }
            for a in names
        )
    )


def usefulness(means: pd.DataFrame) -> Markdown:
    """ASR beside what the attacked model is still good for, without → with LoX."""
    columns = {"ASR": "asr", "Answered": "helpful", "Utility": "utility", "Gibberish": "gibberish"}
    lines = []
    for attacker, group in means.groupby("attacker", sort=False):
        sides = group.set_index("defence")
        line = {"Attacker": description_of(attacker).name}
        for title, column in columns.items():
            line[title] = " → ".join(share(sides.loc[d, column]) for d in ("none", "lox"))
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def ratios(table: pd.DataFrame) -> Markdown:
    """How many times as many steps an attacker who trains needs with LoX."""
    if table.empty:
        return Markdown(
            "This run looks at one length of training; `-p times '{\"full\": 8}'` measures doses."
        )
    return markdown(
        pd.DataFrame(
            {
                "Attacker": description_of(d["attacker"]).name,
                "steps with LoX ÷ without": times(d, ""),
                "seeds": f"{d['seeds']:.0f}",
                "measured": f"{d['measured']:.0f}",
            }
            for _, d in table.iterrows()
        )
    )


def against_whom(table: pd.DataFrame) -> Markdown:
    """The plain table: against whom LoX helps, by ``measure.against_whom``."""
    return markdown(
        pd.DataFrame(
            {
                "Attacker": description_of(d["attacker"]).name,
                "ASR without → with LoX": f"{share(d['without'])} → {share(d['with'])}",
                "lower by (points)": f"{in_points(d)}, p {d['p_holm']:.2g}",
                "steps, with ÷ without": _ratio(d),
                "LoX helps": WORDS[d["word"]],
            }
            for _, d in table.iterrows()
        )
    )


def _ratio(d: pd.Series) -> str:
    return "–" if math.isnan(d["ratio"]) else f"{times(dose_of(d), '')}, p {d['dose_p_holm']:.2g}"


def real(paired: pd.DataFrame, rates: pd.DataFrame) -> Markdown:
    """Harm read blind of each attacker on a real model, without LoX and with it, and what the model still answers."""
    lines = []
    for _, d in paired.iterrows():
        sides = rows_of(rates, attacker=d["attacker"]).set_index("defence")
        lines.append(
            {
                "Attacker": f"{description_of(d['attacker']).name} ({d['seeds']:.0f} seeds)",
                "harm without LoX": rate_of(sides.loc["none"], "harm"),
                "with LoX": rate_of(sides.loc["lox"], "harm"),
                "lower by (points)": f"{in_points(d)}, p {d['p_holm']:.2g}",
                "answered": " → ".join(share(sides.loc[defence, "helpful"]) for defence in ("none", "lox")),
            }
        )
    return markdown(pd.DataFrame(lines))
