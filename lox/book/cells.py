"""What is in the cells of several chapters' tables: which rows they are of, how a number is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import SupportsInt

import pandas as pd
from IPython.display import Markdown

from lox.lab.statistics import Rate

FINDING = ":::{admonition} Finding"  # how the box under a page's title begins
PAPER_PROMPTS = 100  # the paper's n
SIGNIFICANT = 0.05  # a corrected p below this distinguishes a difference from 0


def markdown(frame: pd.DataFrame, note: str = "") -> Markdown:
    """Any table, and a paragraph under it; columns of numbers to the right, each with the digits it is written with."""
    columns = [_written(column) for _, column in frame.items()]
    numbers = [pd.to_numeric(column, errors="coerce").notna().all() for column in columns]
    align = ["right" if number else "left" for number in numbers]
    text = pd.concat(columns, axis=1) if columns else frame
    table = text.to_markdown(index=False, disable_numparse=True, colalign=align)
    return Markdown(f"{table}\n\n{note}" if note else table)


def _written(column: pd.Series) -> pd.Series:
    """The cells of a column as text; floats with equally many decimals, as many as the longest needs."""
    if column.dtype != float or column.empty:
        return column.map(str)
    text = column.map("{:g}".format)
    if text.str.contains("e").any():
        return text
    decimals = text.str.partition(".")[2].str.len().max()
    return column.map(f"{{:.{decimals}f}}".format)


def rows_of(rows: pd.DataFrame, **values) -> pd.DataFrame:
    """The rows that have these values in the columns of these names."""
    for column, value in values.items():
        rows = rows[rows[column] == value]
    return rows


def finding(*sentences: str) -> Markdown:
    """The box under a page's title: what is found, a bullet for each sentence."""
    lines = "\n".join(f"- {sentence}" for sentence in sentences)
    return Markdown(f"{FINDING}\n:class: important\n{lines}\n:::")


def per_cent(value: float, low: float, high: float) -> str:
    """A rate with its interval, "11 % [6, 19]"."""
    return f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def paper_rate(value: float) -> str:
    """A rate that the paper gives, with Wilson's interval for the paper's number of prompts."""
    rate = Rate(round(value * PAPER_PROMPTS), PAPER_PROMPTS)
    return per_cent(rate.value, rate.low, rate.high)


def rate_of(row: pd.Series, column: str = "asr") -> str:
    """``per_cent`` of a row's column with its interval in the columns of that name and _low and _high."""
    return per_cent(*row[[column, f"{column}_low", f"{column}_high"]])


def share(value: float) -> str:
    return f"{100 * value:z.0f} %"


def over_seeds(values: pd.Series, digits: int = 2) -> str:
    """A mean over seeds with their range, "0.83 [0.81, 0.86]"."""
    return f"{values.mean():.{digits}f} [{values.min():.{digits}f}, {values.max():.{digits}f}]"


def with_interval(row: pd.Series, sign: str = "") -> str:
    """A mean over seeds with its interval, which a single seed does not have; with ``sign`` "+" it shows its sign."""
    interval = f" [{row['low']:z.2f}, {row['high']:z.2f}]" if pd.notna(row["low"]) else ""
    return f"{row['mean']:{sign}z.2f}{interval}"


def in_points(d: pd.Series) -> str:
    """A paired difference of two rates in points, with its interval; one decimal where all would be written as 0."""
    numbers = [100 * d[column] for column in ("difference", "low", "high")]
    hidden = any(numbers) and all(f"{number:z.0f}" == "0" for number in numbers)
    value, low, high = (f"{number:z.{int(hidden)}f}" for number in numbers)
    return f"{value} [{low}, {high}]"


def holds(difference: pd.Series, even: float = 0.0) -> bool:
    """Whether an estimate is distinguished from ``even``: by its p_holm if it is read with others, or its interval."""
    if pd.notna(difference.get("p_holm")):
        return bool(difference["p_holm"] < SIGNIFICANT)
    return _excludes(difference, even)


def _excludes(difference: pd.Series, even: float) -> bool:
    return bool(difference["low"] > even or difference["high"] < even)


def left_open(difference: pd.Series) -> bool:
    """Whether a difference is not distinguished from 0 although its interval, taken alone, excludes 0."""
    return _excludes(difference, even=0.0) and not holds(difference)


def said_of(
    difference: pd.Series, above: str, below: str, neither: str = "not distinguished", even: float = 0.0
) -> str:
    """What may be said of an estimate with low and high, by ``holds``: that it is above ``even``, below it, or neither.

    ``even`` is where nothing is gained: 0 for a difference, 1 for a ratio.
    """
    if not holds(difference, even):
        return neither
    return above if difference["low"] + difference["high"] > 2 * even else below


def by_verdict(differences: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of paired differences that ``said_of`` puts "above" 0, "below" it, or on "neither" side."""
    said = [said_of(d, "above", "below", "neither") for _, d in differences.iterrows()]
    return {word: differences[[s == word for s in said]] for word in ("above", "below", "neither")}


def listed_by_verdict(
    differences: pd.DataFrame, words: Mapping[str, str], name_of: Callable[[pd.Series], str]
) -> list[str]:
    """A phrase for each side of ``by_verdict`` that has rows: its words, then the rows, each by ``name_of``.

    ``words`` are by side, in the order of the phrases; a side without words is left out.
    """
    sides = by_verdict(differences)
    return [
        f"{said} {listed(name_of(d) for _, d in sides[side].iterrows())}"
        for side, said in words.items()
        if len(sides[side])
    ]


def listed(items: Iterable) -> str:
    """Items in a sentence, "A", "A and B" or "A, B and C"; "none" of none."""
    *others, last = list(map(str, items)) or ["none"]
    return f"{', '.join(others)} and {last}" if others else last


def points(difference: pd.Series) -> str:
    """``in_points`` within a sentence, "12 points [3, 20]"; with its p where only the correction leaves it open."""
    value, interval = in_points(difference).split(" ", 1)
    words = f"{value} point{'' if value in ('1', '-1') else 's'} {interval}"
    if left_open(difference):
        words += f", corrected p = {difference['p_holm']:.2g}"
    return words


def named(name: str, difference: pd.Series, by: str = "") -> str:
    """A name in a list of what is not distinguished, with its ``points`` where only the correction leaves it open."""
    return f"{name} ({by}{points(difference)})" if left_open(difference) else name


def counted(number: SupportsInt, of: SupportsInt, what: str) -> str:
    """ "none of 5 tasks", "3 of 5 tasks", "all 5 tasks"."""
    amount = "none of" if number == 0 else "all" if number == of else f"{number} of"
    return f"{amount} {of} {what}"


def checked(faults: Iterable[str], right: str) -> Markdown:
    """What an exercise that checks itself says: the first fault, which may be an error of the answer, or ``right``."""
    try:
        fault = next(iter(faults), None)
    except Exception as error:  # of the reader's own function, whatever it is
        fault = f"It stops with {type(error).__name__}: {error}"
    return Markdown(f"**Right.** {right}" if fault is None else f"**Not yet.** {fault}")
