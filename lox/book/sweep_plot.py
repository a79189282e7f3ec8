"""The figure of a sweep: a gathered table in, a Figure out."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book.figures import REFERENCE, panels_of
from lox.book.names import DEFENCE_NAMES, TASK_NAMES
from lox.book.sweeps import GIVEN

NEEDED = ("task", "defence", "seed", "asr", "asr_low", "asr_high")
APART = ("task", "tasks", "seed", "seeds")  # a panel for each task and a dot for each seed, given or not


def attack_success(gathered: pd.DataFrame) -> Figure:
    """ASR over the last swept parameter: a panel for each task, a colour for each defence and other value.

    ``gathered`` is ``sweeps.gather``'s table, read from its file, of a notebook with a row for each model:
    a dot is a row, its bar the Wilson interval at 95 %. A model without the parameter, as one without a
    defence has no k, stands at "–". Raises ValueError for a table of another kind.
    """
    if missing := [column for column in NEEDED if column not in gathered]:
        raise ValueError(f"no figure of attack success: the table has no column {', '.join(missing)}")
    dots, across = _dots(gathered)
    tasks = [task for task in TASK_NAMES if task in set(dots["task"])]
    places, series = list(dots["place"].unique()), list(dots["series"].unique())
    figure, panels = panels_of(len(tasks), sharey=True)
    figure.set_size_inches(1.5 + 3.5 * len(tasks), 3.8)
    for axes, task in zip(panels, tasks):
        _draw(axes, dots[dots["task"] == task], places, series)
        axes.set(title=TASK_NAMES[task], xlabel=across, ylim=(-0.02, 1.02))
    panels[0].set_ylabel("ASR")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(*_legend(panels), loc="outside upper center", ncols=3)
    return figure


def _dots(gathered: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Each model once, with its place on the x axis and its series as text; and the axis's name."""
    swept = [
        column.removeprefix(GIVEN)
        for column in gathered
        if column.startswith(GIVEN)
        and column.removeprefix(GIVEN) not in APART
        and gathered[column].nunique(dropna=False) > 1
    ]
    # The table's own column knows more than what was given: a default's value, or that there is none.
    values = pd.DataFrame({n: gathered[n if n in gathered else GIVEN + n].map(_text) for n in swept})
    *others, across = swept or [""]
    place = values[across] if swept else pd.Series("", gathered.index)
    series = gathered["defence"].map(lambda defence: DEFENCE_NAMES.get(defence, defence))
    for name in others:
        series = series + values[name].map(lambda text, name=name: "" if text == "–" else f", {name} {text}")
    dots = gathered.assign(place=place, series=series)
    return dots.drop_duplicates(["task", "place", "series", "seed", "asr"]), across


def _draw(axes: Axes, dots: pd.DataFrame, places: list[str], series: list[str]) -> None:
    """Dots beside each other at their place, so that no interval hides another."""
    order = dots["series"].map(series.index)
    rank = dots.assign(order=order).sort_values(["order", "seed"]).groupby("place").cumcount()
    count = dots.groupby("place")["place"].transform("size")
    x = dots["place"].map(places.index) + 0.7 * ((rank + 0.5) / count - 0.5)
    for number, name in enumerate(series):
        own = dots[dots["series"] == name]
        bars = [own["asr"] - own["asr_low"], own["asr_high"] - own["asr"]]
        color = REFERENCE if name == DEFENCE_NAMES["none"] else f"C{number}"
        axes.errorbar(x[own.index], own["asr"], bars, fmt="o", lw=1, capsize=2, color=color, label=name)
    axes.set_xticks(range(len(places)), places)
    axes.grid(visible=False, axis="x")


def _legend(panels: list[Axes]) -> tuple[list, list[str]]:
    """Every series once, whichever panels it is in."""
    entries = {}
    for axes in panels:
        entries |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels())}
    return list(entries.values()), list(entries)


def _text(value) -> str:
    """A value as it is read: 3.0 as 3, nothing as a dash."""
    if pd.isna(value):
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)
