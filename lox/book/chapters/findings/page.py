"""The page of findings: a table of claims, and what they come to in words."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.book import cells
from lox.book.chapters.dose.page import times
from lox.book.chapters.findings.measure import NOT_RECORDED, overall
from lox.book.names import DEFENCE_NAMES, TASK_NAMES

ELSEWHERE = {
    "A low rank stands where full rank breaks.": "ablation",
    "High learning rates partly defeat LoX.": "attackers",
    "The aligned model sits in a narrow valley of the safety landscape, the LoX model on a plateau.": "landscape",
    "A few ranks of the update carry the safety (the effective rank is small).": "effective_rank",
}  # claims that a page tests in its own run


def finding(tested: pd.DataFrame) -> Markdown:
    """How many of the claims hold in every world that tested them, partly, or not; by name."""
    words = tested.groupby("claim", sort=False)["word"].agg(overall)
    said = {
        "holds": "hold wherever they were tested",
        "partly": "hold in some of the worlds that tested them and are open in the others",
        "mixed": "hold in one world and are contradicted in another",
        "open": "are open: nothing distinguishes their number from zero",
        "not here": "are contradicted, and hold in none",
    }
    lines = [f"**{(words == word).sum()}** of {len(words)} claims {text}." for word, text in said.items()]
    return cells.finding(*lines)


def table(tested: pd.DataFrame) -> Markdown:
    """A line for each claim, which links to its page: the verdict, its number in each world with the interval."""
    lines = []
    for claim, group in tested.groupby("claim", sort=False):
        numbers = {row.world: _number(row) for row in group.itertuples()}
        page = group["page"].iloc[0]
        verdict = f"**{overall(group['word'])}**"
        lines.append({"Claim": f"{{doc}}`{claim} <{page}>`", "Verdict": verdict} | numbers)
    return cells.markdown(pd.DataFrame(lines))


def elsewhere() -> Markdown:
    """The claims that a page's own run tests."""
    return Markdown("\n".join(f"- {claim} See {{doc}}`{page}`." for claim, page in ELSEWHERE.items()))


def doses(beyond: pd.DataFrame) -> Markdown:
    """How many times as many steps it takes to break a model, of ``measure.beyond``."""
    return cells.markdown(
        pd.DataFrame(
            {
                "Fine-tuned on": TASK_NAMES[row["of"]],
                "with": DEFENCE_NAMES[row["second"]],
                "steps, times those without": times(row.rename({"value": "ratio"}), unit=""),
                "more steps": f"**{row['word']}**",
            }
            for _, row in cells.rows_of(beyond, page="dose").iterrows()
        )
    )


def rivals(beyond: pd.DataFrame) -> Markdown:
    """What each defence takes off the ASR, mean over tasks, of ``measure.beyond``."""
    return cells.markdown(
        pd.DataFrame(
            {
                "The defence": DEFENCE_NAMES[row["of"]],
                "points off the ASR": cells.in_points(row.rename({"value": "difference"})),
                "p, corrected": f"{row['p_holm']:.2g}",
                "lower": f"**{row['word']}**",
            }
            for _, row in cells.rows_of(beyond, page="rivals").iterrows()
        )
    )


def _number(row) -> str:
    if row.word == NOT_RECORDED:
        return "–"
    return f"{row.mean:+.2f}<br>[{row.low:+.2f}, {row.high:+.2f}]"
