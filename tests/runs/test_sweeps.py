"""The workflow as its users run it: Snakemake as a process, on this machine and through a queue."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest

from lox.book import sweeps

ROOT = Path(__file__).parents[2]
HEADER = "notebook,profile,tasks,seeds,k,alpha\n"
CELL = "robustness,smoke,[identity],[1],{k},1.25\n"
QUEUE = """#!/usr/bin/env bash
# Submits a job script as a cluster would: it runs in the background, its number is printed.
bash "$1" > /dev/null 2>&1 &
echo $!
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shared_stages):
    folder = tmp_path_factory.mktemp("workflow")
    (folder / "queue").write_text(QUEUE)
    (folder / "queue").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOX_STAGES", str(shared_stages))
        yield folder


def snakemake(folder: Path, *options: str) -> SimpleNamespace:
    """Runs the workflow on ``small.csv`` in ``folder``; .code, .output and .jobs, how many of each rule."""
    program = Path(sys.executable).with_name("snakemake")
    command = [program, "--snakefile", ROOT / "workflow" / "Snakefile", "--directory", folder]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, *options, "--config", "table=small.csv"], env=environment, capture_output=True, text=True
    )
    output = done.stdout + done.stderr
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", output, flags=re.M)}
    jobs.pop("total", None)
    return SimpleNamespace(code=done.returncode, output=output, jobs=jobs)


@pytest.fixture(scope="module")
def failed(folder):
    """A first run, here, of a table whose second cell asks for a k that the method refuses."""
    (folder / "small.csv").write_text(HEADER + CELL.format(k=2) + CELL.format(k="most"))
    return snakemake(folder, "--cores", "1")


@pytest.fixture(scope="module")
def mended(folder, failed):
    """A second run, through a queue, after the second cell was mended."""
    (folder / "small.csv").write_text(HEADER + CELL.format(k=2) + CELL.format(k=3))
    options = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", str(folder / "queue")]
    return snakemake(folder, *options, "--jobs", "2")


def test_a_cell_that_fails_is_named_with_its_reason_and_stops_no_other(folder, failed):
    assert failed.code == 1
    assert "k is a positive int or \"full\", not 'most'" in failed.output
    assert len(list(folder.glob("sweeps/small/robustness-smoke-*-k2-*/smoke/robustness.ipynb"))) == 1


def test_a_queue_runs_the_missing_cell_alone_and_gathers(mended):
    assert mended.code == 0, mended.output
    assert mended.jobs == {"all": 1, "cell": 1, "table": 1, "figure": 1}
    assert "Submitted job" in mended.output


def test_results_are_one_table_and_one_figure(folder, mended):
    table = pd.read_csv(folder / "sweeps" / "small" / "table.csv")
    lox = table[table["defence"] == "lox"]
    assert sorted(table["given_k"].unique()) == [2, 3]
    assert (lox["k"] == lox["given_k"]).all() and len(
        lox
    ) == 6  # two cells: before fine-tuning in two forms, and after
    assert ((table["asr_low"] <= table["asr"]) & (table["asr"] <= table["asr_high"])).all()
    assert "<svg" in (folder / "sweeps" / "small" / "figure.svg").read_text()


def test_a_cell_knows_what_its_notebook_was_made_from(folder, mended):
    for cell in sweeps.read(folder / "small.csv").values():
        executed = nbformat.read(folder / "sweeps" / "small" / cell.executed, as_version=4)
        assert executed.metadata["lox"]["made_from"] == cell.made_from


def test_then_nothing_is_left_to_do(folder, mended):
    again = snakemake(folder, "--cores", "1")
    assert again.code == 0 and "Nothing to be done" in again.output
    assert again.jobs == {}


def test_a_deleted_cell_is_done_again_alone(folder, mended):
    [executed] = folder.glob("sweeps/small/*-k3-*/smoke/robustness.ipynb")
    aside = executed.rename(executed.with_suffix(".aside"))
    plan = snakemake(folder, "--dry-run")
    aside.rename(executed)
    assert plan.jobs == {"all": 1, "cell": 1, "table": 1, "figure": 1}
    assert f"output: {executed.relative_to(folder)}" in plan.output


def test_a_bad_row_is_refused_before_anything_runs(folder, mended):
    good = (folder / "small.csv").read_text()
    (folder / "small.csv").write_text(good + CELL.format(k=2).replace("1.25", "strong"))
    refused = snakemake(folder, "--cores", "1")
    (folder / "small.csv").write_text(good)
    assert refused.code == 1 and refused.jobs == {}
    assert "small.csv, line 4: parameter alpha is float | None, not 'strong'" in refused.output
    assert "Traceback" not in refused.output
