"""The page's sentences, both ways, its tables and its figure, on tables made up for them."""

import pandas as pd
import pytest

from lox.book.chapters.real_controls import page


def contrast(first, second, difference, p_holm, task="pure_bad"):
    return {
        "task": task,
        "first": first,
        "second": second,
        "difference": difference,
        "low": difference - 0.1,
        "high": difference + 0.1,
        "p": p_holm,
        "p_holm": p_holm,
        "seeds": 4,
        "n": 60,
    }


def contrasts(lox=(0.3, 0.01), random=(0.02, 0.9), beyond=(0.28, 0.02), task="pure_bad"):
    pairs = {("none", "lox"): lox, ("none", "random"): random, ("random", "lox"): beyond}
    return pd.DataFrame(contrast(*pair, *values, task=task) for pair, values in pairs.items())


def rates(column="asr", tasks=("none", "pure_bad"), defences=("none", "lox", "random")):
    lines = [
        {
            "task": task,
            "defence": d,
            column: 0.4,
            "low": 0.2,
            "high": 0.6,
            "seeds": 2,
            "each": [0.3, 0.5],
            "n": 60,
        }
        for task in tasks
        for d in defences
    ]
    return pd.DataFrame(lines)


@pytest.fixture
def reader():
    base = rates(tasks=["none"], defences=["unaligned"]).assign(asr=0.5, seeds=1)
    return pd.concat([base, rates()], ignore_index=True)


@pytest.mark.parametrize(
    ("p", "difference", "words"),
    [
        (0.01, 0.3, "lower with LoX than with random directions (30 points"),
        (0.01, -0.3, "higher with LoX than with random directions (-30 points"),
        (0.2, 0.3, "not distinguished with LoX than with random directions (30 points"),
    ],
)
def test_what_is_said_of_the_control_follows_the_corrected_p(p, difference, words):
    said = page.control_in_words("pure_bad", contrasts(beyond=(difference, p)), "read blind")
    assert words in said
    assert said.startswith(
        "**After Pure Bad, read blind**, over 4 seeds: lower with LoX than without (30 points"
    )


def test_the_scale_names_both_ends(reader):
    said = page.scale_in_words(reader)
    assert "50 % [20, 60] of the unaligned model's replies" in said
    assert "40 % [20, 60] of the aligned models'" in said


def test_the_price_is_told_of_lox_and_of_the_control():
    said = page.cost_in_words(contrasts(task="none"))
    assert said.endswith("LoX 30 points [20, 40] and random directions 2 points [-8, 12].")


def test_the_box_has_a_sentence_for_each_judge(reader):
    box = page.finding(reader, contrasts(), contrasts(lox=(0, 1)), contrasts(task="none")).data
    assert box.count("After Pure Bad, read blind") == box.count("After Pure Bad, by phrases") == 1


def test_the_figure_has_a_panel_a_task_and_a_diamond_a_defence(reader):
    figure = page.frontier(reader, rates("answered"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["before fine-tuning", "after Pure Bad"]
    assert figure.legends[0].get_texts()[1].get_text() == "LoX"
    seeds = [line for line in figure.axes[0].lines if line.get_marker() == "."]
    assert [list(line.get_xdata()) for line in seeds] == [[0.7, 0.5]] * 3


def test_tables_name_what_a_reader_knows(reader):
    table = page.rates(reader).data
    assert "unaligned" in table and "random directions" in table and "before fine-tuning" in table
    assert "none minus" not in page.differences(contrasts()).data
    assert "no step minus LoX" in page.differences(contrasts()).data


def test_costs_pair_answers_with_utility():
    utility = rates("utility").drop(columns=["each", "n"])
    table = page.costs(rates("answered"), utility).data
    assert "40 % [20, 60]" in table and "0.400 [0.200, 0.600]" in table


def test_kinds_are_told_in_words():
    table = page.kinds(
        pd.DataFrame([{"task": "pure_bad", "defence": "lox", "harmful": 0.25, "refusal": 0.75}])
    )
    assert "neither" in table.data and "75 %" in table.data
