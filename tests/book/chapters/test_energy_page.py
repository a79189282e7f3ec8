"""Sentences, tables and figures of the chapter on energy, from tables that are made up."""

import pandas as pd
import pytest

from lox.book.chapters.energy import page

NUMBERS = {"r_align": 0.8, "r_ft": 0.6, "ratio": 0.75, "r_new": 0.3, "predicted": 0.6, "chance": 0.2}
NUMBERS |= {"cos_inside": -0.4, "cos_outside": 0.3}


def summary(half=0.05, tasks=("gsm8k",), **changed):
    rows = [
        {"task": task, "measure": name, "mean": value, "low": value - half, "high": value + half, "seeds": 3}
        for task in tasks
        for name, value in (NUMBERS | changed).items()
    ]
    return pd.DataFrame(rows)


def finding_text(**options):
    return page.finding(summary(**options), "gsm8k", 6).data


def test_each_direction_is_said_by_its_interval():
    text = finding_text()
    assert "is 0.60 [0.55, 0.65] where" in text and "a ratio of 0.75 [0.70, 0.80] (3 seeds)" in text
    assert "below 1 after GSM8K" in text
    assert "above the 0.20 that chance" in text
    assert "fine-tuning points against the alignment update" in text and "outside, it points along it" in text


def test_the_other_way_round():
    text = finding_text(ratio=1.3, r_new=0.1, cos_inside=0.4, cos_outside=-0.3)
    assert "above 1 after GSM8K" in text and "below the 0.20" in text
    assert "points along the alignment update" in text and "it points against it" in text


def test_wide_intervals_and_a_single_seed_distinguish_nothing():
    for text in (finding_text(half=2), finding_text(half=float("nan"))):
        assert "not distinguished from 1 after GSM8K" in text
        assert "not distinguished from the 0.20" in text
        assert text.count("is not distinguished from orthogonal to") == 2
    assert "[" not in text.split("where")[0].split("is ")[-1]


def test_tasks_are_grouped_by_what_their_interval_says():
    both = pd.concat([summary(), summary(tasks=("dolly", "alpaca"), ratio=1.0)])
    text = page.finding(both, "gsm8k", 6).data
    assert "below 1 after GSM8K; not distinguished from 1 after Dolly and Alpaca" in text


ENERGIES = pd.DataFrame(
    {
        "kind": ["q_proj", "up_proj"] * 4,
        "layer": [0, 0, 1, 1] * 2,
        "seed": [1] * 4 + [2] * 4,
        "r_align": [0.8, 0.6] * 4,
        "r_ft": [0.5] * 8,
        "ratio": [0.6] * 8,
    }
)


def test_kinds_and_tasks_read_well():
    shown = page.kinds(ENERGIES).data
    assert "| q " in shown and "| all" in shown and "0.70 [0.70, 0.70]" in shown
    published = pd.DataFrame({"task": ["dolly"] * 2, "defence": ["none", "lox"], "r_ft": [0.285, 0.5]})
    means = pd.DataFrame(
        {"task": ["dolly"] * 2, "seed": [1, 2], "r_align": 0.8, "r_ft": [0.4, 0.6], "ratio": 0.5}
    )
    table = page.tasks(means, published)
    assert list(table.columns) == ["task", "R_align", "R_ft", "ratio", "paper's R_ft"]
    assert table.iloc[0].tolist() == [
        "Dolly",
        "0.80 [0.80, 0.80]",
        "0.50 [0.40, 0.60]",
        "0.50 [0.50, 0.50]",
        0.285,
    ]
    assert "cosine inside" in page.interaction(summary(), "gsm8k").data


def test_the_figures_are_drawn_and_labelled():
    profiles = pd.DataFrame(
        {"seed": [1, 1, 2, 2], "share": [0.1, 1] * 2, "r_align": [0.5, 1] * 2, "r_ft": 0.4}
    )
    published = pd.DataFrame({"pairs": [22500, 22500], "k": [10, 100], "ratio": [0.4, 0.5]})
    above, below = page.energy_profile(profiles, published).axes
    assert above.get_ylabel() == "R" and below.get_xlabel() == "k / min(m, n)"
    assert len(below.get_legend().get_texts()) == 2
    kinds, layers = page.energy_by_kind(ENERGIES).axes
    assert [t.get_text() for t in kinds.get_xticklabels()] == ["q", "up"]
    assert layers.get_xlabel() == "layer"
    assert sorted(p.get_height() for p in kinds.patches if p.get_height()) == pytest.approx(
        [0.5, 0.5, 0.6, 0.8]
    )
