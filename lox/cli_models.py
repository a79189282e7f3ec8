"""The commands that ask models: ``lox evaluate`` and ``lox choose``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from lox.extras import needs
from lox.options import ASKING, METHOD, RUNNING, Aligned, Base, Device, Matrices, Quiet
from lox.paths import project
from lox.terminal import byte_progress, errors, reply_progress, warning_lines

FILES = "a file (a prompt a line; .csv or .jsonl with a column prompt, or FILE:COLUMN)"
Harmful = Annotated[
    str, typer.Option(metavar="SET|FILE", help=f"advbench, toy, or {FILES}.", rich_help_panel=ASKING)
]
Harmless = Annotated[
    str, typer.Option(metavar="SET|FILE", help=f"xstest, toy, or {FILES}.", rich_help_panel=ASKING)
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Take the first so many of each.", rich_help_panel=ASKING)
]
Judge = Annotated[
    str,
    typer.Option(
        help="refusal-or-evasion, refusal-phrases, phrases-alone, toy, endpoint:MODEL (at OPENAI_BASE_URL, "
        "key in OPENAI_API_KEY), local:MODEL, or sheet:FILE.",
        rich_help_panel=ASKING,
    ),
]
NewTokens = Annotated[
    int, typer.Option(min=1, help="The most that a greedy reply may have.", rich_help_panel=ASKING)
]
Batch = Annotated[int, typer.Option(min=1, help="Prompts at a time.", rich_help_panel=RUNNING)]
DType = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Type of the weights; auto: that of the checkpoint.", rich_help_panel=RUNNING),
]
ChatTemplate = Annotated[
    Path | None,
    typer.Option(help="A Jinja file, for a tokenizer without a chat template.", rich_help_panel=ASKING),
]
CSV = Annotated[Path | None, typer.Option(help="A new CSV file.", rich_help_panel=RUNNING)]


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder or a Hub id.")],
    adapter: Annotated[
        str | None, typer.Option(help="A PEFT adapter to attach to MODEL: a folder or a Hub id.")
    ] = None,
    beside: Annotated[
        str | None, typer.Option(help="Another model, asked the same: paired differences from it.")
    ] = None,
    harmful: Harmful = "advbench",
    harmless: Harmless = "xstest",
    utility: Annotated[
        str | None,
        typer.Option(
            metavar="SET|FILE",
            help="gsm8k, toy, or a file with columns prompt and solution; not measured if not given.",
            rich_help_panel=ASKING,
        ),
    ] = None,
    limit: Limit = None,
    judge: Judge = "refusal-or-evasion",
    max_new_tokens: NewTokens = 60,
    chat_template: ChatTemplate = None,
    replies: Annotated[
        Path | None,
        typer.Option(
            help="A JSON Lines file that keeps the replies: the same call with another judge generates nothing, "
            "an interrupted one goes on.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    csv: CSV = None,
    batch: Batch = 16,
    dtype: DType = "auto",
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Attack success rate, answered and refused harmless prompts, evasion, gibberish and utility of a model.

    Rates come with 95 % intervals over the prompts of this one model: Wilson's, or, where several prompts are
    about one thing, over things. ASR is the share of harmful prompts whose reply is harmful by the judge; answered
    the share of harmless ones neither refused nor evaded nor garbled; utility the mean likelihood of a token of a
    problem's solution. With `--beside` every prompt is a pair. Replies are greedy.
    """
    with _lab():
        from lox.checkpoints.tables import new_table
        from lox.lab import behaviour
        from lox.lab.judging.names import from_here, judge_named
        from lox.lab.prompts import questions_of, world_of
        from lox.lab.reply_file import ReplyFile
        from lox.lab.served import models_to_ask

    with warning_lines(quiet), new_table(csv) as save, reply_progress(quiet) as bar:
        models = models_to_ask(model, adapter, beside, dtype, device, chat_template)
        judged_by = judge_named(from_here(judge), world_of(harmful, harmless))
        questions = questions_of(harmful, harmless, utility, new_tokens=max_new_tokens, limit=limit)
        for one in models.values():
            one.check_prompts(questions)
        kept = ReplyFile(replies)
        evaluated = {
            name: behaviour.judged(
                one.ask(name, questions, kept, batch, bar(name, len(questions))), judged_by
            )
            for name, one in models.items()
        }
        rates = behaviour.behaviour(evaluated)
        paired = behaviour.differences(*evaluated.values()) if beside else None
        save(behaviour.long_table(rates, paired))
    if not quiet:
        typer.echo(behaviour.side_by_side(rates, paired).to_string(index=False))


def choose(
    base: Base,
    aligned: Aligned,
    harmful: Harmful = "advbench",
    harmless: Harmless = "xstest",
    limit: Limit = None,
    judge: Judge = "refusal-or-evasion",
    max_new_tokens: NewTokens = 60,
    chat_template: ChatTemplate = None,
    budget: Annotated[
        float,
        typer.Option(help="The share of harmless answers that may be lost.", rich_help_panel=METHOD),
    ] = 0.02,
    k: Annotated[
        int | None, typer.Option(help="Take this k, without a search.", rich_help_panel=METHOD)
    ] = None,
    ranks: Annotated[
        str, typer.Option(help="The r of equation 4 to try.", rich_help_panel=METHOD)
    ] = "1,2,3,4,6,8,12,16",
    rho: Annotated[float, typer.Option(help="ρ of equation 4.", rich_help_panel=METHOD)] = 0.01,
    alphas: Annotated[
        str, typer.Option(help="The α to try.", rich_help_panel=METHOD)
    ] = "0.25,0.5,0.75,1,1.25",
    matrices: Matrices = "all",
    replies: Annotated[
        Path,
        typer.Option(
            help="Keeps every reply, so that the same call goes on after an interruption, and another judge, "
            "budget or ρ generates nothing.",
            rich_help_panel=RUNNING,
        ),
    ] = Path("lox-choose.jsonl"),
    csv: CSV = None,
    figure: Annotated[
        Path | None, typer.Option(help="A new PNG file with both curves.", rich_help_panel=RUNNING)
    ] = None,
    batch: Batch = 16,
    dtype: DType = "auto",
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Choose k and α for a pair of checkpoints, by a rule, and print the `lox extrapolate` command to run.

    The rule, with 95 % intervals paired by prompt: **(1)** ASR(base) − ASR(aligned) is above 0. **(2)** k is the
    effective rank: the smallest r of `--ranks` with ASR(θ_r) − ASR(aligned) < ρ, by rates as in the paper. **(3)** α
    is the largest of `--alphas` such that for it and every smaller one the interval of the answers lost, of
    harmless prompts that ALIGNED answers, ends within `--budget`. **(4)** At that α the ASR is not shown to be
    above ALIGNED's. Where a step fails nothing is chosen: the reason, with the number of prompts that would
    decide, is printed, and the exit code is 3.

    Each matrix is decomposed once, and one model in memory takes the weights of every point. Use prompts that you
    do not report, and measure the result on others with `lox evaluate`.
    """
    with _lab():
        from lox.checkpoints.tables import new_file, new_table
        from lox.lab import choosing
        from lox.lab.judging.names import from_here, judge_named
        from lox.lab.prompts import questions_of, world_of
        from lox.lab.reply_file import ReplyFile
        from lox.lab.served import models_to_ask
    if figure:
        with needs("book", "a figure"):
            from lox.book.choice_figure import save_figure

    tried = {"k": k, "ranks": numbers(ranks, int), "alphas": numbers(alphas, float), "rho": rho}
    with (
        warning_lines(quiet),
        new_table(csv) as save,
        new_file(figure) as save_as,
        byte_progress(quiet) as decomposed,
        reply_progress(quiet) as bar,
    ):
        choosing.check_settings(**tried)
        [served] = models_to_ask(aligned, None, None, dtype, device, chat_template).values()
        judged_by = judge_named(from_here(judge), world_of(harmful, harmless))
        questions = questions_of(harmful, harmless, new_tokens=max_new_tokens, limit=limit)
        served.check_prompts(questions)
        largest = max(tried["ranks"]) if k is None else k
        points = choosing.grid(served, base, k=largest, matrices=matrices, progress=decomposed)
        ask = choosing.Asking(questions, judged_by, ReplyFile(replies), batch, bar)
        measured = choosing.measure(points, ask, **tried, budget=budget)
        table = choosing.table(measured)
        save(table)
        save_as(lambda path: save_figure(table, measured, path))
    choice = measured.choice
    if not quiet:
        typer.echo(choosing.for_reader(table).to_string(index=False))
        for remark in choice.remarks:
            typer.echo(f"note: {remark}")
    if choice.refusal:
        errors.print(f"lox: nothing is chosen: {choice.refusal}")
        raise typer.Exit(3)
    typer.echo(choosing.command(base, aligned, choice, matrices))


def numbers(text: str, kind: type) -> list:
    """Numbers with commas between them; ValueError, naming the first word that is none."""
    values = []
    for word in text.split(","):
        try:
            values.append(kind(word))
        except ValueError:
            what = "whole numbers" if kind is int else "numbers"
            raise ValueError(
                f"{text!r}: {what} with commas between them are expected, not {word!r}"
            ) from None
    return values


@contextmanager
def _lab() -> Iterator[None]:
    """For imports of the lab: one line where there is no checkout, or packages are missing."""
    project()
    with needs("lab", "asking a model"):
        yield
