"""Figures and tables of the five attacks: this run, a recorded run and the paper's side by side."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import in_points, markdown, rate_of, rows_of, share
from lox.book.figures import DEFENCE_COLORS, REFERENCE, stacked
from lox.book.names import DEFENCE_NAMES, IN_LEGENDS, TASK_NAMES, attacks_in

# --- figures --------------------------------------------------------------------------------------


def attacks(rows: pd.DataFrame, summary: pd.DataFrame, recorded: pd.DataFrame | None = None) -> Figure:
    """ASR after each task and defence: a dot a seed, the mean with its interval, a band for the recorded interval.

    A grey tick is the mean before fine-tuning, without a defence and in the same form.
    """
    tasks, defences = attacks_in(rows), list(dict.fromkeys(rows["defence"]))
    step = 0.7 / len(defences)
    figure, (axes,) = stacked([1.0 + 0.32 * len(tasks) * max(2, len(defences))])
    for i, task in enumerate(tasks):
        for j, defence in enumerate(defences):
            place, color = i + (j - (len(defences) - 1) / 2) * step, DEFENCE_COLORS[defence]
            seeds = rows_of(rows, task=task, defence=defence)["asr"]
            axes.plot(seeds, [place] * len(seeds), "o", color=color, alpha=0.45, markersize=4, clip_on=False)
            ours = rows_of(summary, task=task, defence=defence).iloc[0]
            axes.hlines(place, ours["asr_low"], ours["asr_high"], color=color, lw=1.6)
            axes.plot(ours["asr"], place, "D", color=color, markersize=6, clip_on=False)
            if recorded is not None:
                for _, r in rows_of(recorded, task=task, defence=defence).iterrows():
                    width = r["asr_high"] - r["asr_low"]
                    axes.barh(place, width, 0.8 * step, r["asr_low"], color=color, alpha=0.22, lw=0)
        form = rows_of(rows, task=task)["form"].iloc[0]
        before = rows_of(summary, task="none", form=form, defence="none")["asr"]
        axes.vlines(before, i - 0.42, i + 0.42, color=REFERENCE, lw=1.5)
    axes.set_yticks(range(len(tasks)), [TASK_NAMES[task] for task in tasks])
    axes.set(
        xlabel="attack success rate after fine-tuning", xlim=(-0.02, 1.02), ylim=(len(tasks) - 0.5, -0.5)
    )
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(axis="y", visible=False)
    tick = Line2D([], [], color=REFERENCE, marker="|", lw=0, ms=12, mew=1.5, label="before fine-tuning")
    band = [] if recorded is None else [Patch(color=REFERENCE, alpha=0.3, lw=0, label="recorded interval")]
    _legend(figure, defences, tick, *band)
    return figure


def _legend(figure: Figure, defences: list[str], *more: Artist, marker: str = "D", line: str = "-") -> None:
    handles = [
        Line2D([], [], color=DEFENCE_COLORS[d], marker=marker, ls=line, label=IN_LEGENDS[d]) for d in defences
    ]
    figure.legend(handles=[*handles, *more], loc="outside upper left", ncols=3)


def usefulness(rows: pd.DataFrame) -> Figure:
    """Benign prompts answered before and after each task: a bar for the mean of each defence, a dot a seed."""
    shown = rows[rows["form"].eq("plain") | rows["task"].ne("none")]
    shown = shown.assign(place=shown["task"].map(TASK_NAMES))
    figure, (axes,) = stacked([3.6])
    order = [TASK_NAMES["none"], *(TASK_NAMES[task] for task in attacks_in(rows))]
    style = {"data": shown, "x": "helpful", "y": "place", "hue": "defence", "order": order, "ax": axes}
    sns.barplot(**style, palette=DEFENCE_COLORS, errorbar=None, alpha=0.45, legend=False)
    sns.stripplot(**style, palette=DEFENCE_COLORS, dodge=True, size=4, legend=False)
    axes.set(xlabel="benign prompts answered", ylabel="", xlim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    _legend(figure, list(dict.fromkeys(rows["defence"])), marker="s", line="")
    return figure


# --- tables ---------------------------------------------------------------------------------------


def rates(summary: pd.DataFrame) -> Markdown:
    """ASR before and after each task, for each defence, with intervals."""
    return markdown(
        pd.DataFrame(
            {"Task": TASK_NAMES[task], "Defence": DEFENCE_NAMES[defence]}
            | {"ASR before": _interval(rows_of(summary, task="none", form=after["form"], defence=defence))}
            | {"ASR after": rate_of(after)}
            for task in attacks_in(summary)
            for _, after in rows_of(summary, task=task).iterrows()
            for defence in [after["defence"]]
        )
    )


def _interval(lines: pd.DataFrame) -> str:
    return rate_of(lines.iloc[0]) if len(lines) else "–"


def paired(against_none: pd.DataFrame) -> Markdown:
    """ASR without a defence minus that with it, in points, with its interval and the corrected p."""
    return markdown(
        pd.DataFrame(
            {
                "Task": task_and_form(d),
                "Defence": DEFENCE_NAMES[d["second"]],
                "ASR, none minus this (points)": in_points(d),
                "p (Holm)": "–" if pd.isna(d["p_holm"]) else f"{d['p_holm']:.2g}",
            }
            for _, d in against_none.iterrows()
        )
    )


def task_and_form(line: pd.Series) -> str:
    """The task of a row, and that its prompts are asked in persona where nothing was fine-tuned."""
    persona = line["task"] == "none" and line["form"] != "plain"
    return TASK_NAMES[line["task"]] + (", in persona" if persona else "")


def costs(summary: pd.DataFrame, cost: pd.DataFrame) -> Markdown:
    """Before any fine-tuning, a row for each quantity and a column for each defence; last, what is lost."""
    before = rows_of(summary, task="none", form="plain").set_index("defence")
    lines = []
    for name, column in (("Benign prompts answered", "helpful"), ("Benign prompts refused", "over_refusal")):
        lines.append({"": name} | {DEFENCE_NAMES[d]: rate_of(before.loc[d], column) for d in before.index})
    values = before["utility"].map("{:.2f}".format)
    lines.append({"": "Utility"} | {DEFENCE_NAMES[d]: values[d] for d in before.index})
    for what, title in (("helpful", "Lost answers (points)"), ("utility", "Lost utility (points)")):
        lost = rows_of(cost, what=what).set_index("second")
        lines.append({"": title} | {DEFENCE_NAMES[d]: in_points(lost.loc[d]) for d in lost.index})
    return markdown(pd.DataFrame(lines).fillna("–"))


def after_costs(summary: pd.DataFrame) -> Markdown:
    """Helpful answers, utility and gibberish after each task."""
    columns = {"Answered": "helpful", "Utility": "utility", "Gibberish": "gibberish"}
    return markdown(
        pd.DataFrame(
            {"Task": TASK_NAMES[task], "Defence": DEFENCE_NAMES[line["defence"]]}
            | {name: share(line[column]) for name, column in columns.items()}
            for task in attacks_in(summary)
            for _, line in rows_of(summary, task=task).iterrows()
        )
    )


def beside_paper(summary: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """ASR after each task without and with LoX, ours with intervals, the paper's with Wilson's for its 100 prompts."""
    lines = []
    for task in attacks_in(summary):
        line = {"Task": TASK_NAMES[task]}
        for defence, name in (("none", "no defence"), ("lox", "LoX")):
            line[f"here, {name}"] = _interval(rows_of(summary, task=task, defence=defence))
        for defence, name in (("none", "no defence"), ("lox", "LoX")):
            asr = rows_of(published, task=task, defence=defence)["asr"]
            line[f"paper, {name}"] = cells.paper_rate(asr.iloc[0]) if len(asr) else "–"
        lines.append(line)
    return markdown(pd.DataFrame(lines))


def energy_beside_paper(rows: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """R_ft after each task without and with LoX, ours beside the paper's."""
    lines = []
    for task in attacks_in(rows):
        line = {"Task": TASK_NAMES[task]}
        for source, name, column in ((rows, "here", "r_ft"), (published, "paper", "r_ft")):
            for defence, of in (("none", "no defence"), ("lox", "LoX")):
                values = rows_of(source, task=task, defence=defence)[column]
                line[f"{name}, {of}"] = f"{values.mean():.2f}" if len(values) else "–"
        lines.append(line)
    return markdown(pd.DataFrame(lines))
