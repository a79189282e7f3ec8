"""Tables of the chapter on stress."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.book.cells import in_points, markdown, over_seeds, per_cent, rows_of, said_of, share
from lox.book.chapters.stress.causal import LEAST_DAMAGE
from lox.book.chapters.stress.measure import NUMBERS, Variant
from lox.book.chapters.stress.names import TASKS, VARIANT_NAMES, WITH_LOX
from lox.book.names import TASK_NAMES, attacks_in


def asr_of(means: pd.DataFrame, task: str, variant: Variant) -> str:
    """The mean ASR of a variant after a task, "all" for the mean over tasks, with its interval.

    ``means`` is of ``causal.variant_means``.
    """
    subspace, part = variant
    mean = rows_of(means, task=task, subspace=subspace, part=part).iloc[0]
    return per_cent(*mean[["asr", "low", "high"]])


def variants(table: pd.DataFrame, means: pd.DataFrame, task: str = "all") -> Markdown:
    """Rates of each part of fine-tuning put in alone, averaged over the rows' tasks and seeds.

    ``means`` (``causal.variant_means``) has the interval of the ASR after ``task``, "all" for the mean over tasks.
    """
    lines = []
    for (subspace, part), group in table.groupby(["subspace", "part"], sort=False):
        head = {
            "The start plus": VARIANT_NAMES[f"{subspace}: {part}"],
            "ASR": asr_of(means, task, (subspace, part)),
        }
        lines.append(head | {name: share(group[name].mean()) for name in ("gibberish", "helpful", "utility")})
    return markdown(pd.DataFrame(lines))


def contrasts(differences: pd.DataFrame) -> Markdown:
    """Paired differences of ASR in points, with what may be said of each."""
    return markdown(
        pd.DataFrame(
            {
                "After": TASKS[d["task"]],
                "ASR of": VARIANT_NAMES[d["first"]],
                "minus that of": VARIANT_NAMES[d["second"]],
                "points": in_points(d),
                "so": said_of(d, "higher", "lower"),
            }
            for _, d in differences.iterrows()
        )
    )


def damage(shares: pd.DataFrame) -> Markdown:
    """``causal.damage``: the damage, what of it is gone without the inside, and the ratio where there is damage."""
    lines = []
    for _, d in shares.iterrows():
        done, gone = (_difference_of(d, what) for what in ("damage", "gone"))
        lines.append(
            {
                "After": TASKS[d["task"]],
                "damage (points)": in_points(done),
                "gone without the inside": in_points(gone),
                "share of the damage": said_of(done, share(d["share"]), "no damage"),
            }
        )
    return markdown(pd.DataFrame(lines))


def _difference_of(row: pd.Series, what: str) -> pd.Series:
    return row.rename(lambda column: column.removeprefix(f"{what}_"))


def controls(geometry: pd.DataFrame) -> Markdown:
    """Share, counteraction and overlap of each subspace without LoX, means over tasks and seeds."""
    names = {"safety": "safety subspace", "random": "random", "bottom": "bottom", "own": "own top directions"}
    plain = rows_of(geometry, defence="none").assign(Subspace=lambda rows: rows["subspace"].map(names))
    columns = ["share", "chance", "counteraction", "overlap"]
    means = plain.groupby("Subspace", sort=False)[columns].mean()
    return markdown(means.map("{:.3f}".format).reset_index())


def harmful_data(geometry: pd.DataFrame) -> Markdown:
    """The geometry of Pure Bad beside that of the other tasks, mean over seeds with their range."""
    safety = rows_of(geometry, subspace="safety", defence="none")
    data = safety["task"].eq("pure_bad").map({True: "Pure Bad", False: "the other tasks"})
    by_seed = safety.groupby([data.rename("Data"), "seed"])[NUMBERS].mean()
    return markdown(by_seed.groupby("Data").agg(over_seeds).reset_index())


def with_and_without(geometry: pd.DataFrame) -> Markdown:
    """The three numbers of the safety subspace without and with LoX, mean over seeds with their range."""
    safety = rows_of(geometry, subspace="safety")
    named = safety.assign(
        After=safety["task"].map(TASK_NAMES), LoX=safety["defence"].map(WITH_LOX).str.removesuffix(" LoX")
    )
    return markdown(named.groupby(["After", "LoX"], sort=False)[NUMBERS].agg(over_seeds).reset_index())


def gains_beside_paper(gains: pd.DataFrame, theirs: pd.DataFrame) -> Markdown:
    """ASR without LoX, and the share of that ASR that LoX takes off, ours beside the paper's, as ``stress_gain``."""
    tasks = attacks_in(gains)
    table = pd.DataFrame({"After": TASK_NAMES}).loc[tasks]
    for side, frame in (("", gains), ("paper: ", theirs)):
        asr = frame.groupby("task")[["without", "with"]].mean().loc[tasks]
        taken = (asr["without"] - asr["with"]) / asr["without"].where(asr["without"] > 0)
        table[f"{side}ASR without"] = asr["without"].map(share)
        table[f"{side}share of it taken off"] = ["–" if pd.isna(part) else share(part) for part in taken]
    return markdown(table)


def correlations(rank_correlations: pd.DataFrame) -> Markdown:
    """``causal.rank_correlations``: that of each seed, with the number of tasks that are ranked."""
    titles = {"geometry": "Ranks of", "effect": "and of", "said": "rank correlation, each seed (tasks)"}
    found = ["–" if pd.isna(value) else f"{value:.2f}" for value in rank_correlations["correlation"]]
    said = [f"{value} ({tasks})" for value, tasks in zip(found, rank_correlations["tasks"])]
    named = rank_correlations.assign(said=said).rename(columns=titles)
    joined = named.groupby(["Ranks of", "and of"], sort=False)[titles["said"]].agg(", ".join)
    text = (
        f"In brackets stands how many tasks are ranked. A share is taken only of a damage of at least "
        f"{100 * LEAST_DAMAGE:.0f} points of ASR."
    )
    dash = " A dash stands where too few tasks are left, or all are the same: there is nothing to rank."
    return markdown(joined.reset_index(), text + dash * ("–" in found))
