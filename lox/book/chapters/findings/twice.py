"""What two records of the toy say of the same comparisons: the same seed numbers, other base models."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
from IPython.display import Markdown

from lox.book import cells

SIDES = ("above", "below")
OUTCOMES = {  # of a comparison that was made twice -> what a page calls it
    "both": "in both",
    "one": "in one",
    "neither": "in neither",
    "opposite": "on opposite sides",
}


class Compared(NamedTuple):
    """A recorded table of comparisons: its page, the columns that tell them apart, and where nothing is gained."""

    page: str
    key: tuple[str, ...]
    estimate: str = "difference"
    even: float = 0.0


TABLES = {
    "robustness_paired": Compared("robustness", ("task", "form", "first", "second")),
    "attackers_paired": Compared("attackers", ("attacker",)),
    "attackers_ratios": Compared("attackers", ("attacker",), "ratio", 1.0),
    "rivals_paired": Compared("rivals", ("first", "second")),
    "stress_paired": Compared("stress", ("task", "defence", "first", "second")),
    "dose_ratios": Compared("dose", ("task", "second"), "ratio", 1.0),
}


def compared(recorded: Callable[[str], pd.DataFrame], earlier: Callable[[str], pd.DataFrame]) -> pd.DataFrame:
    """Every comparison that both records made, a row each.

    Columns page; of, what is compared, by its names in the table; estimate, "difference" or "ratio"; even; its value,
    low and high now and value_earlier, low_earlier and high_earlier; and said, "above" or "below" where corrected p
    distinguishes it, else "open", with said_earlier.
    """
    lines = []
    for name, table in TABLES.items():
        sides = [read(name).set_index(list(table.key)) for read in (recorded, earlier)]
        for key in (key for key in sides[0].index if key in sides[1].index):
            of = key if isinstance(key, str) else ", ".join(key)
            line = {"page": table.page, "of": of, "estimate": table.estimate, "even": table.even}
            for end, side in zip(("", "_earlier"), sides, strict=True):
                row = side.loc[key]
                line |= {
                    f"value{end}": row[table.estimate],
                    f"low{end}": row["low"],
                    f"high{end}": row["high"],
                }
                line[f"said{end}"] = cells.said_of(row, *SIDES, "open", even=table.even)
            lines.append(line)
    return pd.DataFrame(lines)


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """How far two records agree, of ``compared``: for each page its comparisons, a column for each outcome.

    They are distinguished in "both" on the same side, in "one", in "neither", or on "opposite" sides.
    """
    outcome = pd.Series([_outcome(row) for row in table.itertuples()], table.index, name="outcome")
    counts = pd.crosstab(table["page"], outcome).reindex(columns=list(OUTCOMES), fill_value=0)
    return counts.loc[list(dict.fromkeys(table["page"]))].reset_index()


def _outcome(row) -> str:
    if row.said == row.said_earlier:
        return "neither" if row.said == "open" else "both"
    return "one" if "open" in (row.said, row.said_earlier) else "opposite"


def in_words(table: pd.DataFrame) -> Markdown:
    """How many comparisons both records made, and how many of them each allows to decide, on the same side or not."""
    counts = agreement(table)[list(OUTCOMES)].sum()
    return Markdown(
        f"Of {counts.sum()} comparisons that both made, {counts['both']} are distinguished in both, on the same side; "
        f"{counts['one']} in one of them, {counts['neither']} in neither, and {counts['opposite']} on opposite sides."
    )


def agreement_table(table: pd.DataFrame) -> Markdown:
    """``agreement``, a line a page."""
    lines = agreement(table)
    shown = pd.DataFrame({"Comparisons of": [f"{{doc}}`{page}`" for page in lines["page"]]})
    return cells.markdown(shown.assign(**{text: lines[name] for name, text in OUTCOMES.items()}))


def claims_in_words(tested: pd.DataFrame) -> Markdown:
    """How the paper's claims fare in two records of one world, of ``measure.tested`` on both."""
    words = tested.groupby("claim", sort=False)["word"].agg(frozenset)
    sorts = {
        "hold in both records": words == {"holds"},
        "hold in one and are open in the other": words == {"holds", "open"},
        "are open in both": words == {"open"},
        "are contradicted in one or both": words.map(lambda said: "not here" in said),
    }
    parts = [f"{chosen.sum()} {text}" for text, chosen in sorts.items()]
    once = list(words.index[sorts["hold in one and are open in the other"]])
    named = f" Those that hold in one only: {' '.join(once)}" if once else ""
    return Markdown(f"Of the {len(words)} claims above, {cells.listed(parts)}.{named}")
