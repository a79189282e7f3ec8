"""The ``lox`` command: the module's functions for the command line, with progress and one-line errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from lox.cli_models import choose, evaluate
from lox.extras import needs
from lox.options import METHOD, RUNNING, Aligned, Base, Device, K, Matrices, Profile, Quiet, rank
from lox.paths import project
from lox.terminal import OneLineErrors, byte_progress, errors, warning_lines


class NameAndValue(TyperCommand):
    """Reads ``-p NAME VALUE``: typer has no repeated options of two values, so the two become one word."""

    def parse_args(self, ctx, args: list[str]) -> list[str]:
        words, joined = iter(args), []
        for word in words:
            joined.append(word)
            if word in ("-p", "--parameter"):
                pair = [next(words, None), next(words, None)]
                if None in pair:
                    raise ValueError("-p takes two words, the NAME of a parameter and its VALUE")
                joined.append("=".join(pair))
        return super().parse_args(ctx, joined)


app = typer.Typer(
    cls=OneLineErrors,
    help="LoX: low-rank extrapolation of a language model's safety alignment.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)
app.command(
    epilog="Examples:\n\n`lox evaluate out --beside org/aligned --replies replies.jsonl --csv rates.csv`\n\n"
    "`lox evaluate out --harmful requests.csv:goal --harmless questions.txt --judge endpoint:gpt-4o-mini`"
)(evaluate)
app.command(
    epilog="Examples:\n\n`lox choose org/base org/aligned --budget 0.02 --csv curves.csv --figure curves.png`\n\n"
    "`lox choose base/ aligned/ --harmful requests.txt --harmless questions.txt --k 6 --alphas 0.5,1,1.5`"
)(choose)


@app.command(
    epilog="Examples:\n\n"
    "`lox extrapolate org/base org/aligned out`\n\n"
    "`lox extrapolate base/ aligned/ adapter/ --adapter --report report.csv`\n\n"
    "`lox extrapolate base/ aligned/ out/ --k 6 --alpha 1.25 --matrices linear --dry-run`"
)
def extrapolate(
    base: Base,
    aligned: Aligned,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write, there once it is whole.")],
    k: K = "6",
    alpha: Annotated[
        float, typer.Option(help="How far to extrapolate; 0 changes nothing.", rich_help_panel=METHOD)
    ] = 1.25,
    matrices: Matrices = "all",
    adapter: Annotated[
        bool,
        typer.Option(
            "--adapter", help="Write a PEFT LoRA adapter on ALIGNED instead.", rich_help_panel=METHOD
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and say what would be done.", rich_help_panel=RUNNING)
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="A new CSV file, a row per matrix.", rich_help_panel=RUNNING)
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Immunise a checkpoint: W_aligned + α Proj_k(W_aligned − W_base), matrix by matrix, into OUT.

    Weights are streamed, so the checkpoint may be larger than the memory. An interrupted run goes on
    from its whole shards when it is started again.
    """
    from lox.checkpoints.extrapolate import check_writable, extrapolate_checkpoint, summary
    from lox.checkpoints.plan import prepare
    from lox.checkpoints.tables import new_table

    options = {"k": rank(k), "alpha": alpha, "matrices": matrices, "device": device}
    with warning_lines(quiet), new_table(report, outside=out) as save:
        if dry_run:
            plan = prepare(base, aligned, **options)
            check_writable(plan, out, adapter)
            typer.echo(plan.description(out, adapter))
            return
        with byte_progress(quiet) as progress:
            table = extrapolate_checkpoint(base, aligned, out, adapter=adapter, progress=progress, **options)
        save(table)
    if not quiet:
        typer.echo(f"{out}: {summary(table)}")


@app.command(
    epilog="Examples:\n\n`lox energy org/base org/aligned`\n\n"
    "`lox energy base/ aligned/ finetuned/ --k 6 --csv energies.csv`"
)
def energy(
    base: Base,
    aligned: Aligned,
    finetuned: Annotated[
        str | None,
        typer.Argument(metavar="[FINETUNED]", help="ALIGNED after fine-tuning."),
    ] = None,
    k: K = "6",
    matrices: Matrices = "linear",
    csv: Annotated[
        Path | None, typer.Option(help="A new CSV file, a row per matrix.", rich_help_panel=RUNNING)
    ] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """R_align of an alignment and, after fine-tuning, R_ft and their ratio: means over matrices, by kind."""
    from lox.checkpoints.energy import energy_by_kind, energy_table
    from lox.checkpoints.tables import new_table

    with warning_lines(quiet), new_table(csv) as save:
        with byte_progress(quiet) as progress:
            table = energy_table(
                base, aligned, finetuned, k=rank(k), matrices=matrices, device=device, progress=progress
            )
        save(table)
    if not quiet:
        typer.echo(energy_by_kind(table).to_string(index=False, float_format="{:.4f}".format))


@app.command(
    cls=NameAndValue,
    epilog="Examples:\n\n`lox run robustness`\n\n`lox run robustness -p k 3 -p alpha 0.5`\n\n"
    "`lox run robustness --profile smollm2 -p tasks '[gsm8k, identity]'`",
)
def run(
    notebook: Annotated[str, typer.Argument(metavar="NOTEBOOK", help="A chapter's name, as in notebooks/.")],
    profile: Profile = "toy",
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME VALUE", help="A parameter of the notebook."),
    ] = None,
    help_parameters: Annotated[
        bool, typer.Option("--help-parameters", help="List the notebook's parameters and stop.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that make models side by side; all cores if not given."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep the tables, with how they were made, under results/.")
    ] = False,
) -> None:
    """Execute a notebook with parameters; says where the executed copy and its tables are."""
    with _notebooks():
        from lox.book import record as records
        from lox.book import run as notebooks

    if help_parameters:
        for known in notebooks.parameters(notebook):
            typer.echo(f"{known.name}: {known.type} = {known.default}\n    {known.meaning}")
        return
    from lox.book.progress import stage_progress

    given = [tuple(pair.split("=", 1)) for pair in parameter or []]
    if record:
        records.seeds_of(notebook, profile, given)
    with stage_progress(f"lox run {notebook}"):
        executed = notebooks.run(notebook, profile, given, workers=workers or os.cpu_count() or 1)
    recorded = records.record(executed, notebook, profile, given) if record else []
    for path in [executed, *notebooks.tables(executed), *recorded]:
        typer.echo(path)


@app.command(epilog="Examples:\n\n`lox book`\n\n`lox book --profile smollm2 --open`")
def book(
    profile: Profile = "toy",
    open_site: Annotated[bool, typer.Option("--open", help="Open the site in a browser.")] = False,
) -> None:
    """Run every notebook whose page is not current, build the site, say where it is."""
    with _notebooks():
        from lox.book import site
        from lox.book.progress import stage_progress

    with stage_progress("lox book"):
        index = site.build(profile, report=errors.print)
    typer.echo(f"{index}")
    if open_site:
        typer.launch(index.as_uri())


@contextmanager
def _notebooks() -> Iterator[None]:
    """For imports of the book: one line where there is no checkout, or packages of the book are missing."""
    project()
    with needs("book", "the book"):
        yield
