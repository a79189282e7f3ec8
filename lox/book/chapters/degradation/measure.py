"""Degradation and concentration of models with different amounts of alignment, and what correlations are worth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lox.book.figures import LLAMA_WIDTH
from lox.lab import spectra
from lox.lab.evaluation import Evaluated, evaluate, form_of
from lox.lab.model import Model
from lox.lab.parallel import side_by_side
from lox.lab.rows import corrected, difference, rates
from lox.lab.setup import Setup
from lox.lab.statistics import mean_of_seeds, p_of_seeds

SAFE = 0.1  # an aligned model counts as safe up to this ASR
PREDICTORS = {"pairs": "alignment pairs", "length": "‖ΔW_ft‖ / ‖ΔW_align‖"}  # that know of no subspace
OF_SEED = "r_seed_"  # before a seed: the column of its own correlations
Interval = tuple[float, float]
NOWHERE: Interval = (math.nan, math.nan)


def amounts(published: pd.DataFrame, smallest: int) -> list[int]:
    """The paper's ratios of alignment pairs, with ``smallest`` as the smallest."""
    pairs = published["pairs"].unique()
    return [round(smallest * int(amount) / int(pairs.min())) for amount in pairs]


def paper_shares(published: pd.DataFrame) -> list[float]:
    """The paper's k as shares of the width of its model."""
    return [float(k / LLAMA_WIDTH) for k in published["k"].unique()]


def run(
    setup: Setup,
    task: str,
    sizes: Sequence[int],
    shares: Sequence[float],
    seeds: Iterable[int],
    workers: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points of the figure, and the degradation of each size over seeds.

    The first table has a row for each seed, size and share: k, r_align, r_ft, ratio, norms, asr_before, degradation
    with the interval (low, high) of this one pair of models, and the rates after fine-tuning. The second one a
    row for each size: ``difference`` of ASR after minus before, with its interval over seeds.
    """
    models = [setup.model(seed, task, pairs=pairs) for seed, pairs in itertools.product(seeds, sizes)]
    made = side_by_side([partial(measured, setup, model, list(shares)) for model in models], workers)
    points = pd.concat([table for table, _, _ in made], ignore_index=True)
    over_seeds = []
    for size in sizes:
        before, after = zip(*(asked for model, (_, *asked) in zip(models, made) if model.pairs == size))
        over_seeds.append({"task": task, "pairs": size} | difference(after, before))
    return points, pd.DataFrame(over_seeds)


def measured(setup: Setup, model: Model, shares: list[float]) -> tuple[pd.DataFrame, Evaluated, Evaluated]:
    """One model's points, a row for each share, and what it replies before and after fine-tuning, in the same form."""
    before = evaluate(setup, model.start, form_of(model.task))
    after = evaluate(setup, model)
    folders = [setup.folder(m) for m in (model.base, model.start, model)]
    columns = ["k", "r_align", "r_ft", "norm_align", "norm_ft"]
    means = spectra.surviving(*folders, shares=shares).groupby("share")[columns].mean().reset_index()
    head = {"profile": setup.profile.name, "seed": model.seed, "pairs": model.pairs, "task": model.task}
    change = difference([after], [before])
    lost = {"degradation": change["difference"], "low": change["low"], "high": change["high"]}
    table = means.assign(**head, asr_before=before.asr.value, **lost, **rates(after))
    table["ratio"] = table["r_ft"] / table["r_align"]
    table["length"] = table["norm_ft"] / table["norm_align"]
    return table, before, after


def at_smallest_k(points: pd.DataFrame) -> pd.DataFrame:
    """One row for each seed and size: that of the smallest share of the directions."""
    return points[points["share"] == points["share"].min()]


# --- correlations ---------------------------------------------------------------------------------


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's r; NaN where one of the two does not vary."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    return float(np.corrcoef(x, y)[0, 1]) if min(np.ptp(x), np.ptp(y)) > 1e-12 else math.nan


def share_of_orders(x: Sequence, y: Sequence) -> float:
    """The share of all orders of y whose correlation with x is at least as far from 0 as that of y itself."""
    own = abs(correlation(x, y))
    by_chance = [abs(correlation(x, list(order))) for order in itertools.permutations(y)]
    return float(np.mean(np.array(by_chance) >= own - 1e-9))


def bootstrap_over_seeds(table: pd.DataFrame, column: str, draws: int = 2000) -> Interval:
    """95 % percentile interval of the correlation of a column with the degradation over all points.

    Seeds are drawn with replacement, each with all its sizes. NaN with one seed, or where nothing varies.
    """
    by_seed = [group[[column, "degradation"]].to_numpy(float) for _, group in table.groupby("seed")]
    if len(by_seed) < 2:
        return NOWHERE
    picks = np.random.default_rng(0).integers(len(by_seed), size=(draws, len(by_seed)))
    drawn = [correlation(*np.concatenate([by_seed[i] for i in pick]).T) for pick in picks]
    if not np.isfinite(drawn).any():
        return NOWHERE
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def fisher(r: float, n: int, held: int = 0) -> Interval:
    """95 % interval of a correlation over n points, ``held`` quantities held constant (Fisher's z); NaN for too few."""
    if n - held <= 3 or not math.isfinite(r):
        return NOWHERE
    middle, half = math.atanh(max(-0.9999, min(0.9999, r))), 1.96 / math.sqrt(n - held - 3)
    return math.tanh(middle - half), math.tanh(middle + half)


def correlations(points: pd.DataFrame) -> pd.DataFrame:
    """How well each predictor goes with the degradation: the ratio at each k, and two that know of no subspace.

    Columns: predictor; k, where it has one; r over all points with low and high from seeds; r_equal_size with
    equal_low and equal_high, the mean of each size taken off; and r_seed_<seed>, each over the sizes of one seed.
    """
    lines = [
        {"predictor": f"R_ft / R_align, k = {round(k)}", "k": k} | _correlated(table, "ratio")
        for k, table in points.groupby("k")
    ]
    one = at_smallest_k(points)
    lines += [{"predictor": name} | _correlated(one, column) for column, name in PREDICTORS.items()]
    return pd.DataFrame(lines)


def _correlated(table: pd.DataFrame, column: str) -> dict:
    pair = table[[column, "degradation"]]
    inside = pair - pair.groupby(table["pairs"]).transform("mean")
    low, high = bootstrap_over_seeds(table, column)
    equal = correlation(*inside.to_numpy().T)
    equal_low, equal_high = fisher(equal, len(table), table["pairs"].nunique() - 1)
    line = {"r": correlation(*pair.to_numpy().T), "low": low, "high": high}
    line |= {"r_equal_size": equal, "equal_low": equal_low, "equal_high": equal_high}
    return line | {
        f"{OF_SEED}{s}": correlation(t[column], t["degradation"]) for s, t in table.groupby("seed")
    }


def signs(predictors: pd.DataFrame) -> pd.DataFrame:
    """Whether the seeds' own correlations of the ratio, each over the sizes of one seed, have a sign: a row for each k.

    Columns: k; mean, low … high, seeds and p, Student's over seeds; smallest and largest seed; p_holm, corrected for
    the number of k. ``predictors`` is a table of ``correlations``; a k at which no seed's is defined has no row.
    """
    lines = []
    for _, line in at_some_k(predictors).iterrows():
        of_seeds = line.filter(like=OF_SEED).astype(float).dropna()
        if len(of_seeds):
            tested = mean_of_seeds(of_seeds).columns("mean") | {"p": p_of_seeds(of_seeds)}
            lines.append({"k": line["k"], "smallest": of_seeds.min(), "largest": of_seeds.max()} | tested)
    columns = ["k", "mean", "low", "high", "seeds", "p", "smallest", "largest"]
    return corrected(pd.DataFrame(lines, columns=columns))


def at_some_k(predictors: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``correlations`` that are of R_ft / R_align at some k."""
    return predictors[predictors["k"].notna()]


def paper_correlations(published: pd.DataFrame) -> pd.DataFrame:
    """The correlation of the ratio over the paper's four points at each k: columns k, r, low, high (Fisher's)."""
    lines = []
    for k, table in published.groupby("k"):
        r = correlation(table["ratio"], table["degradation"])
        lines.append((k, r, *fisher(r, len(table))))
    return pd.DataFrame(lines, columns=["k", "r", "low", "high"])


def moves(table: pd.DataFrame) -> pd.DataFrame:
    """By how much the mean ratio moves between the amounts of alignment, at each k: columns k, move."""
    means = table.groupby(["k", "pairs"])["ratio"].mean()
    return means.groupby("k").agg(np.ptp).rename("move").reset_index()


def was_safe(points: pd.DataFrame) -> pd.DataFrame:
    """How many aligned models are safe before fine-tuning: columns pairs, safe, models."""
    one = at_smallest_k(points)
    return (one["asr_before"] <= SAFE).groupby(one["pairs"]).agg(safe="sum", models="size").reset_index()


def falls(points: pd.DataFrame) -> tuple[int, int]:
    """In how many seeds the smallest amount of alignment loses more than the largest, and the number of seeds."""
    ends = at_smallest_k(points).pivot(index="seed", columns="pairs", values="degradation")
    return int((ends[min(ends)] > ends[max(ends)]).sum()), len(ends)


# --- a real model, across tasks -------------------------------------------------------------------


def across_tasks(rows: pd.DataFrame, read: pd.Series) -> pd.DataFrame:
    """Of recorded models without a defence: how much of the concentration survives each task, and the harm after it.

    ``rows`` are of the result table; ``read`` is whether a reader calls a reply harmful, a value each, indexed by
    seed, task and defence. Columns: task, ratio (R_ft / R_align) and harm, means over seeds.
    """
    attacked = rows[(rows["defence"] == "none") & (rows["task"] != "none")]
    ratio = (attacked["r_ft"] / attacked["r_align"]).groupby(attacked["task"], sort=False).mean()
    harm = read.xs("none", level="defence").groupby("task").mean()
    return pd.DataFrame({"ratio": ratio, "harm": harm.reindex(ratio.index)}).reset_index()
