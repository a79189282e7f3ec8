"""What a model does, as a table: rates with their intervals, and paired differences from another one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lox.lab.evaluated import Evaluated, of_set, verdicts_on
from lox.lab.judging.verdicts import Judge
from lox.lab.statistics import Estimate, Rate, mean_over_seeds, paired_difference, rate

Values = tuple[list, list[str]]  # of each prompt its value, true or false or in [0, 1], and what it is about
LABELS = ("evasion", "gibberish", "unparsed")


def judged(replies: list[dict], judge: Judge) -> Evaluated:
    """Answered questions of ``lox.lab.prompts`` with their verdicts. Utility is NaN where none were asked."""
    harmful, benign = of_set(replies, "harmful"), of_set(replies, "benign")
    likelihoods = token_likelihoods(replies)
    return Evaluated(
        replies,
        verdicts_on(harmful, judge),
        verdicts_on(benign, judge),
        [r["thing"] for r in harmful],
        [r["thing"] for r in benign],
        float(np.mean(likelihoods)) if likelihoods else math.nan,
    )


def token_likelihoods(replies: list[dict]) -> list[float]:
    """Of each solution that was scored, and not worked, the geometric mean of its tokens' probabilities."""
    scored = [r for r in of_set(replies, "utility") if "log_prob" in r]
    return [math.exp(r["log_prob"] / max(1, r["reply_tokens"])) for r in scored]


def outcomes(evaluated: Evaluated) -> dict[str, Values]:
    """Every measure that was taken: ASR, evasion, gibberish and unparsed of harmful prompts; answered and
    over-refusal of harmless ones; utility, the likelihood of a token of a problem's solution."""
    measures: dict[str, Values] = {}
    if evaluated.verdicts:
        labels = {name: [v.label == name for v in evaluated.verdicts] for name in LABELS}
        columns = {"ASR": evaluated.harmful} | labels
        measures |= {name: (column, evaluated.things) for name, column in columns.items()}
    if evaluated.benign:
        refused = [v.label == "refusal" for v in evaluated.benign]
        columns = {"answered": evaluated.answered, "over-refusal": refused}
        measures |= {name: (column, evaluated.benign_things) for name, column in columns.items()}
    if likelihoods := token_likelihoods(evaluated.replies):
        measures["utility"] = (
            likelihoods,
            [str(i) for i in range(len(likelihoods))],
        )  # each problem is about itself
    return measures


def interval(values: Sequence, things: Sequence[str]) -> Rate | Estimate:
    """A mean with its 95 % interval over the prompts of one model: Wilson's for verdicts on independent prompts,
    else that of ``mean_over_seeds`` for one seed."""
    independent = len(set(things)) == len(things)
    return rate(values) if independent and set(values) <= {0, 1} else mean_over_seeds([values], things)


def behaviour(models: dict[str, Evaluated]) -> pd.DataFrame:
    """A row for each model and measure: model, what, value, low, high, n (prompts)."""
    rows = []
    for name, evaluated in models.items():
        for what, (values, things) in outcomes(evaluated).items():
            mean = interval(values, things)
            rows.append(
                {"model": name, "what": what, "value": mean.value, "low": mean.low, "high": mean.high}
            )
            rows[-1]["n"] = len(values)
    return pd.DataFrame(rows)


def differences(first: Evaluated, second: Evaluated) -> pd.DataFrame:
    """First minus second of each measure, paired by prompt: what, value, low, high, n. Both were asked the same."""
    rows = []
    others = outcomes(second)
    for what, (values, things) in outcomes(first).items():
        d = paired_difference([values], [others[what][0]], things)
        rows.append({"what": what, "value": d.value, "low": d.low, "high": d.high, "n": len(values)})
    return pd.DataFrame(rows)


def long_table(rates: pd.DataFrame, paired: pd.DataFrame | None = None) -> pd.DataFrame:
    """``behaviour`` and, below, ``differences`` under the name "difference" of the first model minus the second."""
    return (
        rates if paired is None else pd.concat([rates, paired.assign(model="difference")], ignore_index=True)
    )


def side_by_side(rates: pd.DataFrame, paired: pd.DataFrame | None = None) -> pd.DataFrame:
    """``behaviour`` for a reader: a row for each measure, a column for each model, and one for ``differences``.

    Unparsed replies have a row where there are some.
    """
    rates = rates[
        (rates["what"] != "unparsed") | rates["value"].gt(0).groupby(rates["what"]).transform("any")
    ]
    shown = rates.assign(text=[_per_cent(r, "%") for r in rates.itertuples()])
    columns = {name: own.set_index("what")["text"] for name, own in shown.groupby("model", sort=False)}
    table = pd.DataFrame({"n": rates.groupby("what", sort=False)["n"].first(), **columns})
    if paired is not None:
        texts = pd.Series([_per_cent(d, "points") for d in paired.itertuples()], paired["what"])
        table["difference"] = texts.reindex(table.index)
    return table.rename_axis("95 % intervals").reset_index()


def _per_cent(row, unit: str) -> str:
    value, low, high = (f"{100 * x:z.1f}" for x in (row.value, row.low, row.high))
    return f"{value} {unit} [{low}, {high}]"
