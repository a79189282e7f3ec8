"""Tables of the chapter on stress."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from IPython.display import Markdown

from lox.book.cells import in_points, markdown, over_seeds, per_cent, rows_of, said_of, share
from lox.book.chapters.stress.names import TASKS, WITH_LOX, variant_name
from lox.book.names import TASK_NAMES, attacks_in


def variants(table: pd.DataFrame, means: pd.DataFrame | None = None) -> Markdown:
    """Rates of each part of fine-tuning put in alone, averaged over tasks and seeds.

    ``means`` (``causal.variant_means``) has the interval of the ASR; without it, it is that of the seeds' range.
    """
    lines = []
    for (subspace, part), group in table.groupby(["subspace", "part"], sort=False):
        cell = over_seeds(100 * group.groupby("seed")["asr"].mean(), 0)
        if means is not None:
            mean = rows_of(means, task="all", subspace=subspace, part=part).iloc[0]
            cell = per_cent(mean["asr"], mean["low"], mean["high"])
        lines.append(
            {"The start plus": variant_name(f"{subspace}: {part}"), "ASR": cell}
            | {name: share(group[name].mean()) for name in ("gibberish", "helpful", "utility")}
        )
    return markdown(pd.DataFrame(lines))


def contrasts(differences: pd.DataFrame) -> Markdown:
    """Paired differences of ASR in points, with what may be said of each."""
    return markdown(
        pd.DataFrame(
            {
                "After": TASKS[d["task"]],
                "ASR of": variant_name(d["first"]),
                "minus that of": variant_name(d["second"]),
                "points": in_points(d),
                "so": said_of(d, "higher", "lower"),
            }
            for _, d in differences.iterrows()
        )
    )


def damage(shares: pd.DataFrame) -> Markdown:
    """``causal.damage``: the damage, what of it is gone without the inside, and the ratio."""
    columns = ("difference", "low", "high")
    return markdown(
        pd.DataFrame(
            {"After": TASKS[d["task"]]}
            | {
                title: in_points(pd.Series({column: d[f"{name}_{column}"] for column in columns}))
                for title, name in (("damage (points)", "damage"), ("gone without the inside", "gone"))
            }
            | {"share of the damage": "no damage" if math.isnan(d["share"]) else share(d["share"])}
            for _, d in shares.iterrows()
        )
    )


def controls(geometry: pd.DataFrame) -> Markdown:
    """Share, counteraction and overlap of each subspace without LoX, means over tasks and seeds."""
    names = {"safety": "safety subspace", "random": "random", "bottom": "bottom", "own": "own top directions"}
    groups = rows_of(geometry, defence="none").groupby("subspace", sort=False)
    return markdown(
        pd.DataFrame(
            {"Subspace": names[subspace]}
            | {
                column: f"{group[column].mean():.3f}"
                for column in ("share", "chance", "counteraction", "overlap")
            }
            for subspace, group in groups
        )
    )


def harmful_data(geometry: pd.DataFrame) -> Markdown:
    """The geometry of Pure Bad beside that of the other tasks, mean over seeds with their range."""
    safety = rows_of(geometry, subspace="safety", defence="none")
    data = safety["task"].eq("pure_bad").map({True: "Pure Bad", False: "the other tasks"})
    by_seed = safety.groupby([data.rename("Data"), "seed"])[["share", "counteraction", "undone"]].mean()
    return markdown(
        pd.DataFrame(
            {"Data": kind} | {column: over_seeds(group[column]) for column in group}
            for kind, group in by_seed.groupby("Data", sort=False)
        )
    )


def with_and_without(geometry: pd.DataFrame) -> Markdown:
    """The three numbers of the safety subspace without and with LoX, mean over seeds with their range."""
    safety = rows_of(geometry, subspace="safety")
    return markdown(
        pd.DataFrame(
            {"After": TASK_NAMES[task], "LoX": WITH_LOX[defence].removesuffix(" LoX")}
            | {m: over_seeds(group[m]) for m in ("share", "counteraction", "undone")}
            for (task, defence), group in safety.groupby(["task", "defence"], sort=False)
        )
    )


def gains_beside_paper(gains: pd.DataFrame, table1: pd.DataFrame) -> Markdown:
    """ASR without LoX, and the share of that ASR that LoX takes off, ours beside the paper's."""
    sides = {
        "": gains.groupby("task")[["without", "with"]].mean(),
        "paper: ": without_and_with(table1).set_index("task"),
    }
    return markdown(
        pd.DataFrame(
            {"After": TASK_NAMES[task]}
            | {
                f"{side}{title}": cell
                for side, frame in sides.items()
                for title, cell in _gain(frame.loc[task]).items()
            }
            for task in attacks_in(gains)
        )
    )


def without_and_with(table1: pd.DataFrame) -> pd.DataFrame:
    """The ASR of the paper's Table 1, a row for each task: columns task, without and with (LoX)."""
    theirs = table1.pivot(index="task", columns="defence", values="asr").reset_index()
    return theirs.rename(columns={"none": "without", "lox": "with"})


def _gain(asr: pd.Series) -> dict[str, str]:
    taken = asr["without"] - asr["with"]
    part = share(taken / asr["without"]) if asr["without"] else "–"
    return {"ASR without": share(asr["without"]), "share of it taken off": part}


def correlations(rank_correlations: pd.DataFrame) -> Markdown:
    """``causal.rank_correlations``: ρ of each seed, and in how many tasks it ranks."""
    lines = []
    for (place, effect), group in rank_correlations.groupby(["geometry", "effect"], sort=False):
        rho = ["–" if np.isnan(r) else f"{r:.2f}" for r in group["rho"]]
        lines.append({"Ranks of": place, "and of": effect, "ρ, each seed": ", ".join(rho)})
    text = "A dash stands where too few tasks did damage, or all the same, so that there is nothing to rank."
    return markdown(pd.DataFrame(lines), text if rank_correlations["rho"].isna().any() else "")
