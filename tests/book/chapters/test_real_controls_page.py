"""The page's sentences, both ways, its tables and its figure, on tables made up for them."""

import pandas as pd
import pytest

from lox.book.chapters.real_controls import in_words, page
from lox.book.chapters.real_controls.measure import (
    ATTACK,
    BEFORE,
    HALVED,
    HARMLESS,
    IDENTITY,
    LONGER_PAIRS,
    PART_PAIRS,
    PERSONA,
    RIVALS,
    STATES,
    steps_of,
)


def contrast(first, second, difference, p_holm, state=ATTACK):
    ends = {"low": difference - 0.1, "high": difference + 0.1}
    head = {"state": state, "first": first, "second": second, "difference": difference}
    return head | ends | {"p": p_holm, "p_holm": p_holm, "seeds": 4, "n": 60}


def contrasts(lox=(0.3, 0.01), random=(0.02, 0.9), beyond=(0.28, 0.02), state=ATTACK):
    pairs = {("none", "lox"): lox, ("none", "random"): random, ("random", "lox"): beyond}
    pairs |= {("none", "half"): (0.2, 0.01), ("half", "lox"): (0.1, 0.2)}
    return pd.DataFrame(contrast(*pair, *values, state=state) for pair, values in pairs.items())


def parts(inside=(0.2, 0.01), taken=(0.05, 0.6)):
    values = dict.fromkeys(PART_PAIRS, (0.4, 0.01)) | {
        ("inside", "nothing"): inside,
        ("whole", "outside"): taken,
    }
    return pd.DataFrame(contrast(*pair, *value) for pair, value in values.items()).drop(columns="state")


@pytest.fixture
def rates():
    """Every model and the unaligned one, plain and in persona."""
    three = {"": 0.4, "_low": 0.2, "_high": 0.6}
    values = {f"{what}{end}": v for what in ("harm", "lost", "helpful") for end, v in three.items()}
    values |= {"utility": 0.4, "utility_low": 0.2, "utility_high": 0.6, "seeds": 2, "n": 60}
    models = [(state, d) for state in STATES for d in steps_of(state)] + [(ATTACK, rival) for rival in RIVALS]
    models += [(state, "longer") for state in HALVED]
    rows = [{"state": state, "defence": d} | values for state, d in models]
    base = [
        {"state": state, "defence": "unaligned"} | values | {"harm": harm, "seeds": 1}
        for state, harm in ((BEFORE, 0.5), (PERSONA, 0.55))
    ]
    return pd.DataFrame(base + rows)


def added(difference=0.1, p_holm=0.01):
    one = contrast("after", "before", difference, p_holm)
    return pd.DataFrame(
        one | {"state": state, "defence": step} for state in (IDENTITY, *HARMLESS) for step in steps_of(state)
    )


def rivals(against_lox=(0.1, 0.01)):
    return pd.DataFrame(
        contrast(first, rival, *values)
        for first, values in (("none", (0.3, 0.01)), ("lox", against_lox))
        for rival in RIVALS
    )


def longer(harm=((0.3, 0.01), (0.1, 0.3))):
    values = {"answered": ((0.05, 0.5), (0.2, 0.01)), "harm": harm, "lost": ((0.2, 0.01), (-0.2, 0.01))}
    values["utility"] = ((0.2, 0.01), (0.1, 0.3))
    return pd.DataFrame(
        contrast(*pair, *value, state=BEFORE if rate in ("answered", "utility") else ATTACK) | {"rate": rate}
        for rate, both in values.items()
        for pair, value in zip(LONGER_PAIRS, both)
    )


@pytest.mark.parametrize(
    ("p", "difference", "words"),
    [
        (0.01, 0.3, "with LoX, lower than that with random directions (30 points"),
        (0.01, -0.3, "with LoX, higher than that with random directions (-30 points"),
        (0.2, 0.3, "with LoX, not distinguished from that with random directions (30 points"),
    ],
)
def test_what_is_said_of_the_control_follows_the_corrected_p(p, difference, words):
    said = in_words.control_in_words(contrasts(beyond=(difference, p)), "Harm, read blind")
    assert words in said
    assert said.startswith(
        "**Harm, read blind**, after Pure Bad, over 4 seeds: the ASR is, with LoX, lower than that"
    )


def test_the_scale_names_both_ends(rates):
    said = in_words.scale_in_words(rates)
    assert "50 % [20, 60] of the unaligned model's replies" in said
    assert "40 % [20, 60] of the aligned models'" in said


def test_goals_in_other_words_are_counted_once():
    row = {"state": BEFORE, "defence": "none", "set": "harmful"}
    labels = pd.DataFrame(row | {"prompt": i, "thing": thing} for i, thing in enumerate("aab"))
    assert in_words.goals_in_words(labels).data.startswith("The 3 goals are about 2 things:")


def test_the_price_is_told_of_lox_and_of_the_control():
    said = in_words.cost_in_words(contrasts(state=BEFORE))
    assert said.endswith(
        "LoX 30 points [20, 40], half of LoX's step 20 points [10, 30] and random directions 2 points [-8, 12]."
    )


@pytest.mark.parametrize(
    ("p", "words"), [(0.01, "(distinguished from 0)"), (0.3, "(not distinguished from 0)")]
)
def test_what_a_part_does_follows_the_corrected_p(p, words):
    said = in_words.parts_in_words(parts(inside=(0.05, p), taken=(0.02, 0.9)))
    assert f"changes it by 5 points [-5, 15] {words}" in said
    assert said.endswith("takes off 2 points [-8, 12] (not distinguished from 0).")


@pytest.mark.parametrize(
    ("difference", "p", "words"),
    [
        (0.1, 0.01, "read blind, the fine-tuning changes it by 10 points [0, 20] (distinguished from 0)"),
        (0.1, 0.3, "read blind, the fine-tuning changes it by 10 points [0, 20] (not distinguished from 0)"),
    ],
)
def test_what_identity_shifting_adds_to_its_prompt_follows_the_corrected_p(rates, difference, p, words):
    said = in_words.identity_in_words(rates, added(difference, p), added(-0.2, 0.01))
    assert words in said and "in 40 % [20, 60] before any fine-tuning and in 40 % [20, 60] after it" in said
    assert "the unaligned model in 55 % [20, 60]" in said
    assert said.endswith("the fine-tuning changes it by -20 points [-30, -10] (distinguished from 0).")


def test_the_box_has_a_sentence_for_each_judge(rates):
    read = pd.concat([contrasts(state=state) for state in (ATTACK, IDENTITY, *HARMLESS)])
    price = contrasts(state=BEFORE)
    box = in_words.finding(rates, read, contrasts(lox=(0, 1)), price, longer(), rivals()).data
    assert box.count("**Harm, read blind**, after Pure Bad") == 1
    assert box.count("Refusal lost, by phrases") == 1
    assert box.count("**One more epoch of alignment**") == box.count("**Rivals**") == 1


def test_the_figure_has_a_panel_a_state_and_a_diamond_a_defence(rates):
    each = pd.DataFrame(
        {"state": state, "defence": d, "seed": seed, "harmful": 0.3, "answered": a}
        for state in STATES
        for d in (*steps_of(state), "longer", *RIVALS)
        for seed, a in ((1, 0.3), (2, 0.5))
    )
    figure = page.frontier(rates, each)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [page.STATES[state] for state in STATES if state not in (PERSONA, *HARMLESS)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "no step",
        "random directions",
        "half of LoX's step",
        "LoX",
        "one more epoch of alignment",
        *(page.NAMES[rival] for rival in RIVALS),
    ]
    seeds = [line for line in figure.axes[0].lines if line.get_marker() == "."]
    assert [list(line.get_xdata()) for line in seeds] == [[0.7, 0.5]] * 5
    bases = [axes.texts[0].xy[1] for axes in figure.axes]
    assert bases == [0.5, 0.5, 0.55]  # in persona the unaligned model is asked in persona too


def test_tables_name_what_a_reader_knows(rates):
    table = page.success(rates, "harm").data
    assert "unaligned" in table and "random directions" in table and "before fine-tuning" in table
    assert table.splitlines()[2].count("40 % [20, 60]") == 4 and "50 % [20, 60]" in table.splitlines()[2]
    assert "no step minus LoX" in page.differences(contrasts()).data
    assert "random directions" in page.added(added(), added()).data


def test_costs_pair_answers_with_utility_and_one_model_has_no_interval_over_seeds(rates):
    lines = page.costs(rates).data.splitlines()
    assert "40 % [20, 60]" in lines[2] and lines[2].rstrip(" |").endswith("0.400")
    assert "0.400 [0.200, 0.600]" in lines[3]
    models = sum(len(steps_of(state)) for state in STATES if state != PERSONA) + len(RIVALS) + len(HALVED)
    assert len(lines) == 2 + 1 + models  # in persona the models are those of before


def test_kinds_are_told_in_words_and_parts_are_no_state_of_them():
    shares = {"defence": "lox", "harmful": 0.25, "refusal": 0.75}
    table = page.kinds(pd.DataFrame([{"state": ATTACK} | shares, {"state": "parts"} | shares])).data
    assert "neither" in table and table.count("75 %") == 1


def test_parts_are_told_by_both_judges():
    lines = page.parts(parts(), parts(inside=(0.1, 0.9))).data.splitlines()
    assert "points, read blind" in lines[0] and "corrected, by phrases" in lines[0]
    (inside,) = [
        line for line in lines if "its part inside the safety subspace" in line and "nothing" in line
    ]
    assert "20 [10, 30]" in inside and "10 [0, 20]" in inside


@pytest.mark.parametrize(
    ("against_lox", "words"),
    [
        ((0.2, 0.01), "RESTA 40 % [20, 60] (less than LoX does)"),
        ((-0.2, 0.01), "RESTA 40 % [20, 60] (more than LoX does)"),
        ((0.2, 0.3), "RESTA 40 % [20, 60] (not distinguished from LoX)"),
    ],
)
def test_a_rival_is_compared_with_lox_by_the_corrected_p(rates, against_lox, words):
    said = in_words.rivals_in_words(rates, rivals(against_lox))
    assert words in said and said.endswith("LoX leaves 40 % [20, 60].")


def test_the_tables_of_rivals_have_their_rates_and_both_comparisons(rates):
    none, _, longer, first = page.rivals(rates).data.splitlines()[2:6]
    assert (
        "no step" in none
        and "one more epoch" in longer
        and "RESTA" in first
        and first.count("40 % [20, 60]") == 3
        and "0.400" in first
    )
    compared = page.against_rivals(rivals()).data.splitlines()[2]
    assert "RESTA" in compared and "30 [20, 40]" in compared and "10 [0, 20]" in compared


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (
            ((0.3, 0.01), (0.1, 0.3)),
            "lower than that without a step and not distinguished from that with LoX",
        ),
        (
            ((0.3, 0.3), (0.2, 0.01)),
            "not distinguished from that without a step and higher than that with LoX",
        ),
        (((-0.3, 0.01), (-0.3, 0.01)), "higher than that without a step and lower than that with LoX"),
        (((0.3, 0.3), (0.2, 0.3)), "distinguished neither from that without a step nor from that with LoX"),
    ],
)
def test_what_one_more_epoch_does_follows_the_corrected_p(rates, harm, words):
    said = in_words.longer_in_words(rates, longer(harm))
    assert f"after Pure Bad harm, read by stricter readers, is 40 % [20, 60], {words}" in said
    assert "lower than those without a step and lower than those with LoX" in said  # of refusals lost
    assert "not distinguished from the share without a step and higher than the share with LoX; its" in said
    assert said.endswith(
        "of 0.400 is lower than that without a step and not distinguished from that with LoX."
    )


def test_harm_from_a_four_on_is_told_of_all_three_with_both_differences(rates):
    said = in_words.from_a_four_in_words(rates, longer()).data
    assert "40 % [20, 60] with no step, 40 % [20, 60] with one more epoch of alignment and 40 %" in said
    assert "no step minus one more epoch of alignment is 30 points [20, 40] (distinguished from 0)" in said
    assert said.endswith("minus LoX is 10 points [0, 20] (not distinguished from 0).")


def test_one_more_epoch_stands_between_no_step_and_lox(rates):
    lines = page.longer(rates).data.splitlines()[2:]
    assert [line.split("|")[1].strip() for line in lines] == [
        f"{page.STATES[state]}, {page.NAMES[name]}" for state in HALVED for name in ("none", "longer", "lox")
    ]
    assert all(line.count("40 % [20, 60]") == 3 and "0.400" in line for line in lines)
    compared = page.beside_longer(longer()).data.splitlines()[2:]
    assert len(compared) == 8 and "harmless requests answered, before fine-tuning" in compared[0]
    assert "one more epoch of alignment minus LoX" in compared[1] and "20 [10, 30]" in compared[1]


def test_no_table_of_rivals_is_wider_than_five_columns(rates):
    tables = [page.rivals(rates), page.against_rivals(rivals())]
    tables += [page.longer(rates), page.beside_longer(longer())]
    assert all(table.data.splitlines()[0].count("|") <= 6 for table in tables)


@pytest.mark.parametrize(
    ("p", "difference", "brought", "compared"),
    [
        (0.01, 0.1, "10 points [0, 20] more than before (distinguished from 0)", "with LoX (less)"),
        (0.01, -0.1, "-10 points [-20, 0] more than before (distinguished from 0)", "with LoX (more)"),
        (0.3, 0.1, "10 points [0, 20] more than before (not distinguished", "with LoX (not distinguished)"),
    ],
)
def test_what_harmless_data_brings_follows_the_corrected_p(rates, p, difference, brought, compared):
    read = pd.concat([contrasts(lox=(difference, p), state=state) for state in HARMLESS])
    said = in_words.harmless_in_words(rates, read, added(difference, p))
    assert said.count(brought) == 2 and said.count(compared) == 2
    assert "after Dolly it is 40 % [20, 60] without a step" in said
