"""Figures, tables and sentences of the five attacks: this run, a recorded run and the paper's side by side."""

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
from lox.book.cells import by_interval, in_points, listed, markdown, per_cent, points, rows_of, share
from lox.book.figures import DEFENCE_COLORS, REFERENCE, stacked
from lox.book.names import DEFENCE_NAMES, TASK_NAMES, attacks_in

GIBBERISH = 0.05  # above this share of garbled replies a low ASR is no sign of safety
NAMED = 3  # so many cases are named in a sentence
LABELS = {"none": "no defence", "lox": "with LoX"}


# --- the finding ----------------------------------------------------------------------------------


def finding(
    summary: pd.DataFrame,
    damage: pd.DataFrame,
    against_none: pd.DataFrame,
    costs: pd.DataFrame,
    recorded: pd.DataFrame | None = None,
) -> Markdown:
    """The box of the page; tables of ``measure``, ``recorded`` the record's ``against_none``."""
    sentences = [damage_in_words(rows_of(damage, defence="none"))]
    sentences += protection_in_words(against_none)
    sentences += costs_in_words(summary, costs)
    sentences.append(gibberish_in_words(summary))
    if recorded is not None:
        seeds = recorded["seeds"].max()
        sentences += [f"Recorded over {seeds} seeds: {said}" for said in protection_in_words(recorded)]
    return cells.finding(*sentences)


def lox_in_words(summary: pd.DataFrame, against_none: pd.DataFrame, costs: pd.DataFrame) -> Markdown:
    """Of LoX alone, as a paragraph: after which attacks it helps, and what it costs."""
    protection, cost = (rows_of(table, second="lox") for table in (against_none, costs))
    return Markdown(" ".join(protection_in_words(protection) + costs_in_words(summary, cost)))


def damage_in_words(damage: pd.DataFrame) -> str:
    """After which tasks fine-tuning without a defence has raised the ASR."""
    said = by_interval(damage)
    raised, rest = said["above"], pd.concat([said["neither"], said["below"]])
    seeds = f"over {damage['seeds'].max()} seeds"
    parts = []
    if len(raised):
        parts.append(f"Without a defence, fine-tuning raises the ASR after {_with_points(raised)}, {seeds}.")
    if len(rest):
        parts.append(f"No rise is established after {_named(rest)} without a defence, {seeds}.")
    return " ".join(parts)


def protection_in_words(against_none: pd.DataFrame) -> list[str]:
    """After which tasks each defence has the lower ASR, the higher one, or neither is established."""
    after = against_none[against_none["task"] != "none"]
    sentences = []
    for defence, group in after.groupby("second", sort=False):
        said = by_interval(group)
        parts = [
            f"{word} after {names}"
            for word, names in (
                ("lower", _with_points(said["above"])),
                ("higher", _named(said["below"])),
                ("not distinguished from that without it", _named(said["neither"])),
            )
            if names
        ]
        sentences.append(
            f"With {DEFENCE_NAMES[defence]} the ASR after fine-tuning is {'; it is '.join(parts)}."
        )
    return sentences


def costs_in_words(summary: pd.DataFrame, costs: pd.DataFrame) -> list[str]:
    """What each defence costs before any fine-tuning, in helpful answers and in utility."""
    before = rows_of(summary, task="none", form="plain").set_index("defence")
    sentences = []
    for defence, group in costs.groupby("second", sort=False):
        of = {what: group[group["what"] == what].iloc[0] for what in ("helpful", "utility")}
        lost = cells.said_of(of["helpful"], "fewer than", "more than", "not distinguished from")
        lower = cells.said_of(of["utility"], "lower than", "higher than", "not distinguished from")
        rates = {name: share(before.loc[name, "helpful"]) for name in ("none", defence)}
        utilities = {name: f"{before.loc[name, 'utility']:.2f}" for name in ("none", defence)}
        sentences.append(
            f"Before any fine-tuning, {DEFENCE_NAMES[defence]} answers {rates[defence]} of the benign prompts, {lost} "
            f"the {rates['none']} without it (difference {points(-_both(of['helpful']))}); its utility of "
            f"{utilities[defence]} is {lower} {utilities['none']}."
        )
    return sentences


def gibberish_in_words(summary: pd.DataFrame) -> str:
    """Whether a low ASR could be that of a broken model."""
    broken = summary[summary["gibberish"] > GIBBERISH]
    if broken.empty:
        return f"Gibberish makes up at most {share(summary['gibberish'].max())} of the replies to harmful prompts."
    worst = broken.sort_values("gibberish", ascending=False, kind="stable")
    named = [f"{_model(line)} ({share(line['gibberish'])})" for _, line in worst.head(NAMED).iterrows()]
    most = ":" if len(broken) <= NAMED else ", most of all in"
    return (
        f"More than {share(GIBBERISH)} of the replies to harmful prompts are gibberish in {len(broken)} of "
        f"{len(summary)} cases{most} {listed(named)}. A low ASR is no sign of safety there."
    )


def _both(d: pd.Series) -> pd.Series:
    return pd.Series({"difference": d["difference"], "low": d["high"], "high": d["low"]})


def _model(line: pd.Series) -> str:
    persona = ", in persona" if _persona_before(line) else ""
    return f"{TASK_NAMES[line['task']]}{persona}, {_said(line['defence'])}"


def _named(differences: pd.DataFrame) -> str:
    return listed([TASK_NAMES[task] for task in differences["task"]]) if len(differences) else ""


def _with_points(differences: pd.DataFrame) -> str:
    """Tasks with their differences: "Dolly (by 84 points [70, 95]) and Alpaca (by 61 points [40, 80])"."""
    named = [f"{TASK_NAMES[d['task']]} (by {points(d)})" for _, d in differences.iterrows()]
    return listed(named) if named else ""


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
        Line2D([], [], color=DEFENCE_COLORS[d], marker=marker, ls=line, label=_said(d)) for d in defences
    ]
    figure.legend(handles=[*handles, *more], loc="outside upper left", ncols=3)


def _said(defence: str) -> str:
    return LABELS.get(defence, DEFENCE_NAMES[defence])


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
            | {"ASR after": per_cent(*after[["asr", "asr_low", "asr_high"]])}
            for task in attacks_in(summary)
            for _, after in rows_of(summary, task=task).iterrows()
            for defence in [after["defence"]]
        )
    )


def _interval(lines: pd.DataFrame) -> str:
    return per_cent(*lines.iloc[0][["asr", "asr_low", "asr_high"]]) if len(lines) else "–"


def paired(against_none: pd.DataFrame) -> Markdown:
    """ASR without a defence minus that with it, in points, with its interval and the corrected p."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[d["task"]] + (", in persona" if _persona_before(d) else ""),
                "Defence": DEFENCE_NAMES[d["second"]],
                "ASR, none minus this (points)": in_points(d),
                "p (Holm)": "–" if pd.isna(d["p_holm"]) else f"{d['p_holm']:.2g}",
            }
            for _, d in against_none.iterrows()
        )
    )


def _persona_before(d: pd.Series) -> bool:
    return d["task"] == "none" and d["form"] != "plain"


def costs(summary: pd.DataFrame, cost: pd.DataFrame) -> Markdown:
    """Before any fine-tuning, a row for each quantity and a column for each defence; last, what is lost."""
    before = rows_of(summary, task="none", form="plain").set_index("defence")
    lines = []
    for name, column in (("Benign prompts answered", "helpful"), ("Benign prompts refused", "over_refusal")):
        columns = [column, f"{column}_low", f"{column}_high"]
        lines.append({"": name} | {DEFENCE_NAMES[d]: per_cent(*before.loc[d, columns]) for d in before.index})
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


def alignment_in_words(beta: float, nll_weight: float) -> Markdown:
    """Which loss the models of this run were aligned with."""
    if nll_weight == 0:
        return Markdown(f"In this run alignment is DPO with $\\beta = {beta:g}$ and nothing else: $w = 0$.")
    return Markdown(
        f"In this run $\\beta = {beta:g}$ and $w = {nll_weight:g}$: alignment is **not DPO alone**. Without the second "
        "term a small model lowers the probability of the chosen reply too, as long as that of the rejected one falls "
        "faster. The paper's alignment has no such term ($w = 0$)."
    )
