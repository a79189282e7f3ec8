"""Sentences, tables and figure of the chapter on the rank without a judge, from tables that are made up."""

import math

import pandas as pd

from lox.book.chapters.judge_free_rank import page

WAYS = ["ASR", "whole replies", "opening"]


def ranks(*intervals, by_asr=2.0):
    """A model on each of two seeds; an interval for each way."""
    rows = [
        {"seed": seed, "pairs": 8, "asr_aligned": 0.1, "way": way, "rank": by_asr, "low": low, "high": high}
        for seed in (1, 2)
        for way, (low, high) in zip(WAYS, intervals)
    ]
    return pd.DataFrame(rows)


def agreement(models, equal=1, within=2):
    rows = [
        {
            "score": score,
            "tau": tau,
            "models": models,
            "equal": equal,
            "within_one": within,
            "mean_steps": mean,
        }
        for score in WAYS[1:]
        for tau, mean in ((0.06, -0.5 if models else math.nan), (0.2, math.nan))
    ]
    return pd.DataFrame(rows)


def correlations(*values):
    return pd.DataFrame({"score": WAYS[1:], "seed": 1, "correlation": values})


def finding_text(intervals=((1, 4), (1, 2), (0, 8)), values=(-0.9, math.nan), by_asr=2.0):
    return page.finding(ranks(*intervals, by_asr=by_asr), agreement(2), correlations(*values), 0.06).data


def test_agreement_order_and_certainty():
    text = finding_text()
    assert "In 2 of 2 models the rank that the ASR defines is not 0" in text
    assert (
        "the log-odds of whole replies, and of their opening, give the same rank as the ASR in 1 of 2" in text
    )
    assert "at most a step apart in 2" in text
    assert "lies between -0.90 and -0.90" in text
    assert "whole replies is narrower than that by the ASR in 2 of 2, wider in 0" in text
    assert "opening is narrower than that by the ASR in 0 of 2, wider in 2" in text


def test_two_scores_that_say_the_same_are_said_once():
    text = finding_text(intervals=((1, 4), (1, 2), (1, 2)))
    assert "same rank by log-odds in all 2 models; here they are one result and not two." in text
    assert (
        "With τ = 0.06 the log-odds of whole replies, and of their opening, give the same rank as the ASR"
        in text
    )
    assert (
        "log-odds of whole replies, and of their opening, is narrower than that by the ASR in 2 of 2" in text
    )
    assert text.count("give the same rank as the ASR") == text.count("is narrower") == 1


def test_two_scores_that_differ_are_said_apart():
    apart = ranks((1, 4), (1, 2), (0, 8))
    apart.loc[(apart["way"] == "opening") & (apart["seed"] == 2), "rank"] = math.inf
    other = agreement(2)
    other.loc[other["score"] == "opening", "equal"] = 0
    text = page.finding(apart, other, correlations(-0.9, -0.9), 0.06).data
    assert "Whole replies and their opening give the same rank by log-odds in 1 of 2 models." in text
    assert "the log-odds of whole replies give the same rank as the ASR in 1 of 2" in text
    assert "the log-odds of their opening give the same rank as the ASR in 0 of 2" in text


def test_where_there_is_nothing_to_agree_with_or_to_correlate():
    text = finding_text(values=(math.nan, math.nan), by_asr=0.0)
    assert "In none of 2 models does the ASR define a rank above 0" in text
    assert "they cannot be correlated" in text and "narrower" not in text


def test_intervals_up_to_none_are_compared_too():
    text = finding_text(intervals=((1, math.inf), (1, 4), (1, math.inf)), by_asr=math.inf)
    assert "whole replies is narrower than that by the ASR in 2 of 2, wider in 0" in text
    assert "opening is narrower than that by the ASR in 0 of 2, wider in 0" in text


def test_tables_read_well():
    shown = page.ranks(ranks((1, 4), (1, math.inf), (0, 8)), 16).data
    assert "2 [1, > 16]" in shown and "1, 8" in shown and "10 %" in shown
    assert "| –" in page.agreement(agreement(0)).data and "-0.5" in page.agreement(agreement(2)).data
    assert "-0.9" in page.correlations(correlations(-0.9, math.nan)).data
    cost = pd.DataFrame({"way": WAYS, "seconds": [2.0, 1.0, 0.5], "share": [1, 0.5, 0.25]})
    assert "generate replies (ASR)" in page.cost(cost).data and "0.25" in page.cost(cost).data
    stability = pd.DataFrame({"things": 5, "way": WAYS, "same": [0.5, 1.0, math.nan]})
    assert "50 %" in page.stability(stability).data and "–" in page.stability(stability).data


def test_the_figure_has_three_panels_and_a_line_for_each_model():
    curves = pd.DataFrame(
        [
            {"seed": seed, "pairs": pairs, "rank": r, "asr": 0.5, "log_odds": 1.0, "lost": 0.2}
            for seed in (1, 2)
            for pairs in (8, 16)
            for r in (0, 4)
        ]
    )
    panels = page.log_odds_curves(curves).axes
    assert [axes.get_title("left") for axes in panels][1:] == [
        "Refusal log-odds, nats",
        "Share of the shift lost",
    ]
    assert [t.get_text() for t in panels[0].get_legend().get_texts()] == ["8", "16"]
    assert sum(len(line.get_xdata()) == 2 for line in panels[1].lines) == 4
