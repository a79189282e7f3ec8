"""What is in the cells of several chapters' tables: which rows they are of, how a number is written."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.lab.evaluation import Rate

PAPER_PROMPTS = 100  # the paper's n
COSTS = {
    "Gibberish": "gibberish",
    "Helpful": "helpful",
    "Over-refusal": "over_refusal",
    "Utility": "utility",
}


def markdown(frame: pd.DataFrame) -> Markdown:
    """Any table, as it is."""
    return Markdown(frame.to_markdown(index=False))


def rows_of(rows: pd.DataFrame, **values) -> pd.DataFrame:
    """The rows that have these values in the columns of these names."""
    for column, value in values.items():
        rows = rows[rows[column] == value]
    return rows


def per_cent(rate: Rate) -> str:
    """A rate with its Wilson interval, "11 % [6, 19]"."""
    return f"{100 * rate.value:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def pooled(rows: pd.DataFrame, column: str = "asr") -> Rate:
    """A rate over the prompts of several rows: their counts added, their prompts added."""
    return Rate(round((rows[column] * rows["n"]).sum()), int(rows["n"].sum()))


def paper_rate(value: float) -> Rate:
    """A rate that the paper gives, over the paper's prompts."""
    return Rate(round(value * PAPER_PROMPTS), PAPER_PROMPTS)


def share(value: float) -> str:
    return f"{100 * value:.0f} %"


def mean_shares(rows: pd.DataFrame, columns: dict[str, str]) -> dict[str, str]:
    """The means of columns over rows, under the names that ``columns`` gives them."""
    return {name: share(rows[column].mean()) for name, column in columns.items()}


def over_seeds(values: pd.Series, digits: int = 2) -> str:
    """A mean over seeds with their range, "0.83 [0.81, 0.86]"."""
    return f"{values.mean():.{digits}f} [{values.min():.{digits}f}, {values.max():.{digits}f}]"


def in_points(d: pd.Series) -> str:
    """A paired difference of two rates in points, with its interval."""
    return f"{100 * d['difference']:z.0f} [{100 * d['low']:z.0f}, {100 * d['high']:z.0f}]"


def p_values(difference: pd.Series) -> str:
    """The p of every seed of a paired difference."""
    return ", ".join(f"{p:.2g}" for p in difference["p"])


def said_of(difference: pd.Series, above: str, below: str, neither: str = "not told apart") -> str:
    """What the interval of a paired difference allows to say: that it is above 0, below 0, or neither."""
    return above if difference["low"] > 0 else below if difference["high"] < 0 else neither
