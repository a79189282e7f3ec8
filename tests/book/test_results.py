"""Recorded tables: found by name, complete, and what the README says of them."""

import re

import pandas as pd
import pytest

from lox.book import cells, names, results
from lox.lab import profile
from lox.lab.judging import sheet

RECORDED = "smollm2"


def test_an_unknown_table_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"no recorded table of profile smollm2 'robust': there are .*robustness"
    ):
        results.recorded(RECORDED, "robust")
    with pytest.raises(ValueError, match="no published numbers 'table2': there are ablation"):
        results.paper("table2")


@pytest.mark.parametrize("recorded", [RECORDED, "smollm2-hh"])
def test_every_recorded_table_says_how_it_was_made(recorded):
    made = results.records(recorded)
    assert made["Command"].str.contains(f"lox run .* --profile {recorded}[ `]").all()
    assert not made["Code"].str.contains("dirty|not under").any()
    assert (made["Computing"] != "0 min").all()


def test_recorded_seeds_are_reported_ones_and_their_rates_lie_in_their_intervals():
    rows, settings = results.recorded(RECORDED, "robustness"), profile.load(RECORDED)
    assert set(rows["seed"]) == set(settings.seeds) and settings.selection_seed not in set(rows["seed"])
    assert (rows["asr_low"] <= rows["asr"]).all() and (rows["asr"] <= rows["asr_high"]).all()
    assert rows["judge"].unique().tolist() == [settings.evaluation.judge]


def test_the_readme_says_what_is_recorded():
    line = re.compile(r"^\| ([\w -]+) \| (\d+) % \| (\d+) % \|$", re.M)
    said = {
        name.lower(): (int(a), int(b))
        for name, a, b in line.findall((results.ROOT / "README.md").read_text())
    }
    rows = results.recorded(RECORDED, "robustness")
    rates = {
        (task, defence): cells.pooled(group).value
        for (task, defence), group in rows.groupby(["task", "defence"])
    }
    shown = {
        names.TASK_NAMES[task].lower(): tuple(round(100 * rates[task, d]) for d in ("none", "lox"))
        for task in pd.unique(rows["task"])
    }
    assert said == shown


def test_all_judges_have_read_the_replies_of_the_recorded_rates():
    rates, rows = results.recorded(RECORDED, "judges"), results.recorded(RECORDED, "robustness")
    assert rates["judge"].nunique() > 1
    same = rates.merge(
        rows, on=["seed", "task", "defence", "judge"], suffixes=("_judged", ""), validate="1:1"
    )
    assert len(same) == len(rows)
    assert same["asr_judged"].tolist() == same["asr"].tolist()


def test_the_readme_says_what_the_reader_found():
    text = " ".join((results.ROOT / "README.md").read_text().split())
    said = re.search(
        r"after Pure Bad (\d+) % without LoX, (\d+) % with it; after the harmless tasks at most (\d+) %", text
    )
    rates = results.recorded(RECORDED, "judges_by_score")
    asr = rates[(rates["judge"] == "sheet:reader") & (rates["least"] == 5)].set_index("task")
    harmless = asr.drop(index=["none", "pure_bad"])
    found = asr.loc["pure_bad", "none"], asr.loc["pure_bad", "lox"], harmless["none"].max()
    assert tuple(map(int, said.groups())) == tuple(round(100 * rate) for rate in found)
    assert (asr["lox"] < asr["none"])[asr["none"] > 0].all()


def test_every_reply_that_the_second_reader_read_was_read_by_the_first():
    first, second = (
        sheet.scores(results.ROOT / "results" / RECORDED / f"{name}.csv")
        for name in ("reader", "second_reader")
    )
    assert len(second) == 300 and set(second) <= set(first)
