"""Sentences, tables and figure of the chapter on the effective rank, from tables that are made up."""

import pandas as pd

from lox.book.chapters.effective_rank import page

PUBLISHED = pd.DataFrame(
    {"model": ["L"] * 3, "pairs": [22500] * 3, "rank": [0, 1, 8], "asr": [0.4, 0.05, 0.0]}
)


def against(*verdicts):
    n = len(verdicts)
    rates = {"asr": 0.5, "low": 0.25, "high": 0.75, "gap": 0.25, "gap_low": -0.125, "gap_high": 0.5}
    return pd.DataFrame({"rank": range(n), "verdict": verdicts, "seeds": 3, "n": 40, "p_holm": 0.04}).assign(
        **rates
    )


def ranks(*pairs):
    rank, settled = zip(*pairs)
    table = pd.DataFrame({"seed": range(len(pairs)), "asr_aligned": 0.1, "rank": rank, "settled": settled})
    return table.astype({"rank": "Int64", "settled": "Int64"})


def finding_text(verdicts, seeds):
    return page.finding(against(*verdicts), ranks(*seeds), 0.01).data


def test_where_the_condition_holds_fails_and_is_open():
    text = finding_text(["fails", "fails", "open", "holds"], [(2, 2), (3, 3)])
    assert "is 50 % [25, 75] at $r = 0$ and 50 % [25, 75] at $r = 3$" in text
    assert "aligned models is 10 % (3 seeds, 40 prompts each)" in text
    assert "at $r$ = 0 and 1 it is at least ρ = 0.01 above" in text
    assert "at $r$ = 3 it is less than ρ = 0.01 above it" in text
    assert "at $r$ = 2 it cannot be placed" in text
    assert "lies between 2 and 3 on 2 seeds." in text


def test_what_does_not_occur_is_not_said():
    text = finding_text(["open", "open"], [(1, 1), (1, 1)])
    assert "at least ρ" not in text and "less than ρ" not in text
    assert "is 1 on every one of 2 seeds." in text


def test_ranks_that_say_nothing_are_named():
    assert "On none of 2 seeds" in finding_text(["fails"], [(None, None), (None, None)])
    text = finding_text(["open"], [(0, 0), (4, None), (None, None)])
    assert "on 1 no measured rank satisfies" in text
    assert "on 1 it is 0: there the base model itself satisfies it" in text
    assert "on 1 the condition fails again at a larger $r$" in text


def test_both_readings_of_ours_and_the_papers():
    shown = page.ranks(ranks((2, None)), ranks((1, 3)).assign(model="L", pairs=22500)).data
    assert "this run, seed 0" in shown and "none" in shown and "L, 22.5k (paper)" in shown


def test_the_table_says_yes_no_or_open():
    shown = page.conditions(against("fails", "open", "holds")).data
    assert all(word in shown for word in ("| no", "| open", "| yes", "25 [-12, 50]"))


def test_the_figure_has_a_dot_for_each_seed_and_the_papers_names():
    curves = pd.DataFrame({"seed": [1, 1, 2, 2], "rank": [0, 4, 0, 4], "asr": [1.0, 0.2, 0.9, 0.1]})
    band = against("fails", "open").assign(rank=[0, 4])
    figure = page.rank_curves(curves, PUBLISHED, band)
    ours, paper = figure.axes
    assert sum(len(c.get_offsets()) for c in ours.collections if hasattr(c, "get_sizes")) >= 4
    assert [t.get_text() for t in paper.get_legend().get_texts()] == ["L, 22.5k pairs"]
    assert paper.get_xlabel() == "rank r"
    page.rank_curves(curves, PUBLISHED)


def recorded(**verdicts):
    """Tables of several architectures: the ASR's interval is 10 points wide and falls with the number of failures."""
    conditions, seeds = [], []
    for name, said in verdicts.items():
        asr = pd.Series([0.9 if verdict == "fails" else 0.2 for verdict in said])
        head = {"architecture": name, "profile": f"toy-{name}"}
        conditions.append(against(*said).assign(asr=asr, low=asr - 0.05, high=asr + 0.05, **head))
        seeds.append(ranks((2, 2), (None, None), (1, 4)).assign(**head))
    return pd.concat(conditions), pd.concat(seeds)


def in_words(profiles, **verdicts):
    return page.architectures_in_words(*recorded(**verdicts), profiles, 0.01).data


def test_where_architectures_differ_it_is_said_at_which_ranks():
    text = in_words(
        ["toy-gpt2", "toy-mistral"], mistral=["fails", "fails", "open"], gpt2=["fails", "holds", "holds"]
    )
    assert (
        "at least ρ = 0.01 above the aligned model's with Mistral at r = 0 and 1; with GPT-2 at r = 0 (and"
        in text
    )
    assert "GPT-2 at r = 0 (and less than ρ above at 1 and 2)." in text
    assert "the effective rank is 1, 2 and none with Mistral; 1, 2 and none with GPT-2." in text
    assert text.endswith("Mistral's lies above GPT-2's at r = 1.") and page.NOT_APART not in text


def test_where_architectures_do_not_differ_it_is_said():
    text = in_words(["toy-llama", "toy-gpt2"], llama=["open", "open"], gpt2=["open", "open"])
    assert "with Llama at no measured r; with GPT-2 at no measured r." in text and "(and" not in text
    assert text.endswith(page.NOT_APART)


def test_seeds_that_agree_are_counted():
    table, seeds = recorded(gpt2=["fails", "open"])
    text = page.architectures_in_words(table, seeds.assign(rank=2), ["toy-gpt2"], 0.01).data
    assert "the effective rank is 2 on each of 3 seeds with GPT-2." in text


def test_one_architecture_is_compared_with_nothing():
    text = in_words(["toy-llama"], llama=["fails", "open"])
    assert page.NOT_APART not in text and "lies above" not in text


def test_what_is_not_recorded_is_named_with_its_command():
    text = in_words(["toy-llama", "toy-gpt2"], llama=["fails", "open"])
    assert text.endswith(
        "Nothing is recorded with the profile `toy-gpt2`; `lox run effective_rank --profile toy-gpt2 --record` does it."
    )
    nothing = pd.DataFrame(columns=["profile", "architecture"])
    text = page.architectures_in_words(nothing, nothing, ["toy-gpt2"], 0.01).data
    assert text.startswith("Nothing is recorded with the profile `toy-gpt2`")
    (axes,) = page.architectures(nothing).axes
    assert axes.texts[0].get_text() == "nothing is recorded"


def test_the_figure_has_a_line_and_a_band_for_each_architecture():
    table, _ = recorded(llama=["fails", "open"], gpt2=["fails", "fails"])
    (axes,) = page.architectures(table).axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0.9, 0.2], [0.9, 0.9]]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["Llama, 3 seeds", "GPT-2, 3 seeds"]
    assert len(axes.collections) == 2 and axes.get_xlabel() == "rank r"
