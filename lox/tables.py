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
    "removal": "removal afterwards",
}
MODEL_NAMES = {
    "aligned": "aligned",
    "lox": "LoX",
    "finetuned": "fine-tuned",
    "finetuned_lox": "LoX, fine-tuned",
}
PAPER_PROMPTS = 100  # the paper's n
SIGNIFICANT = 0.05


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


def over_seeds(values: pd.Series, digits: int = 2) -> str:
    """A mean over seeds with their range, "0.83 [0.81, 0.86]"."""
    return f"{values.mean():.{digits}f} [{values.min():.{digits}f}, {values.max():.{digits}f}]"


# --- landscape -------------------------------------------------------------------------------------


def in_plane(models: pd.DataFrame) -> Markdown:
    """The four models of a landscape: where they are, and what they do against the plane's point below."""
    return markdown(
        pd.DataFrame(
            {
                "Model": MODEL_NAMES[m["model"]],
                "x": f"{m['x']:.2f}",
                "y": f"{m['y']:.2f}",
                "distance from the plane": f"{m['distance']:.2f}",
                "ASR": per_cent(Rate(round(m["asr"] * m["n"]), m["n"])),
                "ASR in the plane below": f"{100 * m['asr_in_plane']:.0f} %",
                "harmless answered": f"{100 * m['helpful']:.0f} %",
            }
            for _, m in models.iterrows()
        )
    )


def edges(found: pd.DataFrame, end: float) -> Markdown:
    """For each seed how far fine-tuning's direction is safe from either start, in steps; then in how many.

    ``found`` has columns seed, aligned and lox, infinite where the line's ``end`` was reached.
    """
    shown = found.copy()
    for start in ("aligned", "lox"):
        shown[start] = [f"{y:g}" if y <= end else f"beyond {end:g}" for y in found[start]]
    shown.columns = ["Seed", "from the aligned model", "from the LoX model"]
    further = int((found["lox"] > found["aligned"]).sum())
    text = f"The edge is further away from the LoX model in {further} of {len(found)} seeds."
    return Markdown(f"{shown.to_markdown(index=False)}\n\n{text}")


# --- baselines -------------------------------------------------------------------------------------


def defences(rows: pd.DataFrame, differences: pd.DataFrame) -> Markdown:
    """Every defence after every task: ASR, the paired difference to none, and what it costs.

    ``differences`` is of ``baselines.against_none``. Costs are means over seeds.
    """
    tested = {(d["task"], d["second"]): d for _, d in differences.iterrows()}
    lines = []
    for task in _tasks(rows):
        for defence in dict.fromkeys(rows["defence"]):
            ours = rows[(rows["task"] == task) & (rows["defence"] == defence)]
            d = tested.get((task, defence))
            line = {
                "Task": TASK_NAMES[task],
                "Defence": DEFENCE_NAMES[defence],
                "ASR": per_cent(pooled(ours)),
                "none less this (points)": "" if d is None else _points(d),
                f"seeds with p < {SIGNIFICANT:g}": "" if d is None else _significant(d),
            }
            costs = (("Gibberish", "gibberish"), ("Helpful", "helpful"), ("Over-refusal", "over_refusal"))
            for name, column in (*costs, ("Utility", "utility")):
                line[name] = f"{100 * ours[column].mean():.0f} %"
            lines.append(line)
    return markdown(pd.DataFrame(lines))


def defences_in_words(differences: pd.DataFrame) -> Markdown:
    """For each defence the tasks after which it lowers the ASR, raises it, or neither: by the interval."""
    lines = []
    for defence, group in differences.groupby("second", sort=False):
        said = {
            "lower": group["low"] > 0,
            "higher": group["high"] < 0,
            "not told apart": (group["low"] <= 0) & (group["high"] >= 0),
        }
        parts = [
            f"{word} after {', '.join(TASK_NAMES[t] for t in group.loc[which, 'task'])}"
            for word, which in said.items()
            if which.any()
        ]
        lines.append(f"- **{DEFENCE_NAMES[defence]}**: ASR {'; '.join(parts)}.")
    return Markdown("\n".join(lines))


def defences_beside_paper(rows: pd.DataFrame, table1: pd.DataFrame, ablation: pd.DataFrame) -> Markdown:
    """ASR under the defences that the paper reports, ours beside its own.

    Its full-rank extrapolation is from the ablation, at the largest α for which it gives a value.
    """
    full = ablation[(ablation["k"] == "full") & ablation["asr"].notna()].sort_values("alpha")
    lines = []
    for task in _tasks(rows):
        line = {"Task": TASK_NAMES[task]}
        for defence in ("none", "lox", "full-rank"):
            ours = rows[(rows["task"] == task) & (rows["defence"] == defence)]
            line[DEFENCE_NAMES[defence]] = f"{100 * ours['asr'].mean():.0f} %"
            theirs = (full if defence == "full-rank" else table1[table1["defence"] == defence]).query(
                "task == @task"
            )
            note = f" (α = {theirs['alpha'].iloc[-1]:g})" if defence == "full-rank" and len(theirs) else ""
            line[f"paper, {DEFENCE_NAMES[defence]}"] = (
                f"{100 * theirs['asr'].iloc[-1]:.0f} %{note}" if len(theirs) else "not published"
            )
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def _significant(d: pd.Series) -> str:
    return f"{sum(p < SIGNIFICANT for p in d['p_holm'])} of {len(d['p_holm'])}"
