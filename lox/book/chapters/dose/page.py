"""Figures and tables of the chapter on the dose of fine-tuning."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, PercentFormatter

from lox.book.cells import markdown, rate_of, rows_of, share
from lox.book.chapters.dose.measure import LEVEL, Judged
from lox.book.figures import DEFENCE_COLORS, REFERENCE, stacked
from lox.book.names import DEFENCE_NAMES, IN_LEGENDS, TASK_NAMES, attacks_in

# --- figures --------------------------------------------------------------------------------------


def curves(rows: pd.DataFrame, curves: pd.DataFrame, broken: pd.DataFrame) -> Figure:
    """ASR over the dose, a panel for each task: thin lines are seeds, thick ones means with their intervals.

    Crosses mark each model's breaking dose.
    """
    tasks = attacks_in(rows)
    figure, panels = stacked([2.5] * len(tasks), sharey=True)
    for axes, task in zip(panels, tasks):
        own = (rows_of(table, task=task) for table in (rows, curves, broken))
        _course(axes, *own, level=LEVEL, title=f"{TASK_NAMES[task]}: attack success rate")
    _legend(figure, rows)
    return figure


def judged_curves(judges: dict[str, Judged]) -> Figure:
    """``curves`` of one recorded task, a panel for each judge by the name in front of its ASR."""
    figure, panels = stacked([2.5] * len(judges), sharey=True)
    for axes, (name, by) in zip(panels, judges.items()):
        _course(axes, by.record.rows, by.curves, by.broken, by.level, name)
    _legend(figure, by.record.rows)
    return figure


def _course(
    axes: Axes, rows: pd.DataFrame, curves: pd.DataFrame, broken: pd.DataFrame, level: float, title: str
) -> None:
    """One task's ASR over the dose, and where it reaches the level."""
    for defence in dict.fromkeys(rows["defence"]):
        style = {"color": DEFENCE_COLORS[defence]}
        for _, seed in rows_of(rows, defence=defence).groupby("seed"):
            axes.plot(seed["step"], seed["asr"], lw=0.7, alpha=0.5, **style)
        _with_interval(axes, rows_of(curves, defence=defence), "asr", **style)
        doses = rows_of(broken, defence=defence)["dose"]
        doses = doses[doses < math.inf]
        axes.plot(doses, [level] * len(doses), "x", ms=7, mew=1.5, **style)
    axes.axhline(level, color=REFERENCE, lw=0.8, ls=":")
    _over_steps(axes, rows, title)


def usefulness(curves: pd.DataFrame) -> Figure:
    """Benign prompts answered (solid) and utility (dashed) over the dose, a panel for each task; means over seeds."""
    tasks = attacks_in(curves)
    figure, panels = stacked([2.2] * len(tasks), sharey=True)
    for axes, task in zip(panels, tasks):
        for defence in dict.fromkeys(curves["defence"]):
            chosen = rows_of(curves, task=task, defence=defence)
            for column, line in (("helpful", "-"), ("utility", "--")):
                axes.plot(chosen["step"], chosen[column], line, color=DEFENCE_COLORS[defence])
        _over_steps(axes, rows_of(curves, task=task), f"{TASK_NAMES[task]}: what is left of usefulness")
    lines = [
        Line2D([], [], color=REFERENCE, ls=ls, label=label)
        for ls, label in (("-", "benign prompts answered"), ("--", "utility"))
    ]
    _legend(figure, curves, *lines)
    return figure


def breaking_doses(broken: pd.DataFrame) -> Figure:
    """The breaking dose of each seed without and with a defence, joined by a line; an open mark did not break."""
    tasks = attacks_in(broken)
    seeds = list(dict.fromkeys(broken["seed"]))
    figure, panels = stacked([0.9 + 0.24 * len(seeds)] * len(tasks))
    for axes, task in zip(panels, tasks):
        for place, seed in enumerate(seeds):
            own = rows_of(broken, task=task, seed=seed)
            ends = own["dose"].clip(upper=own["last"])
            axes.plot([ends.min(), ends.max()], [place] * 2, color=REFERENCE, lw=0.8, zorder=1)
            for dose, defence, end in zip(own["dose"], own["defence"], ends):
                color = DEFENCE_COLORS[defence]
                marker, face = ("o", color) if dose < math.inf else (">", "white")
                axes.plot(end, place, marker, color=color, markerfacecolor=face, ms=7, clip_on=False)
        axes.set_yticks(range(len(seeds)), [f"seed {seed}" for seed in seeds])
        axes.set_ylim(len(seeds) - 0.5, -0.5)
        _over_steps(
            axes, rows_of(broken, task=task).rename(columns={"last": "step"}), TASK_NAMES[task], share=False
        )
    panels[-1].set_xlabel("steps of fine-tuning until the ASR is 50 %")
    _legend(figure, broken)
    return figure


def paper_curves(published: pd.DataFrame) -> Figure:
    """The paper's ASR over epochs at two learning rates, a panel for each task; dashed is the larger rate."""
    tasks = attacks_in(published)
    figure, panels = stacked([2.2] * len(tasks), sharey=True, sharex=True)
    for axes, task in zip(panels, tasks):
        chosen = published[published["task"] == task].assign(
            rate=lambda t: t["lr"].rank(method="dense").map({1: "smaller", 2: "larger"})
        )
        style = {"hue": "defence", "style": "rate", "style_order": ["smaller", "larger"], "legend": False}
        sns.lineplot(chosen, x="epoch", y="asr", palette=DEFENCE_COLORS, ax=axes, **style)
        axes.set(title=f"{TASK_NAMES[task]}: attack success rate", ylabel="", ylim=(-0.03, 1.03))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    lines = [
        Line2D([], [], color=REFERENCE, ls=ls, label=f"{rate} learning rate")
        for ls, rate in (("-", "smaller"), ("--", "larger"))
    ]
    _legend(figure, published, *lines)
    return figure


def _with_interval(axes: Axes, curve: pd.DataFrame, column: str, **style) -> None:
    axes.plot(curve["step"], curve[column], lw=2.4, **style)
    axes.fill_between(
        curve["step"], curve[f"{column}_low"], curve[f"{column}_high"], alpha=0.13, lw=0, **style
    )


def _over_steps(axes: Axes, rows: pd.DataFrame, title: str, share: bool = True) -> None:
    """Steps on a logarithmic axis that has a place for 0."""
    last = rows["step"].max()
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    ticks = [0, *(4**i for i in range(12) if 4**i <= last)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(title=title, xlabel="steps of fine-tuning", xlim=(-0.1, last * 1.08))
    if share:
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1))


def _legend(figure: Figure, rows: pd.DataFrame, *more: Line2D) -> None:
    handles = [
        Line2D([], [], color=DEFENCE_COLORS[d], lw=2.4, label=IN_LEGENDS[d])
        for d in dict.fromkeys(rows["defence"])
    ]
    figure.legend(handles=[*handles, *more], loc="outside upper left", ncols=2 if more else 3)


# --- tables ---------------------------------------------------------------------------------------


def lengths(table: pd.DataFrame) -> Markdown:
    """How many steps a run has here and in the other chapters."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[line["task"]],
                "Learning rate": f"{line['lr']:g}",
                "Steps elsewhere": line["profile"],
                "Steps here": line["steps"],
            }
            for _, line in table.iterrows()
        )
    )


def ratios(table: pd.DataFrame, broken: pd.DataFrame) -> Markdown:
    """Breaking doses without and with a defence, and their ratio."""
    lines = [
        {"Task": TASK_NAMES[ratio["task"]]} | _steps_and_ratio(ratio, broken) for _, ratio in table.iterrows()
    ]
    return markdown(pd.DataFrame(lines).fillna("–"))


def _steps_and_ratio(ratio: pd.Series, broken: pd.DataFrame) -> dict[str, str]:
    doses = {d: rows_of(broken, task=ratio["task"], defence=d) for d in ("none", ratio["second"])}
    return {
        "Steps, no defence": median(doses["none"]),
        f"Steps, {DEFENCE_NAMES[ratio['second']]}": median(doses[ratio["second"]]),
        "Ratio": _with_p(ratio),
        "Seeds (measured)": f"{ratio['seeds']} ({ratio['measured']})",
    }


def recorded(tables: tuple[pd.DataFrame, pd.DataFrame] | None) -> Markdown:
    """``ratios`` of the recorded run, or that there is none at this rate and by this judge."""
    return Markdown("*Nothing was recorded with these settings.*") if tables is None else ratios(*tables)


def twice(records: Mapping[str, pd.DataFrame]) -> Markdown:
    """``measure.recorded_twice``: the ratio of each task and defence in every record, with its corrected p."""
    first = next(iter(records.values()))
    same = {name: first[["task", "second"]].merge(table, "left") for name, table in records.items()}
    cells = {name: [_with_p(ratio) for _, ratio in table.iterrows()] for name, table in same.items()}
    heads = {"Task": first["task"].map(TASK_NAMES), "Defence": first["second"].map(DEFENCE_NAMES)}
    return markdown(pd.DataFrame(heads | cells))


def _with_p(ratio: pd.Series) -> str:
    return f"{times(ratio, unit='')}, p {ratio['p_holm']:.2g}"


def judged_ratios(judges: dict[str, Judged]) -> Markdown:
    """``ratios`` by each judge, by name, with the ASR at which a model counts as broken."""
    lines = []
    for name, by in judges.items():
        for _, ratio in by.ratios.iterrows():
            head = {"Judge": name, "Broken from": share(by.level)}
            lines.append(head | _steps_and_ratio(ratio, by.broken))
    return markdown(pd.DataFrame(lines).fillna("–"))


def times(ratio: pd.Series, unit: str = " times") -> str:
    """A ratio of doses, "3.10 times [1.80, 5.40]"; without a measured value only its interval."""
    interval = f"[{_number(ratio['low'])}, {_number(ratio['high'])}]"
    known = math.isfinite(ratio["ratio"])
    return f"{_number(ratio['ratio'])}{unit} {interval}" if known else f"{interval}{unit}"


def _number(value: float) -> str:
    if value == math.inf:
        return "∞"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def median(broken: pd.DataFrame) -> str:
    """The median breaking dose over seeds, "> 256" where half or more do not break."""
    median = broken["dose"].median()
    return f"{median:.0f}" if median < math.inf else f"> {broken['last'].max():.0f}"


def worst(summary: pd.DataFrame) -> Markdown:
    """What the most harmful model within the budget does."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[task],
                "Defence": DEFENCE_NAMES[line["defence"]],
                "Highest ASR": rate_of(line),
                "Answered": share(line["helpful"]),
                "Gibberish": share(line["gibberish"]),
            }
            for task in attacks_in(summary)
            for _, line in rows_of(summary, task=task).iterrows()
        )
    )


def beside_paper(rows: pd.DataFrame, table: pd.DataFrame, published: pd.DataFrame) -> Markdown:
    """ASR without → with LoX early and late in fine-tuning, ours beside the paper's.

    Ours is early at the step nearest to the profile's own length and late at the last; the paper's early is
    one epoch and its late the last.
    """
    lines = []
    for _, length in table.iterrows():
        course = rows_of(rows, task=length["task"])
        early = min(course["step"].unique(), key=lambda step: abs(step - length["profile"]))
        late = course["step"].max()
        ours = [(f"step {step}", _arrow(course[course["step"] == step])) for step in (early, late)]
        lines.append(_line(length["task"], "here", *ours))
    for (task, lr), theirs in published.groupby(["task", "lr"], sort=False):
        epochs = [1, theirs["epoch"].max()]
        both = [(f"epoch {epoch}", _arrow(theirs[theirs["epoch"] == epoch])) for epoch in epochs]
        lines.append(_line(task, f"paper, rate {lr:g}", *both))
    return markdown(pd.DataFrame(lines))


def _line(task: str, where: str, early: tuple[str, str], late: tuple[str, str]) -> dict:
    columns = {"Early": f"{early[1]} ({early[0]})", "Late": f"{late[1]} ({late[0]})"}
    return {"Task": TASK_NAMES[task], "Run": where} | columns


def _arrow(rows: pd.DataFrame) -> str:
    means = rows.groupby("defence")["asr"].mean()
    return " → ".join(f"{100 * means[d]:.0f}" if d in means else "–" for d in ("none", "lox"))
