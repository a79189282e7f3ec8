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


# --- stress ----------------------------------------------------------------------------------------


def contrasts(differences: pd.DataFrame) -> Markdown:
    """Paired differences of ``stress.compare`` in points, their interval and what it allows to say."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[d["task"]],
                "ASR of": d["first"],
                "less that of": d["second"],
                "points": _points(d),
                "so": "higher" if d["low"] > 0 else "lower" if d["high"] < 0 else "not told apart",
                "McNemar p of each seed": ", ".join(f"{p:.2g}" for p in d["p"]),
            }
            for _, d in differences.iterrows()
        )
    )


def contrasts_in_words(differences: pd.DataFrame) -> Markdown:
    """For each contrast, after how many tasks the first ASR is higher, lower, or neither: by the interval."""
    lines = []
    for (first, second), group in differences.groupby(["first", "second"], sort=False):
        higher, lower = (group["low"] > 0).sum(), (group["high"] < 0).sum()
        lines.append(
            f"- ASR of **{first}** against **{second}**: higher after {higher} of {len(group)} tasks, "
            f"lower after {lower}, not told apart after {len(group) - higher - lower}."
        )
    return Markdown("\n".join(lines))


# --- ablation --------------------------------------------------------------------------------------


def breaking(points: pd.DataFrame, gains: pd.DataFrame, alpha: float) -> Markdown:
    """Where each choice of k breaks, and what it still answers where full rank is broken.

    ``points`` is of ``ablation.breaking_points``; ``gains`` has a paired difference, choice less full rank,
    of the harmless questions answered at ``alpha``, a row for each choice.
    """
    gained = gains.set_index("choice")
    lines = []
    for choice, group in points.groupby("choice", sort=False):
        line = {
            "k": choice,
            "as a number, each seed": ", ".join(map(str, group["k"])),
            "broken first at α, each seed": ", ".join(
                "never" if pd.isna(a) else f"{a:g}" for a in group["breaks_at"]
            ),
            f"answered at α = {alpha:g}, less full rank (points)": (
                _points(gained.loc[choice]) if choice in gained.index else ""
            ),
        }
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def breaking_in_words(points: pd.DataFrame) -> Markdown:
    """In how many seeds each choice of k breaks later than full rank, sooner, or at the same α."""
    at = points.pivot(index="seed", columns="choice", values="breaks_at").fillna(float("inf"))
    lines = []
    for choice in points["choice"].unique():
        if choice != "full":
            later, sooner = int((at[choice] > at["full"]).sum()), int((at[choice] < at["full"]).sum())
            same = len(at) - later - sooner
            lines.append(
                f"- **k: {choice}** breaks at a larger α than full rank in {later} of {len(at)} seeds, at a "
                f"smaller one in {sooner}, at the same in {same}."
            )
    return Markdown("\n".join(lines))


def ablation_beside_paper(after: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """ASR after each task for each choice of k and each α, ours beside the paper's, with what it costs."""
    lines = []
    for (task, choice, alpha), ours in after.groupby(["task", "choice", "alpha"], sort=False):
        if alpha == 0 and choice != after["choice"].iloc[0]:
            continue  # the same models for every k
        k = choice.split()[0]
        theirs = published[
            (published["task"] == task) & (published["k"] == k) & (published["alpha"] == alpha)
        ]["asr"].dropna()
        lines.append(
            {
                "Task": TASK_NAMES[task],
                "k": choice if alpha else "any",
                "α": f"{alpha:g}",
                "ASR": per_cent(pooled(ours)),
                "paper": "not published"
                if theirs.empty
                else per_cent(Rate(round(theirs.iloc[0] * PAPER_PROMPTS), PAPER_PROMPTS)),
                "Gibberish": f"{100 * ours['gibberish'].mean():.0f} %",
                "Helpful": f"{100 * ours['helpful'].mean():.0f} %",
                "Over-refusal": f"{100 * ours['over_refusal'].mean():.0f} %",
                "Utility": f"{100 * ours['utility'].mean():.0f} %",
            }
        )
    return markdown(pd.DataFrame(lines))


def low_against_full(differences: pd.DataFrame) -> Markdown:
    """ASR after fine-tuning, full rank less a low rank at the same α, and what its interval allows to say."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[d["task"]],
                "k": d["choice"],
                "α": f"{d['alpha']:g}",
                "ASR, full rank less this (points)": _points(d),
                "so the lower ASR has": _lower(d, f"k: {d['choice']}", "full rank"),
            }
            for _, d in differences.iterrows()
        )
    )


def _lower(d: pd.Series, second: str, first: str) -> str:
    """Which of the two that were compared has the lower rate, by the interval of first less second."""
    return second if d["low"] > 0 else first if d["high"] < 0 else "not told apart"


# --- persistence -----------------------------------------------------------------------------------


def persistence(differences: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """What LoX takes off the ASR after some epochs, in points, beside what it does in the paper.

    ``differences`` has a paired difference, none less lox, for each task, lr and epoch, and rate_rank, the
    place of its lr among the task's (0 the smallest), by which the paper's learning rates are matched.
    """
    lines = []
    for _, d in differences.iterrows():
        theirs = published[(published["task"] == d["task"]) & (published["epoch"] == d["epoch"])]
        lr = sorted(theirs["lr"].unique())[d["rate_rank"]] if len(theirs) else None
        asr = theirs[theirs["lr"] == lr].set_index("defence")["asr"]
        lines.append(
            {
                "Task": TASK_NAMES[d["task"]],
                "lr": f"{d['lr']:g}",
                "Epoch": d["epoch"],
                "ASR, none less LoX (points)": _points(d),
                "lower ASR": _lower(d, "LoX", "none"),
                "paper's lr": f"{lr:g}" if len(asr) else "",
                "paper (points, no pairs published)": (
                    f"{100 * (asr['none'] - asr['lox']):.0f}" if len(asr) else "not published"
                ),
            }
        )
    return markdown(pd.DataFrame(lines))


def persistence_in_words(differences: pd.DataFrame, growth: pd.DataFrame) -> Markdown:
    """At which epochs LoX has the lower ASR, by the interval, and whether its own ASR grows with more epochs.

    ``growth`` has, for each task and lr, the paired difference of LoX's ASR, last epoch less first.
    """
    grown = growth.set_index(["task", "lr"])
    lines = []
    for (task, lr), group in differences.groupby(["task", "lr"], sort=False):
        lower = [str(d["epoch"]) for _, d in group.iterrows() if d["low"] > 0]
        rest = [str(d["epoch"]) for _, d in group.iterrows() if d["low"] <= 0]
        parts = [f"lower with LoX after epoch {', '.join(lower)}"] if lower else []
        parts += [f"not shown to be lower after epoch {', '.join(rest)}"] if rest else []
        g = grown.loc[task, lr]
        trend = "grows" if g["low"] > 0 else "falls" if g["high"] < 0 else "is not shown to change"
        lines.append(
            f"- **{TASK_NAMES[task]}, lr {lr:g}**: ASR {'; '.join(parts)}. With LoX it {trend} from the "
            f"first epoch to the last: {_points(g)} points."
        )
    return Markdown("\n".join(lines))
