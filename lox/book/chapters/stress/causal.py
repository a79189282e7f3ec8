"""What the variants of fine-tuning say: means, contrasts, the damage that is gone, its ranks beside the geometry's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lox.book import record, results
from lox.book.cells import by_verdict, rows_of
from lox.book.chapters.stress.measure import (
    BY_DEFENCE,
    INSIDE,
    NOTHING,
    NUMBERS,
    OUTSIDE,
    SETTINGS,
    SPLIT_ONLY,
    SPLIT_OUTSIDE,
    TRANSPLANT,
    WHOLE,
    Stress,
    Variant,
)
from lox.book.together import seeds_together, together
from lox.lab.rows import corrected
from lox.lab.statistics import compared, difference_of_seeds, mean_over_seeds

Outcomes = Mapping[tuple[str, Variant], np.ndarray]  # task and variant -> harmful or not, (seeds, prompts)
CONTRASTS = {
    "none": (
        (WHOLE, NOTHING),
        (INSIDE, NOTHING),
        (INSIDE, ("random", "inside, scaled")),
        (WHOLE, OUTSIDE),
        (("random", "outside"), OUTSIDE),
        (("bottom", "outside"), OUTSIDE),
        (("own", "inside"), INSIDE),
        (OUTSIDE, ("own", "outside")),
        (OUTSIDE, NOTHING),
        (SPLIT_OUTSIDE, NOTHING),
        (SPLIT_ONLY, SPLIT_OUTSIDE),
    ),
    "lox": ((WHOLE, NOTHING), (TRANSPLANT, NOTHING)),
}
TABLES = {  # of what was recorded -> its name
    "rows": "stress",
    "means": "stress_means",
    "paired": "stress_paired",
    "geometry": "stress_geometry",
}
EVERY_TASK = "all"  # the mean over the tasks, prompt by prompt
TASKS_TO_RANK = 3  # the fewest tasks whose ranks can be compared
LEAST_DAMAGE = 0.05  # of ASR, the least of which a share is ranked: that of a few replies is noise


def outcomes(by_task: Mapping[str, Sequence[Stress]]) -> tuple[Outcomes, list[str]]:
    """Whether each reply is harmful, of every task and variant of one defence; and what the prompts are about.

    With "all" for the task: the share of the tasks after which it is.
    """
    variants = BY_DEFENCE[next(iter(by_task.values()))[0].model.defence]
    by_variant, things = {}, []
    for variant in variants:
        for task, stresses in by_task.items():
            evaluated = [stress.evaluate(variant) for stress in stresses]
            by_variant[task, variant] = np.array([e.harmful for e in evaluated], float)
            things = things or evaluated[0].things
        by_variant[EVERY_TASK, variant] = np.mean([by_variant[task, variant] for task in by_task], axis=0)
    return by_variant, things


def variant_means(by_variant: Outcomes, things: Sequence[str]) -> pd.DataFrame:
    """Mean ASR over seeds with its interval: task, subspace, part, asr, low, high, seeds, n."""
    lines = []
    for (task, (subspace, part)), harmful in by_variant.items():
        mean = mean_over_seeds(harmful, things)
        lines.append({"task": task, "subspace": subspace, "part": part} | mean.columns("asr") | {"n": mean.n})
    return pd.DataFrame(lines)


def contrasts(by_variant: Outcomes, things: Sequence[str], defence: str) -> pd.DataFrame:
    """ASR of one variant minus that of another on the same seeds and prompts, for each task and for their mean.

    Columns: task, defence, first, second, difference, low, high, p, seeds, n, and p_holm, which is corrected for
    the number of tasks of a contrast or, where the task is "all", for the number of contrasts.
    """
    tasks = list(dict.fromkeys(task for task, _ in by_variant))
    lines = []
    for first, second in CONTRASTS[defence]:
        for task in tasks:
            names = {"first": ": ".join(first), "second": ": ".join(second)}
            sides = by_variant[task, first], by_variant[task, second]
            lines.append({"task": task, "defence": defence} | names | compared(*sides, things))
    return _corrected(pd.DataFrame(lines))


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    pair = (table["first"] + table["second"]).where(table["task"] != EVERY_TASK, EVERY_TASK)
    return corrected(table, table["defence"] + pair)


def recorded(table: pd.DataFrame) -> dict[str, pd.DataFrame] | None:
    """The tables "rows", "means", "paired" and "geometry" of the recorded runs of the profile of ``variant_rows``.

    Two runs are taken together. None where nothing was recorded, or where it was with other settings.
    """
    runs = record.recorded_alike(table, TABLES, ["task", "defence"], SETTINGS)
    if not runs:
        return None
    means = together([run["means"] for run in runs], ["task", "subspace", "part", "defence"])
    rows, geometry = (seeds_together([run[what] for run in runs]) for what in ("rows", "geometry"))
    return {"rows": rows, "means": means, "paired": _paired(runs), "geometry": geometry}


def recorded_contrasts(profile: str) -> pd.DataFrame:
    """``contrasts`` of all recorded runs of a profile, whatever their settings; ValueError where there is none."""
    folders = results.records_of(profile)
    return _paired([{"paired": results.recorded(folder, TABLES["paired"])} for folder in folders])


def _paired(runs: Sequence[Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    return _corrected(together([run["paired"] for run in runs], ["task", "defence", "first", "second"]))


def contrast(differences: pd.DataFrame, first: Variant, second: Variant) -> pd.DataFrame:
    """The rows of ``contrasts`` that are of one contrast."""
    return rows_of(differences, first=": ".join(first), second=": ".join(second))


def damage(differences: pd.DataFrame) -> pd.DataFrame:
    """What of the damage is gone when the inside is left out, for each task and their mean.

    The damage is ASR(whole) − ASR(nothing), ``gone`` is ASR(whole) − ASR(outside), each with its low, high and p_holm,
    and ``share`` their ratio: NaN where ``said_of`` does not put the damage above 0, for a share of nothing means
    nothing.
    """
    columns = ["difference", "low", "high", "p_holm"]
    done, gone = (
        contrast(differences, WHOLE, part).set_index("task")[columns] for part in (NOTHING, OUTSIDE)
    )
    above = by_verdict(done)["above"].index
    share = gone.loc[above, "difference"] / done.loc[above, "difference"]
    return done.add_prefix("damage_").join(gone.add_prefix("gone_")).assign(share=share).reset_index()


def ability(table: pd.DataFrame) -> pd.DataFrame:
    """What the whole of one task's fine-tuning can do minus what is left without a side, paired by seed.

    ``table`` is as above, of one task without a defence. Columns side (that is left out), what ("helpful" or
    "utility"), difference, low, high, p, seeds, and p_holm, corrected for the rows; Student's interval and test.
    """
    lines = []
    for side, kept in (("inside", OUTSIDE), ("outside", INSIDE)):
        for what in ("helpful", "utility"):
            rates = table.pivot(index="seed", columns=["subspace", "part"], values=what)
            lost = difference_of_seeds(rates[WHOLE] - rates[kept])
            lines.append({"side": side, "what": what} | lost)
    return corrected(pd.DataFrame(lines))


def rank_correlations(geometry: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation over the tasks, for each seed, of what the geometry says and what the causal test says.

    ``geometry`` and ``table`` are those of ``measure``. Columns: geometry, effect, seed, correlation, and tasks, how
    many are ranked. A task with less than ``LEAST_DAMAGE`` has no share of it, and is left out there; the correlation
    is NaN where fewer than ``TASKS_TO_RANK`` are left, or where all are the same.
    """
    numbers = rows_of(geometry, subspace="safety", defence="none").set_index(["seed", "task"])[NUMBERS]
    plain = rows_of(table, defence="none")
    asr = plain.pivot(index=["seed", "task"], columns=["subspace", "part"], values="asr")
    done, gone = asr[WHOLE] - asr[NOTHING], asr[WHOLE] - asr[OUTSIDE]
    effects = {"damage": done, "share of the damage that is gone": gone / done.where(done >= LEAST_DAMAGE)}
    lines = []
    for number in NUMBERS:
        for effect, of in effects.items():
            both = pd.DataFrame({"number": numbers[number], "effect": of})
            for seed, tasks in both.groupby("seed"):
                ranked = tasks.dropna()
                found = ranked.corr("spearman", min_periods=TASKS_TO_RANK).loc["number", "effect"]
                head = {"geometry": number, "effect": effect, "seed": seed}
                lines.append(head | {"correlation": found, "tasks": len(ranked)})
    return pd.DataFrame(lines)


def without_and_with(table: pd.DataFrame, each: Sequence[str]) -> pd.DataFrame:
    """The ASR without and with LoX beside each other: columns ``each``, which tell the rows apart, without, with."""
    asr = table.pivot(index=list(each), columns="defence", values="asr").reset_index()
    return asr.rename(columns={"none": "without", "lox": "with"})
