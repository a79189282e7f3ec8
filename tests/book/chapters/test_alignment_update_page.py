"""Sentences, tables and figures of the chapter on the alignment update, from tables that are made up."""

import math

import pandas as pd

from lox.book.chapters.alignment_update import page

MAIN = "alignment, 8 pairs"


def overall(**r):
    updates = {MAIN: 0.8, "random": 0.3, "Dolly": 0.5, "alignment, 2 pairs": 0.7} | r
    return pd.DataFrame(
        {"update": name, "seed": seed, "norm": 1.0, "stable_rank": 4.0, "r": value, "steps": None}
        for name, value in updates.items()
        for seed in (1, 2, 3)
    )


def against(half=0.1, **means):
    means = {"random": 0.5, "Dolly": 0.3, "alignment, 2 pairs": 0.0} | means
    return pd.DataFrame(
        {"other": other, "higher": 3, "mean": mean, "low": mean - half, "high": mean + half, "seeds": 3}
        for other, mean in means.items()
    )


def finding_text(**options):
    return page.finding(overall(), against(**options), MAIN, ["Dolly"], 6).data


def test_each_comparison_is_said_by_its_interval():
    text = finding_text()
    assert "holds 0.80 of its norm in its own top $k = 6$ directions, more than the 0.30" in text
    assert "difference +0.50 [0.40, 0.60], 3 seeds" in text
    assert "it is more concentrated than Dolly (+0.30 [0.20, 0.40])" in text
    assert (
        "other amounts of alignment, by the difference of R, it is not distinguished from alignment with 2 pairs"
        in text
    )


def test_the_other_way_round_and_undecided():
    text = finding_text(random=-0.2, Dolly=-0.3)
    assert "less than the 0.30" in text and "less concentrated than Dolly" in text
    for undecided in (finding_text(half=2), finding_text(half=math.nan)):
        assert "not distinguished from the 0.30" in undecided and "not distinguished from Dolly" in undecided
    assert "[" not in finding_text(half=math.nan).split("seeds")[0].split("numbers")[1]


def test_one_size_of_alignment_is_compared_with_no_other():
    alone = against().query("other != 'alignment, 2 pairs'")
    assert "amounts" not in page.finding(overall(), alone, MAIN, ["Dolly"], 6).data


def test_steps_in_words_both_ways():
    assert "correlation of R with the number of steps is -0.50" in page.steps_in_words(-0.5, 5).data
    assert "no correlation" in page.steps_in_words(math.nan, 2).data


def test_tables_are_short():
    assert "| –" in page.summary(overall(), 6).data
    kinds = pd.DataFrame({"kind": ["q_proj"], "stable rank": ["1"], "stable rank, random": ["4.00 [3, 5]"]})
    shown = page.kinds(kinds).data
    assert "[3, 5]" not in shown and "| q " in shown and "| random" in shown.replace("|   random", "| random")
    beside = page.paper_beside({"r_align": 0.34, "chance": 0.08}, overall(), MAIN, 6, 128).data
    assert "≥ 0.34" in beside and "0.80 [0.80, 0.80]" in beside


def test_figures_are_labelled():
    profiles = pd.DataFrame(
        {"update": [MAIN] * 2 + ["random"] * 2, "seed": 1, "share": [0.5, 1] * 2, "r": [0.5, 1] * 2}
    )
    for ordered in (True, False):
        (axes,) = page.concentration(profiles, ordered).axes
        assert [t.get_text() for t in axes.get_legend().get_texts()] == [MAIN, "random"]
    spectra = pd.DataFrame(
        {
            "kind": ["q_proj", "q_proj", "up_proj", "up_proj"],
            "layer": 0,
            "i": [1, 2] * 2,
            "share": [0.9, 0.3] * 2,
        }
    )
    figure = page.spectra_by_kind(spectra, spectra)
    assert [axes.get_title("left") for axes in figure.axes] == ["q", "up"]
    assert all(len(axes.lines) >= 2 for axes in figure.axes)
