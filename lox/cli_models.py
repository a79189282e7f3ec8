"""The commands that ask models: ``lox evaluate``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from lox.extras import needs
from lox.options import ASKING, RUNNING, Device, Quiet
from lox.paths import project
from lox.terminal import reply_progress, warning_lines

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
        from lox.lab.judging.names import judge_named
        from lox.lab.prompts import questions_of, world_of
        from lox.lab.reply_file import ReplyFile
        from lox.lab.served import models_to_ask

    with warning_lines(quiet), new_table(csv) as save, reply_progress(quiet) as bar:
        judged_by = judge_named(judge, world_of(harmful, harmless))
        asked = questions_of(harmful, harmless, utility, new_tokens=max_new_tokens, limit=limit)
        models = models_to_ask(model, adapter, beside, dtype, device, chat_template)
        kept = ReplyFile(replies)
        found = {
            name: behaviour.judged(one.ask(name, asked, kept, batch, bar(name, len(asked))), judged_by)
            for name, one in models.items()
        }
        rates = behaviour.behaviour(found)
        paired = behaviour.differences(*found.values()) if beside else None
        save(behaviour.long_table(rates, paired))
    if not quiet:
        typer.echo(behaviour.side_by_side(rates, paired).to_string(index=False))


@contextmanager
def _lab() -> Iterator[None]:
    """For imports of the lab: one line where there is no checkout, or packages are missing."""
    project()
    with needs("lab", "asking a model"):
        yield
