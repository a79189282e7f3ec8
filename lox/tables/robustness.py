"""The paper's Table 1: fine-tuning without and with LoX."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.tables.cells import (
    in_points,
    markdown,
    mean_shares,
    p_values,
    paper_rate,
    per_cent,
    pooled,
    rows_of,
)
from lox.tables.names import DEFENCE_NAMES, TASK_NAMES, attacks_in

COSTS_AND_ASR = {
    "Utility": "utility",
    "Helpful": "helpful",
    "Over-refusal": "over_refusal",
    "ASR": "asr",
    "Gibberish": "gibberish",
}


def beside_paper(rows: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """ASR and R_ft after each task, without and with LoX, ours beside the paper's Table 1."""
    lines = []
    for task in attacks_in(rows):
        line = {"Task": TASK_NAMES[task]}
        for defence, name in (("none", "without"), ("lox", "with")):
            ours = rows_of(rows, task=task, defence=defence)
            theirs = rows_of(published, task=task, defence=defence).iloc[0]
            line[f"ASR {name}"] = per_cent(pooled(ours))
            line[f"paper, {name}"] = per_cent(paper_rate(theirs["asr"]))
            line[f"R_ft {name}"] = f"{ours['r_ft'].mean():.2f}"
            line[f"paper's R_ft, {name}"] = f"{theirs['r_ft']:.2f}"
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def paired(differences: pd.DataFrame) -> Markdown:
    """Paired differences of ``measurement.compare`` in points, with interval and each seed's p."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[d["task"]],
                f"ASR, {DEFENCE_NAMES[d['first']]} less {DEFENCE_NAMES[d['second']]} (points)": in_points(d),
                "McNemar p of each seed": p_values(d),
            }
            for _, d in differences.iterrows()
        )
    )


def costs(rows: pd.DataFrame) -> Markdown:
    """Utility, over-refusal and gibberish for each task and defence, means over seeds."""
    return markdown(
        pd.DataFrame(
            {"Task": TASK_NAMES[task], "Defence": DEFENCE_NAMES[defence]}
            | mean_shares(rows_of(rows, task=task, defence=defence), COSTS_AND_ASR)
            for task in ["none", *attacks_in(rows)]
            for defence in rows["defence"].unique()
        )
    )
