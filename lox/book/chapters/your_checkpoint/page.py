"""The figure, tables and sentences of the chapter on a checkpoint of one's own."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lox.book import cells
from lox.book.cells import markdown, rows_of
from lox.book.chapters.your_checkpoint.checks import FAIL, OPEN, PASS, TOO_FEW
from lox.book.chapters.your_checkpoint.measure import prompts_needed
from lox.book.figures import AFTER, BEFORE
from lox.book.names import TASK_NAMES
from lox.lab import behaviour as lab
from lox.lab.choice import Choice
from lox.lab.choosing import Measured, command, for_reader
from lox.lab.evaluated import Evaluated

COLOURS = {"aligned": AFTER, "immunised": BEFORE}
GOOD = {
    "ASR": "low is good",
    "answered": "high is good",
    "over-refusal": "low is good",
    "gibberish": "low is good",
}
STEPS = {
    "copy": "copying alone",
    "lox": "`lox extrapolate`",
    "adapter": "with `--adapter`",
    "full svd": "full SVDs",
}

HEADS = {"alpha": "α", "r_align": "R_align"}


def finding(
    report: pd.DataFrame, sizes: pd.DataFrame, checks: pd.DataFrame, choice: Choice, k, alpha: float
) -> Markdown:
    """What was chosen and made, how much of it an adapter needs, and which checks it passes."""
    changed, of = report[report["k"] > 0], sizes.set_index("what")
    whole, adapter = (of.loc[what, "mb"] for what in ("whole checkpoint", "adapter attached"))
    return cells.finding(
        choice_in_words(choice, k, alpha),
        f"`lox extrapolate` with $k$ = {k} and $\\alpha$ = {alpha:g} changed {len(changed)} of {len(report)} "
        f"matrices, each by {changed['added'].mean():.1%} of its norm on average; {changed['survives'].mean():.1%} of "
        "the update is left after rounding.",
        f"As an adapter it takes {adapter:.2f} MB where the checkpoint has {whole:.2f} MB, and no logit differs by "
        f"more than {of.loc['adapter attached', 'logits']:.0e}.",
        verdicts_in_words(checks),
    )


def choice_in_words(choice: Choice, k, alpha: float) -> str:
    """What the rule chose, or why nothing, and what the page goes on with."""
    used = f"$k$ = {k} and $\\alpha$ = {alpha:g}"
    if choice.alpha is None:
        return f"`lox choose` chooses nothing: {choice.refusal}. The page goes on with {used}, which it did not choose."
    words = f"`lox choose` finds the effective rank {choice.k} and, in the budget, at most $\\alpha$ = {choice.alpha:g}"
    return (
        f"{words}."
        if (choice.k, choice.alpha) == (k, alpha)
        else f"{words}; the page was told to use {used}."
    )


def choice(table: pd.DataFrame) -> Markdown:
    """Every point of the grid, as ``lox choose`` prints it."""
    return markdown(for_reader(table).rename(columns={"": "Point", "answers lost, points": "lost, points"}))


def choosing_prompts(questions: list[dict], on_others: bool) -> Markdown:
    """How many prompts the choice was made on, and whether the page reports the same ones."""
    harmful = sum(question["set"] == "harmful" for question in questions)
    words = f"Chosen on {harmful} harmful and {len(questions) - harmful} harmless prompts."
    if on_others:
        return Markdown(f"{words} What the page reports rests on others.")
    return Markdown(
        f"{words} There are no further harmful ones, so the page reports the ASR on those that $k$ was chosen on; the "
        "harmless ones are others."
    )


def budget_in_words(questions: list[dict], budget: float, own: float) -> Markdown:
    """How many independent harmless prompts the page's budget takes, how many there are, and what ``own`` takes."""
    things = len({question["thing"] for question in questions if question["set"] == "benign"})
    return Markdown(
        f"On this page the budget is `margin`, {100 * budget:g} points of harmless answers. Even where no answer is "
        f"lost, that takes {prompts_needed(budget)} independent harmless prompts; those of this page are about "
        f"{things} things. A budget of {100 * own:g} points takes {prompts_needed(own)}."
    )


def answer(measured: Measured) -> Markdown:
    """The command that was found, or the refusal, and what else the rule remarks."""
    choice = measured.choice
    outcome = (
        f"Nothing is chosen: {choice.refusal}."
        if choice.refusal
        else f"`{command('base', 'aligned', choice)}`"
    )
    return Markdown("\n".join([outcome, *(f"\n*Note:* {remark}." for remark in choice.remarks)]))


def beside(models: dict[str, Evaluated]) -> Markdown:
    """The immunised model beside the aligned one, as ``lox evaluate`` prints it, with a line for each rate."""
    both = {name: models[name] for name in ("immunised", "aligned")}
    return markdown(lab.side_by_side(lab.behaviour(both), lab.differences(*both.values())))


def larger(estimates: pd.DataFrame) -> Markdown:
    """Time and memory for larger models; all of it estimated."""
    return markdown(
        pd.DataFrame(
            {
                "estimated for": row.model,
                "checkpoint": f"{row.gb:.0f} GB",
                "`lox extrapolate`": f"{row.minutes:.0f} min",
                "its memory": f"{row.peak_gb:.1f} GB",
                "memory of `lox choose`": f"{row.choose_gb:.0f} GB",
            }
            for row in estimates.itertuples()
        )
    )


def verdicts_in_words(checks: pd.DataFrame) -> str:
    """How many checks pass, and by name which fail, need more prompts, or were not measured."""
    named = {verdict: list(group["check"]) for verdict, group in checks.groupby("verdict", sort=False)}
    sentences = [f"Of {len(checks)} checks before shipping {len(named.get(PASS, []))} pass."]
    failed = [_with_values(c) for c in checks[checks["verdict"] == FAIL].itertuples()]
    sentences += [f"**Failed**: {', '.join(failed)}." if failed else "None failed."]
    for verdict, words in (
        (TOO_FEW, "Too few prompts to decide"),
        (OPEN, "Not measured"),
    ):
        sentences += [f"{words}: {', '.join(named[verdict])}."] if verdict in named else []
    return _shown(" ".join(sentences))


def _with_values(check) -> str:
    """What is checked, and what it was before and after, where the check has both."""
    return f"{check.check} ({check.before} → {check.after})" if check.before and check.after else check.check


def _shown(text: str) -> str:
    for task, name in TASK_NAMES.items():
        text = text.replace(f"after {task}", f"after {name}")
    return text


def behaviour(table: pd.DataFrame) -> Figure:
    """What the model does before and after LoX: a dot with Wilson's interval for each of the four rates."""
    measures = list(GOOD)
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    plt.close(figure)
    for shift, (model, colour) in zip((-0.15, 0.15), COLOURS.items()):
        ours = rows_of(table, model=model).set_index("what").loc[measures]
        places = [place + shift for place in range(len(measures))]
        axes.hlines(places, ours["low"], ours["high"], color=colour, linewidth=5, alpha=0.3)
        axes.plot(ours["value"], places, "o", color=colour, label=model)
    axes.set_yticks(range(len(measures)), [f"{what}\n({good})" for what, good in GOOD.items()])
    axes.set(ylim=(len(measures) - 0.5, -0.5), xlim=(-0.02, 1.02), xlabel="share of prompts")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def checklist(checks: pd.DataFrame) -> Markdown:
    """The checks, a row each: before, after, what is asked, and the verdict."""
    return markdown(
        pd.DataFrame(
            {
                "Check": _shown(c.check),
                "before": c.before or "–",
                "after": c.after or "–",
                "asked": c.rule,
                "verdict": "**fail**" if c.verdict == "fail" else c.verdict,
            }
            for c in checks.itertuples()
        )
    )


def losses(checks: pd.DataFrame) -> Markdown:
    """Of every check by a paired difference the loss in points with its interval, in words."""
    lines = [
        f"- {_shown(c.check)}: worse by {100 * c.loss:z.1f} points [{100 * c.loss_low:z.1f}, {100 * c.loss_high:z.1f}]"
        for c in checks.dropna(subset="loss").itertuples()
    ]
    return Markdown("\n".join(lines))


def rounding(report: pd.DataFrame) -> Markdown:
    """The example by hand: α, what was meant to be added and how much of it survived."""
    return markdown(report[["alpha", "r_align", "added", "survives"]].rename(columns=HEADS).round(4))


def report(table: pd.DataFrame) -> Markdown:
    """The command's report, means by kind of matrix."""
    columns = ["r_align", "added", "error", "survives"]
    by_kind = table.groupby("kind", sort=False)[columns].mean().reset_index()
    return markdown(
        by_kind.round({"r_align": 3, "added": 4, "error": 6, "survives": 4}).rename(columns=HEADS)
    )


def adapter(sizes: pd.DataFrame) -> Markdown:
    """Size, and largest difference of logits from the whole checkpoint."""
    return markdown(
        pd.DataFrame(
            {
                "": row.what,
                "MB": "–" if pd.isna(row.mb) else f"{row.mb:.2f}",
                "largest difference of logits": f"{row.logits:.1g}",
            }
            for row in sizes.itertuples()
        )
    )


def energy(by_kind: pd.DataFrame) -> Markdown:
    """R_align by kind of matrix."""
    return markdown(by_kind.round(3).rename(columns=HEADS))


def speed(table: pd.DataFrame) -> Markdown:
    """The benchmark on each machine, and in sentences on what it was measured."""
    machines = dict(list(table.groupby("machine", sort=False)))
    shown = pd.DataFrame(
        {
            "Machine": machine,
            "": STEPS[row["what"]],
            "seconds": f"{row['seconds']:.0f}",
            "times copying": f"{row['times_copy']:.2f}",
            "peak memory": "" if pd.isna(row["peak_gb"]) else f"{row['peak_gb']:.1f} GB",
        }
        for machine, rows in machines.items()
        for _, row in rows.iterrows()
    )
    first = table.iloc[0]
    runs = [
        f"{machine}: load {one['load']:g} when they began, {one['date']}, torch {one['torch']}"
        for machine, rows in machines.items()
        for one in [rows.iloc[0]]
    ]
    said = (
        f"Medians of {first['repeats']} runs ({'; '.join(runs)}). The checkpoint has {first['checkpoint_gb']:g} GB, "
        f"its largest tensor {first['largest_tensor_gb']:g} GB. Of the peak memory "
        f"{table['libraries_gb'].max():.1f} GB are the libraries; what comes on top is a multiple of the largest "
        "tensor, whatever the number of tensors. The certified error of the decompositions is at most "
        f"{table['certified_error'].max():.0e}."
    )
    return markdown(shown, said)
