"""The page's sentences, both ways, and its tables and figure, on tables made up for them."""

import pandas as pd
import pytest

from lox.book.chapters.attackers import in_words, page

NAMES = ["nothing", "full", "lora-8", "rate-4", "undo-1", "pair-4", "base", "refusal-direction", "prefill"]


def line(attacker, low, high, word="open", **more):
    values = {"without": 0.9, "with": 0.4, "difference": (low + high) / 2, "low": low, "high": high}
    ratio = dict.fromkeys(("p_holm", "ratio", "dose_low", "dose_high", "dose_p_holm"), float("nan"))
    return {"attacker": attacker, "word": word, "seeds": 3, "n": 8} | values | ratio | more


def means(asr=0.5):
    lines = []
    for attacker in NAMES:
        for defence in ("none", "lox"):
            rates = {"asr": asr, "asr_low": asr - 0.1, "asr_high": asr + 0.1}
            rates |= {"helpful": 0.9, "utility": 0.8, "gibberish": 0.0}
            lines.append({"attacker": attacker, "defence": defence} | rates)
    return pd.DataFrame(lines)


def test_every_attacker_is_told_with_its_number():
    names = [page.description_of(a).name for a in NAMES]
    assert len(set(names)) == len(NAMES)
    assert (
        page.description_of("lora-64").name.endswith("rank 64")
        and "4 times" in page.description_of("rate-4").name
    )
    assert page.description_of("undo-1").name.endswith("back once")
    assert page.description_of("pair-4").needs == "aligned and LoX weights"


def test_the_finding_says_whom_lox_helps_against_and_whom_not():
    table = pd.DataFrame(
        [line("full", 0.1, 0.2, "helps"), line("pair-4", -0.2, -0.1, "hurts"), line("prefill", -0.1, 0.1)]
        + [line("int4", -0.1, 0.1)]
    )
    said = in_words.in_words(table, 10)
    assert said.startswith("Recorded over 10 seeds: LoX helps against whoever *fine-tunes all weights*;")
    assert "worse against whoever *takes the safety part back 4 times" in said
    assert "nothing is established against whoever *begins the reply*" in said
    assert "nobody" not in said
    assert "worse" not in in_words.in_words(table[:1], 10)
    assert "in one measure" in in_words.in_words(pd.DataFrame([line("full", 0.1, 0.2, "mixed")]), 10)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.1, 0.2, "lower against these: *"), (-0.2, -0.1, "higher against these: *"), (-0.1, 0.1, None)],
)
def test_this_run_is_said_by_the_interval(low, high, word):
    said = in_words.finding(pd.DataFrame([line("full", low, high)]), None, None, "On it.").data
    assert (word is None) == ("not distinguished from that without it against 1 of 1" in said)
    assert word is None or word in said


def real(p_holm=0.01, low=0.1):
    paired = pd.DataFrame([line(a, low, low + 0.1, p_holm=p_holm) for a in ("prefill", "undo-1")])
    harm = pd.DataFrame(
        {"attacker": attacker, "defence": defence, "helpful": 0.5}
        | {"harm": value, "harm_low": value - 0.1, "harm_high": value + 0.1}
        for attacker, value in (("prefill", 0.2), ("undo-1", 0.6))
        for defence in ("none", "lox")
    )
    return paired, harm


@pytest.mark.parametrize(
    ("p", "low", "words"),
    [
        (0.01, 0.1, "is lower against these: *begins the reply* and *takes the safety part back once*,"),
        (0.01, -0.3, "is higher against these: *begins the reply* and"),
        (0.3, 0.1, "is not distinguished from that without it against 2 of 2"),
    ],
)
def test_a_real_model_is_said_by_the_corrected_p_with_the_most_harm_first(p, low, words):
    said = in_words.real_in_words(*real(p, low), "M")
    assert said.startswith("On M, read blind, over 3 seeds: the ASR with LoX ") and words in said
    assert said.endswith(
        "60 % [50, 70] (*takes the safety part back once*) and 20 % [10, 30] (*begins the reply*)."
    )


def test_who_has_fewer_seeds_is_named():
    paired, harm = real()
    paired.loc[paired["attacker"] == "undo-1", "seeds"] = 2
    said = in_words.real_in_words(paired, harm, "M")
    assert "over 3 seeds (2 of *takes the safety part back once*):" in said


def test_the_table_of_a_real_model_has_five_columns():
    lines = page.real(*real()).data.splitlines()
    assert (
        lines[0].count("|") == 6
        and "begins the reply (3 seeds)" in lines[2]
        and "15 [10, 20], p 0.01" in lines[2]
        and "50 % → 50 %" in lines[2]
    )


def test_who_does_not_train_is_said_with_the_highest_first():
    table = means()
    table.loc[table["attacker"] == "prefill", "asr"] = 1.0
    said = in_words.free_in_words(table, 10)
    assert "is 100 % (*begins the reply*), 50 %" in said and "LoRA" not in said and "all weights" not in said


def test_undoing_is_said_with_its_numbers():
    said = in_words.undoing_in_words(means()).data
    assert "50 % (*takes the safety part back once*)" in said and "against 50 % as published" in said
    without = in_words.undoing_in_words(means().query("attacker != 'nothing'")).data
    assert "as published" not in without


def test_the_plain_table_has_five_columns_and_says_yes_no_or_not_established():
    found = page.against_whom(
        pd.DataFrame(
            [
                line(
                    "full",
                    0.1,
                    0.2,
                    "helps",
                    p_holm=0.5,
                    ratio=2.0,
                    dose_low=1.5,
                    dose_high=3.0,
                    dose_p_holm=0.01,
                ),
                line("pair-4", -0.2, -0.1, "hurts"),
                line("prefill", -0.1, 0.1),
            ]
        )
    ).data
    assert "**yes**" in found and "**worse with LoX**" in found and "not established" in found
    assert "15 [10, 20], p 0.5" in found and "2.00 [1.50, 3.00], p 0.01" in found and "90 % → 40 %" in found
    assert found.splitlines()[0].count("|") <= 6


def test_differences_read_together_are_said_by_the_corrected_p():
    dose = {"ratio": 2.0, "dose_low": 1.5, "dose_high": 3.0}
    table = pd.DataFrame(
        [
            line("full", 0.1, 0.2, p_holm=0.2, **dose, dose_p_holm=0.01),
            line("lora-8", 0.1, 0.2, p_holm=0.2, **dose, dose_p_holm=0.2),
            line("prefill", 0.1, 0.2, p_holm=0.01),
        ]
    )
    said = in_words.corrected_in_words(table).data
    assert "the 3 differences and 2 ratios together" in said
    assert said.endswith("the differences of *begins the reply*, and the ratios of *fine-tunes all weights*.")
    assert in_words.corrected_in_words(table[1:2]).data.endswith("of none, and the ratios of none.")


def test_tables_hold_no_raw_names():
    ratios = pd.DataFrame(
        [{"attacker": "lora-8", "ratio": 2.0, "low": 1.0, "high": 3.0, "seeds": 3, "measured": 2}]
    )
    for found in (page.usefulness(means()), page.ratios(ratios)):
        assert "lora-8" not in found.data and "undo-1" not in found.data
    assert "-p times" in page.ratios(ratios[:0]).data
    assert "`lora-8`" in page.who(NAMES).data  # the name to give it by


def test_the_figure_has_a_line_for_each_attacker():
    rows = means().assign(seed=1)
    for recorded in (None, means(0.6)):
        figure = page.attackers(rows, means(), recorded)
        labels = [t.get_text().replace("\n", " ") for t in figure.axes[0].get_yticklabels()]
        assert labels == [page.description_of(a).name for a in NAMES]
        figure.draw_without_rendering()
