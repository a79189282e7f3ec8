"""The page of findings: a table of claims, and what they come to in words."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.book import cells
from lox.book.chapters.findings.measure import NOT_RECORDED, overall

ELSEWHERE = {
    "A low rank stands where full rank breaks.": "ablation",
    "High learning rates partly defeat LoX.": "dose",
    "The aligned model sits in a narrow valley of the safety landscape, the LoX model on a plateau.": "landscape",
    "A few ranks of the update carry the safety (the effective rank is small).": "effective_rank",
}  # claims that a page tests in its own run, without a recorded table


def finding(tested: pd.DataFrame) -> Markdown:
    """How many of the claims hold in every world that tested them, partly, or not; by name."""
    words = tested.groupby("claim", sort=False)["word"].agg(overall)
    said = {
        "holds": "hold wherever they were tested",
        "partly": "hold in one world and are not established in another",
        "open": "are open: no interval excludes zero",
        "not here": "are contradicted",
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


def _number(row) -> str:
    if row.word == NOT_RECORDED:
        return "–"
    return f"{row.mean:+.2f}<br>[{row.low:+.2f}, {row.high:+.2f}]"
