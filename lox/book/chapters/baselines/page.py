"""Figures, tables and sentences of defences side by side."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from IPython.display import Markdown
from matplotlib.figure import Figure

from lox.book import cells, trade_plot
from lox.book.cells import by_verdict, in_points, listed, markdown, points, rate_of, rows_of, share
from lox.book.figures import stacked
from lox.book.names import DEFENCE_NAMES, TASK_NAMES, attacks_in

# what the second defence of a difference does to the ASR, by the side of ``by_verdict``
ASR_WITH = {"above": "lower with", "below": "higher with", "neither": "not distinguished with"}

# --- the finding ----------------------------------------------------------------------------------


def finding(over_tasks: pd.DataFrame, against_none: pd.DataFrame, costs: pd.DataFrame) -> Markdown:
    """The box of the page; tables of ``measure`` and, for each task, of the robustness chapter's."""
    controls = over_tasks[over_tasks["first"] != "none"]
    sentences = [
        averaged_in_words(rows_of(over_tasks, first="none")),
        counted_in_words(against_none),
        *([controls_in_words(controls)] if len(controls) else []),
        costs_in_words(costs),
    ]
    return cells.finding(*sentences)


def averaged_in_words(over_tasks: pd.DataFrame) -> str:
    """Which defences lower the mean ASR over tasks."""
    parts = cells.listed_by_verdict(over_tasks, ASR_WITH, defence_with_points)
    return (
        f"Compared with no defence, the ASR after fine-tuning, averaged over the tasks and {over_tasks['seeds'].max()} "
        f"seeds, is {'; it is '.join(parts)}. In brackets stand the points taken off the ASR; below 0 they are added."
    )


def counted_in_words(against_none: pd.DataFrame) -> str:
    """After how many tasks each defence has the lower ASR once p is corrected for the number of comparisons."""
    after = against_none[against_none["task"] != "none"]
    counts = [
        f"{DEFENCE_NAMES[defence]} {len(by_verdict(group)['above'])} of {len(group)}"
        for defence, group in after.groupby("second", sort=False)
    ]
    return (
        f"After correction for {len(after)} comparisons (Holm), the number of tasks with a lower ASR than without a "
        f"defence: {listed(counts)}."
    )


def controls_in_words(controls: pd.DataFrame) -> str:
    """Whether LoX does more than steps of its size in other directions."""
    parts = [
        f"{cells.said_of(d, 'lower than', 'higher than', 'not distinguished from')} that with "
        f"{DEFENCE_NAMES[d['first']]} (taken off: {points(d)})"
        for _, d in controls.iterrows()
    ]
    return f"Against steps of the same size, the mean ASR with LoX is {listed(parts)}."


def costs_in_words(costs: pd.DataFrame) -> str:
    """Which defences leave more benign prompts unanswered before any fine-tuning."""
    said = by_verdict(costs)
    more = [defence_with_points(d) for _, d in said["above"].iterrows()]
    rest = [DEFENCE_NAMES[name] for name in pd.concat([said["neither"], said["below"]])["second"]]
    parts = [f"fewer benign prompts are answered with {listed(more)}"] if more else []
    parts += [f"no loss of answers is established with {listed(rest)}"] if rest else []
    return f"Before any fine-tuning, {'; '.join(parts)}."


def defence_with_points(difference: pd.Series) -> str:
    """The second defence of a difference, and how large it is."""
    return f"{DEFENCE_NAMES[difference['second']]} ({points(difference)})"


# --- figures --------------------------------------------------------------------------------------


def trade(means: pd.DataFrame, seeds: pd.DataFrame) -> Figure:
    """ASR after fine-tuning against benign prompts not answered before it."""
    return trade_plot.trade(
        means,
        seeds,
        unanswered="benign prompts not answered before fine-tuning",
        asr="attack success rate after it, mean over tasks",
    )


def by_task(rows: pd.DataFrame, against_none: pd.DataFrame) -> Figure:
    """ASR after each task under each defence, means over seeds; a star where it is lower than without a defence.

    A star means p < 0.05, corrected for the number of all comparisons.
    """
    tasks, defences = attacks_in(rows), list(dict.fromkeys(rows["defence"]))
    means = rows.pivot_table(index="defence", columns="task", values="asr", aggfunc="mean").loc[
        defences, tasks
    ]
    lower = by_verdict(against_none)["above"]
    stars = set(zip(lower["second"], lower["task"]))
    text = [[f"{100 * means.loc[d, t]:.0f}{'*' * ((d, t) in stars)}" for t in tasks] for d in defences]
    figure, (axes,) = stacked([1.1 + 0.38 * len(defences)])
    sns.heatmap(means, annot=text, fmt="", cmap="Oranges", vmin=0, vmax=1, cbar=False, linewidths=1, ax=axes)
    axes.set_xticklabels([TASK_NAMES[t].replace(" ", "\n") for t in tasks], rotation=0)
    axes.set_yticklabels([DEFENCE_NAMES[d] for d in defences], rotation=0)
    axes.set(xlabel="", ylabel="")
    axes.tick_params(length=0)
    return figure


# --- tables ---------------------------------------------------------------------------------------


def defences(means: pd.DataFrame, over_tasks: pd.DataFrame) -> Markdown:
    """Every defence: mean ASR over tasks, its difference to none, and the benign prompts that it leaves unanswered."""
    lost = rows_of(over_tasks, first="none").set_index("second")
    return markdown(
        pd.DataFrame(
            {
                "Defence": DEFENCE_NAMES[m["defence"]],
                "ASR after": rate_of(m),
                "none minus this": in_points(lost.loc[m["defence"]]) if m["defence"] in lost.index else "–",
                "p (Holm)": f"{lost.loc[m['defence'], 'p_holm']:.2g}" if m["defence"] in lost.index else "–",
                "Unanswered before": share(m["unanswered"]),
            }
            for _, m in means.iterrows()
        )
    )


def after_tasks(means: pd.DataFrame) -> Markdown:
    """What is left after fine-tuning, means over tasks and seeds."""
    columns = {"Benign answered": "answered", "Utility": "utility", "Gibberish": "gibberish"}
    return markdown(
        pd.DataFrame(
            {"Defence": DEFENCE_NAMES[m["defence"]]}
            | {name: share(m[column]) for name, column in columns.items()}
            for _, m in means.iterrows()
        )
    )


def beside_paper(rows: pd.DataFrame, table1: pd.DataFrame, ablation: pd.DataFrame) -> Markdown:
    """ASR without a defence → with LoX → with full-rank extrapolation, ours beside the paper's.

    The paper's full-rank extrapolation is from its ablation, at the largest α for which it gives a value.
    """
    full = ablation[(ablation["k"] == "full") & ablation["asr"].notna()].sort_values("alpha")
    theirs = pd.concat([table1, full.assign(defence="full-rank")])
    lines = []
    for task in attacks_in(rows):
        line = {"Task": TASK_NAMES[task]}
        for name, source in (
            ("here", rows.groupby(["task", "defence"], as_index=False)["asr"].mean()),
            ("paper", theirs),
        ):
            values = [
                rows_of(source, task=task, defence=d)["asr"].tail(1) for d in ("none", "lox", "full-rank")
            ]
            line[f"{name} (%)"] = " → ".join(f"{100 * v.iloc[0]:.0f}" if len(v) else "–" for v in values)
        alphas = rows_of(full, task=task)["alpha"].tail(1)
        lines.append(line | {"α of the last": f"{alphas.iloc[0]:g}" if len(alphas) else "–"})
    return markdown(pd.DataFrame(lines))


def lengths(table: pd.DataFrame) -> Markdown:
    """How much longer SafeInst trains."""
    return markdown(
        pd.DataFrame(
            {
                "Task": TASK_NAMES[line["task"]],
                "Examples": line["examples"],
                "of safety": line["safety"],
                "Steps": line["steps"],
                "with SafeInst": line["steps_mixed"],
            }
            for _, line in table.iterrows()
        )
    )
