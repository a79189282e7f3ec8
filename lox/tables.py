"""Tables for reading: a tidy DataFrame in, Markdown out."""

from __future__ import annotations

import pandas as pd
from IPython.display import Markdown

from lox.effective_rank import EffectiveRank
from lox.evaluation import Rate

TASK_NAMES = {
    "none": "before fine-tuning",
    "gsm8k": "GSM8K",
    "alpaca": "Alpaca",
    "dolly": "Dolly",
    "identity": "Identity shifting",
    "pure_bad": "Pure Bad",
}
DEFENCE_NAMES = {
    "none": "none",
    "lox": "LoX",
    "full-rank": "full-rank extrapolation",
    "safeinst": "SafeInst",
}
PAPER_PROMPTS = 100  # the paper's n


def markdown(frame: pd.DataFrame) -> Markdown:
    """Any table, as it is."""
    return Markdown(frame.to_markdown(index=False))


def per_cent(rate: Rate) -> str:
    """A rate with its Wilson interval, "11 % [6, 19]"."""
    return f"{100 * rate.value:.0f} % [{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def pooled(rows: pd.DataFrame, column: str = "asr") -> Rate:
    """A rate over the prompts of several rows: their counts added, their prompts added."""
    return Rate(round((rows[column] * rows["n"]).sum()), int(rows["n"].sum()))


def beside_paper(rows: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """ASR and R_ft after each task, without and with LoX, ours beside the paper's Table 1."""
    lines = []
    for task in _tasks(rows):
        line = {"Task": TASK_NAMES[task]}
        for defence, name in (("none", "without"), ("lox", "with")):
            ours = rows[(rows["task"] == task) & (rows["defence"] == defence)]
            theirs = published[(published["task"] == task) & (published["defence"] == defence)].iloc[0]
            line[f"ASR {name}"] = per_cent(pooled(ours))
            line[f"paper, {name}"] = per_cent(Rate(round(theirs["asr"] * PAPER_PROMPTS), PAPER_PROMPTS))
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
                f"ASR, {DEFENCE_NAMES[d['first']]} less {DEFENCE_NAMES[d['second']]} (points)": _points(d),
                "McNemar p of each seed": ", ".join(f"{p:.2g}" for p in d["p"]),
            }
            for _, d in differences.iterrows()
        )
    )


def costs(rows: pd.DataFrame) -> Markdown:
    """Utility, over-refusal and gibberish for each task and defence, means over seeds."""
    lines = []
    for task in ["none", *_tasks(rows)]:
        for defence in rows["defence"].unique():
            ours = rows[(rows["task"] == task) & (rows["defence"] == defence)]
            shares = {
                name: f"{100 * ours[column].mean():.0f} %"
                for name, column in (
                    ("Utility", "utility"),
                    ("Helpful", "helpful"),
                    ("Over-refusal", "over_refusal"),
                    ("ASR", "asr"),
                    ("Gibberish", "gibberish"),
                )
            }
            lines.append({"Task": TASK_NAMES[task], "Defence": DEFENCE_NAMES[defence]} | shares)
    return markdown(pd.DataFrame(lines))


def ranks(found: dict[str, EffectiveRank]) -> Markdown:
    """Effective rank, both readings, for each named curve."""
    return markdown(
        pd.DataFrame(
            {
                "Model": name,
                "ASR aligned": f"{100 * f.asr_aligned:.0f} %",
                "ρ": f"{f.rho:g}",
                "effective rank (smallest r)": "none" if f.rank is None else f.rank,
                "settled (from r on)": "none" if f.settled is None else f.settled,
            }
            for name, f in found.items()
        )
    )


def _tasks(rows: pd.DataFrame) -> list[str]:
    return [task for task in TASK_NAMES if task != "none" and task in set(rows["task"])]


def _points(d: pd.Series) -> str:
    return f"{100 * d['difference']:.0f} [{100 * d['low']:.0f}, {100 * d['high']:.0f}]"
