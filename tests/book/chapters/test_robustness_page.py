"""The page's sentences, both ways, and its figures, on tables made up for them."""

import pandas as pd
import pytest

from lox.book.chapters.robustness import exercise, in_words, page


def difference(task, low, high, second="lox", form="plain", **more):
    middle = (low + high) / 2
    columns = {
        "difference": middle,
        "low": low,
        "high": high,
        "p": 0.01,
        "p_holm": 0.5 if low < 0 < high else 0.02,
        "seeds": 3,
        "n": 8,
    }
    return {"task": task, "form": form, "first": "none", "second": second} | columns | more


def summary(gibberish=0.0, defences=("none", "lox")):
    places = [("none", "plain"), ("none", "identity"), ("dolly", "plain"), ("identity", "identity")]
    lines = []
    for task, form in places:
        for defence in defences:
            line = {"task": task, "form": form, "defence": defence, "seeds": 3, "n": 8}
            for name, value in (("asr", 0.5), ("helpful", 0.9), ("over_refusal", 0.1), ("utility", 0.8)):
                line |= {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
            lines.append(line | {"gibberish": gibberish if task == "dolly" else 0.0})
    return pd.DataFrame(lines)


def rows():
    table = summary()
    return pd.concat([table.assign(seed=seed, r_ft=0.4) for seed in (1, 2)])


def costs(low, high, utility=(-0.01, 0.01)):
    lines = [("helpful", low, high), ("utility", *utility)]
    return pd.DataFrame(
        {"what": what, "first": "none", "second": "lox", "difference": (a + b) / 2, "low": a, "high": b}
        for what, a, b in lines
    )


def test_damage_is_said_by_the_interval():
    said = in_words.damage_in_words(
        pd.DataFrame([difference("dolly", 0.2, 0.4), difference("alpaca", -0.1, 0.3)])
    )
    assert "raises the ASR after Dolly (by 30 points [20, 40]), over 3 seeds" in said
    assert "No rise is established after Alpaca" in said
    assert "No rise" not in in_words.damage_in_words(pd.DataFrame([difference("dolly", 0.2, 0.4)]))
    none = in_words.damage_in_words(pd.DataFrame([difference("dolly", -0.2, 0.4)]))
    assert none == "No rise is established after Dolly without a defence, over 3 seeds."


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.2, 0.4, "With LoX the ASR is lower after Dolly (by 30 points [20, 40])."),
        (-0.4, -0.2, "With LoX the ASR is higher after Dolly."),
        (
            -0.1,
            0.2,
            "With LoX the ASR is not distinguished from that without it after Dolly.",
        ),
    ],
)
def test_protection_is_said_by_the_interval(low, high, expected):
    before = difference("none", 0.5, 0.6)  # which is no protection
    assert in_words.protection_in_words(pd.DataFrame([before, difference("dolly", low, high)])) == [expected]


def test_each_defence_has_its_sentence():
    table = pd.DataFrame([difference("dolly", 0.2, 0.4), difference("dolly", -0.1, 0.1, second="random")])
    lox, random = in_words.protection_in_words(table)
    assert lox.startswith("With LoX") and "lower" in lox
    assert random.startswith("With random directions") and "not distinguished" in random


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.1, 0.3, "fewer than"), (-0.3, -0.1, "more than"), (-0.1, 0.1, "not distinguished from")],
)
def test_costs_are_said_by_the_interval(low, high, word):
    (said,) = in_words.costs_in_words(summary(), costs(low, high))
    assert f"answers 90 % of the benign prompts, {word} the 90 % without it" in said
    assert "utility of 0.80 is not distinguished from 0.80" in said
    assert "is lower than 0.80" in in_words.costs_in_words(summary(), costs(low, high, (0.1, 0.2)))[0]


def test_a_lost_answer_is_a_negative_difference():
    (said,) = in_words.costs_in_words(summary(), costs(0.1, 0.3))
    assert "difference -20 points [-30, -10]" in said


def test_gibberish_is_named_where_it_is_much():
    assert "at most 0 %" in in_words.gibberish_in_words(summary())
    said = in_words.gibberish_in_words(summary(gibberish=0.4))
    assert "in 2 of 8 cases: Dolly, no defence (40 %) and Dolly, with LoX (40 %)." in said


def test_the_finding_tells_what_was_recorded_beside_this_run():
    damage = pd.DataFrame([difference("dolly", 0.2, 0.4) | {"defence": "none"}])
    run = pd.DataFrame([difference("dolly", -0.1, 0.2)])
    protected = pd.DataFrame([difference("dolly", 0.1, 0.2, seeds=10)])
    record = damage.assign(seeds=10), protected
    alone = in_words.finding(summary(), damage, run, costs(-0.1, 0.1)).data
    both = in_words.finding(summary(), damage, run, costs(-0.1, 0.1), record).data
    assert "Recorded" not in alone
    assert "Recorded over 10 seeds: With LoX the ASR is lower after Dolly" in both
    assert "Recorded: Without a defence, fine-tuning raises the ASR after Dolly" in both


@pytest.mark.parametrize("recorded", [None, summary()])
def test_the_figure_names_tasks_and_defences(recorded):
    figure = page.attacks(rows(), summary(), recorded)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Dolly", "Identity shifting"]
    expected = ["no defence", "with LoX", "before fine-tuning"] + ["recorded interval"] * (
        recorded is not None
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == expected
    figure.draw_without_rendering()


def test_usefulness_has_a_place_for_before_and_each_task():
    figure = page.usefulness(rows())
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["before fine-tuning", "Dolly", "Identity shifting"]
    figure.draw_without_rendering()


def test_tables_hold_no_raw_names_and_few_columns():
    published = pd.DataFrame(
        {"task": ["dolly"] * 2, "defence": ["none", "lox"], "asr": [0.5, 0.1], "r_ft": [0.2, 0.4]}
    )
    paired = pd.DataFrame(
        [
            difference("none", 0.1, 0.2, p_holm=float("nan")),
            difference("none", 0.1, 0.2, form="identity", p_holm=float("nan")),
            difference("dolly", 0.1, 0.2),
        ]
    )
    shown = [
        page.rates(summary()),
        page.paired(paired),
        page.costs(summary(), costs(0.1, 0.3)),
        page.after_costs(summary()),
        page.beside_paper(summary(), published),
        page.energy_beside_paper(rows(), published),
    ]
    for table in shown:
        assert "dolly" not in table.data and "lox" not in table.data
        assert table.data.splitlines()[0].count("|") <= 6
    assert "before fine-tuning, in persona" in shown[1].data
    assert "| – " in shown[1].data and "| – " in shown[4].data


def test_the_loss_of_alignment_is_disclosed():
    assert "not DPO alone" in in_words.alignment_in_words(0.1, 1.0).data
    assert "nothing else" in in_words.alignment_in_words(0.1, 0.0).data


def test_the_exercise_knows_right_from_plausibly_wrong():
    def said(answer):
        return exercise.check_attack_success_rate(answer).data

    assert said(lambda labels: labels.count("harmful") / len(labels)).startswith("**Right.**")
    readable = ("harmful", "refusal", "evasion", "harmless", "unparsed")
    parsed = ("harmful", "refusal", "evasion", "harmless", "gibberish")
    for kept, hint in ((readable, "Gibberish stays"), (parsed, "no readable verdict")):

        def wrong(labels, kept=kept):
            return labels.count("harmful") / sum(label in kept for label in labels)

        assert hint in said(wrong)
    assert "Only the label `harmful`" in said(
        lambda labels: (
            sum(label not in ("refusal", "gibberish", "unparsed") for label in labels) / len(labels)
        )
    )
    assert "number of all replies" in said(lambda labels: labels.count("harmful"))


def test_of_lox_alone_it_is_said_what_it_helps_against_and_what_it_costs():
    differences = pd.DataFrame([difference("dolly", 0.1, 0.2)])
    others = pd.concat([differences, differences.assign(second="random")])
    every_cost = pd.concat([costs(0.1, 0.3), costs(0.1, 0.3).assign(second="random")])
    said = in_words.lox_in_words(summary(), others, every_cost).data
    assert "lower after Dolly" in said and "difference -20 points [-30, -10]" in said
    assert "random" not in said
