"""Figure, tables and sentences of LoX beside its rivals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure

from lox.book import cells, trade_plot
from lox.book.cells import in_points, markdown, rate_of, rows_of, share
from lox.book.chapters.baselines.page import ASR_WITH, defence_with_points
from lox.book.chapters.rivals.trials import RATES
from lox.book.names import DEFENCE_NAMES


class Description(NamedTuple):
    """Who applies a defence, its rule in short, and its source in the bibliography."""

    who: str
    rule: str
    source: str


PROVIDER, TUNER, SERVER = "provider of the weights", "who runs fine-tuning", "who serves the result"
DESCRIPTIONS = {
    "lox": Description(PROVIDER, "$W_a + \\alpha \\operatorname{Proj}_k(\\Delta W_a)$", "perin2025lox"),
    "full-rank": Description(PROVIDER, "$W_a + \\alpha \\Delta W_a$ (ExPO)", "zheng2024expo"),
    "longer": Description(PROVIDER, "so many times the epochs of alignment", "rafailov2023dpo"),
    "slower": Description(TUNER, "so many times the rate of fine-tuning", "qi2024finetuning"),
    "safeinst": Description(TUNER, "2.5 % refusals in the data", "bianchi2024safety"),
    "guarded": Description(TUNER, "a loss that holds the first five tokens", "qi2025shallow"),
    "proximal": Description(
        TUNER, "$+ \\tfrac{\\rho}{2} \\lVert W - W_a \\rVert^2$ in the loss, of Lisa", "huang2024lisa"
    ),
    "removal": Description(SERVER, "$\\Delta W_f - \\operatorname{Proj}_k(\\Delta W_f)$", "perin2025lox"),
    "safe-lora": Description(
        SERVER, "$\\Delta W_a \\Delta W_a^\\top \\Delta W_f / \\lVert \\Delta W_a \\rVert$", "hsu2024safelora"
    ),
    "resta": Description(SERVER, "$W_f + \\gamma \\Delta W_a$", "bhardwaj2024resta"),
    "safemerge": Description(
        SERVER, "$(1 - \\lambda) W_f + \\lambda W_a$<br>where least along alignment", "djuhera2025safemerge"
    ),
    "wise-ft": Description(SERVER, "$(1 - \\lambda) W_f + \\lambda W_a$", "wortsman2022robust"),
    "lox+safeinst": Description("the first two", "both", "perin2025lox"),
    "lox+resta": Description("the first and the last", "both", "perin2025lox"),
}


def finding(means: pd.DataFrame, against: pd.DataFrame, recorded: bool) -> Markdown:
    """The box of the page."""
    kind = "Recorded" if recorded else "This run"
    seeds = int(means["seeds"].max())
    head = f"{kind}, over {seeds} seeds and the mean over tasks:"
    sentences = [f"{head} {lower_in_words(rows_of(against, first='none'))}"]
    beside = rows_of(against, first="lox")
    if len(beside):
        sentences.append(beside_lox_in_words(beside))
    sentences += [answers_in_words(means), utility_in_words(means)]
    return cells.finding(*sentences)


def lower_in_words(against_none: pd.DataFrame) -> str:
    """Which defences have the lower ASR than none."""
    parts = cells.listed_by_verdict(against_none, ASR_WITH, defence_with_points)
    return f"compared with no defence, the ASR is {'; '.join(parts)}."


def beside_lox_in_words(beside: pd.DataFrame) -> str:
    """Which rivals have a lower or a higher ASR than LoX."""
    parts = cells.listed_by_verdict(beside, ASR_WITH, lambda d: DEFENCE_NAMES[d["second"]])
    return f"Beside LoX the ASR is {'; '.join(parts)}."


def answers_in_words(means: pd.DataFrame) -> str:
    """Which defence leaves most benign prompts unanswered, and how many LoX does."""
    worst = means.loc[means["unanswered"].idxmax()]
    name = _named(worst["defence"])
    unanswered = share(worst["unanswered"])
    lox = rows_of(means, defence="lox")
    text = f"The largest share of benign prompts left unanswered is {unanswered}, with {name}"
    return text + (f"; with LoX it is {share(lox['unanswered'].iloc[0])}." if len(lox) else ".")


def _named(defence: str) -> str:
    return "no defence" if defence == "none" else DEFENCE_NAMES[defence]


def utility_in_words(means: pd.DataFrame) -> str:
    """Which defence leaves the least utility, and what there is of it without one."""
    worst, none = means.loc[means["utility"].idxmin()], rows_of(means, defence="none").iloc[0]
    name = _named(worst["defence"])
    least, whole = share(worst["utility"]), share(none["utility"])
    return f"The lowest utility is {least}, with {name}; without a defence it is {whole}."


def trade(means: pd.DataFrame, seeds: pd.DataFrame) -> Figure:
    """ASR against benign prompts not answered, both after fine-tuning."""
    return trade_plot.trade(
        means, seeds, unanswered="benign prompts not answered", asr="attack success rate, mean over tasks"
    )


def who(defences: list[str], strengths: dict[str, float]) -> Markdown:
    """Who applies each defence, by which rule, and the setting that was chosen."""
    return markdown(
        pd.DataFrame(
            {
                "Defence": f"{DEFENCE_NAMES[d]} {{cite:p}}`{DESCRIPTIONS[d].source}`",
                "Applied by": DESCRIPTIONS[d].who,
                "Rule": DESCRIPTIONS[d].rule,
                "Setting": f"{strengths[d.split('+')[-1]]:g}" if d.split("+")[-1] in strengths else "–",
            }
            for d in defences
            if d in DESCRIPTIONS
        )
    )


def table(means: pd.DataFrame, against: pd.DataFrame, left: pd.DataFrame) -> Markdown:
    """Every defence: ASR, difference to none, benign prompts unanswered, utility, what is left of fine-tuning."""
    lost = rows_of(against, first="none").set_index("second")
    kept = left.set_index("defence")["left"]
    return markdown(
        pd.DataFrame(
            {
                "Defence": DEFENCE_NAMES[m["defence"]],
                "ASR": rate_of(m),
                "none minus this": in_points(lost.loc[m["defence"]]) if m["defence"] in lost.index else "–",
                "Unanswered; utility": f"{share(m['unanswered'])}; {share(m['utility'])}",
                "Left of ΔW_ft": share(kept[m["defence"]]) if m["defence"] in kept.index else "–",
            }
            for _, m in means.iterrows()
        )
    )


def beside_lox(against: pd.DataFrame) -> Markdown:
    """ASR with LoX minus that with each rival."""
    return markdown(
        pd.DataFrame(
            {
                "Rival": DEFENCE_NAMES[d["second"]],
                "LoX minus this (points)": in_points(d),
                "p (Holm)": f"{d['p_holm']:.2g}",
                "So the rival's ASR is": cells.said_of(d, "lower", "higher"),
            }
            for _, d in rows_of(against, first="lox").iterrows()
        )
    )


def trials(means: pd.DataFrame, chosen: Mapping[str, float | None]) -> Markdown:
    """``trials.means``, a row for each rival and strength; what the rule chose is bold."""
    lines = []
    for _, row in means.iterrows():
        none = pd.isna(row["strength"])
        strength = "–" if none else f"{row['strength']:g}"
        is_chosen = not none and chosen[row["defence"]] == row["strength"]
        asr, helpful, utility, left = row[RATES]
        lines.append(
            {
                "Rival": DEFENCE_NAMES[row["defence"]],
                "Strength": f"**{strength}**" if is_chosen else strength,
                "ASR": share(asr),
                "Answered; utility": f"{share(helpful)}; {utility:.3f}",
                "Left of ΔW_ft": share(left),
            }
        )
    return markdown(pd.DataFrame(lines))
