"""Two recorded runs of one experiment as one: the same seed numbers on two machines, and so other base models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lox.lab.statistics import mean_of_two, p_of_two

COUNTS = ("seeds", "measured", "left_out")  # columns whose numbers add up
ALONE = ("difference", "ratio", "asr")  # estimates whose interval may be called low and high
MEANS = ("utility", "left", "without", "with")  # columns without an interval, where they have none


def together(tables: Sequence[pd.DataFrame], key: Sequence[str]) -> pd.DataFrame:
    """The same estimates from one run or two as one table; ``key`` are the columns that tell its rows apart.

    An estimate is the mean of both runs' with the interval of ``mean_of_two``: a difference or, on the logarithmic
    scale, a ratio with low and high, a rate with _low and _high behind its name. p is ``p_of_two``; numbers of seeds
    add up; other columns are those of the first run. p_holm is left to whoever knows what is read together. A row
    that only one run has stays as it is.
    """
    first, *others = [table.drop(columns="p_holm", errors="ignore") for table in tables]
    if not others:
        return first
    (second,) = (table.set_index(list(key)) for table in others)
    both = set(second.index)
    lines = []
    for _, row in first.iterrows():
        name = tuple(row[list(key)]) if len(key) > 1 else row[key[0]]
        lines.append(_of_two(row, second.loc[name]) if name in both else row)
    had = set(first.set_index(list(key)).index)
    rest = second[[name not in had for name in second.index]].reset_index()
    return pd.concat([pd.DataFrame(lines), rest[list(first)]], ignore_index=True).infer_objects()


def seeds_together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Rows of one run or two with a column ``seed``; those of the second run are other base models, from 1000 on."""
    numbered = [table.assign(seed=table["seed"] + 1000 * i) for i, table in enumerate(tables)]
    return pd.concat(numbered, ignore_index=True)


def _of_two(row: pd.Series, other: pd.Series) -> pd.Series:
    found = row.copy()
    for name in row.index:
        if ends := _ends(name, row.index):
            there, back = (np.log, np.exp) if name == "ratio" else (np.asarray, np.asarray)
            found[ends] = back(mean_of_two(*(there(side[ends].astype(float)) for side in (row, other))))
        elif name in COUNTS:
            found[name] = int(row[name] + other[name])
        elif name in MEANS:
            found[name] = (row[name] + other[name]) / 2
    if "p" in row.index:
        what, even = ("ratio", 1.0) if "ratio" in row.index else ("difference", 0.0)
        found["p"] = p_of_two([(side["p"], side[what] - even) for side in (row, other)])
    return found


def _ends(name: str, columns: pd.Index) -> list[str]:
    """An estimate's column with those of its interval; empty for a column that has none."""
    if f"{name}_low" in columns:
        return [name, f"{name}_low", f"{name}_high"]
    return [name, "low", "high"] if name in ALONE and "low" in columns else []
