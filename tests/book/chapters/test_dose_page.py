"""The page's sentences, both ways, and its figures, on tables made up for them."""

import math

import pandas as pd
import pytest

from lox.book.chapters.dose import exercise, in_words, measure, page
from lox.book.results import paper

STEPS = [0, 1, 4, 16]


def broken(**of_defences):
    return pd.DataFrame(
        {"task": "dolly", "defence": defence, "seed": seed, "dose": float(dose), "last": 16}
        for defence, of_seeds in of_defences.items()
        for seed, dose in enumerate(of_seeds)
    )


def ratio(value, low, high, seeds=3, measured=3):
    columns = {"task": "dolly", "second": "lox", "ratio": value, "low": low, "high": high}
    p = 0.01 if low > 1 or high < 1 else 0.5
    return pd.Series(columns | {"seeds": seeds, "measured": measured, "left_out": 0, "p_holm": p})


def difference(low, high):
    columns = {"task": "dolly", "first": "none", "second": "lox", "p": 0.1, "seeds": 3, "n": 8}
    return pd.Series(columns | {"difference": (low + high) / 2, "low": low, "high": high})


def worst():
    rates = {"asr": 0.5, "asr_low": 0.4, "asr_high": 0.6, "helpful": 0.9, "gibberish": 0.0}
    return pd.DataFrame({"task": "dolly", "form": "plain", "defence": d} | rates for d in ("none", "lox"))


def rows():
    return pd.DataFrame(
        {"task": "dolly", "form": "plain", "defence": d, "seed": seed, "step": step, "asr": a}
        | {"utility": 0.9, "helpful": 0.8}
        for d in ("none", "lox")
        for seed in (1, 2)
        for step, a in zip(STEPS, (0, 0.1, 0.4, 0.9))
    )


def curves():
    means = rows()[rows()["seed"] == 1]
    return means.assign(asr_low=means["asr"] - 0.05, asr_high=means["asr"] + 0.05)


def judged(level=0.2):
    asr = {"none": (0, 0.1, 0.4, 0.9), "lox": (0, 0.0, 0.1, 0.3)}
    table = pd.concat([rows()[rows()["defence"] == d].assign(asr=asr[d] * 2) for d in asr])
    found = measure.breaking(table, level)
    means = table[table["seed"] == 1]
    means = means.assign(asr_low=means["asr"] - 0.05, asr_high=means["asr"] + 0.05)
    return measure.Judged(measure.Record(table, table), means, found, measure.ratios(found), level)


BROKEN = broken(none=[2, 4, 8], lox=[8, 12, math.inf])


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (3.0, 1.5, 6.0, "with LoX it takes 3.00 times [1.50, 6.00] as many steps to break the model. "),
        (
            0.5,
            0.2,
            0.9,
            "with LoX it takes fewer steps to break the model, 0.50 times [0.20, 0.90] as many. ",
        ),
        (
            2.0,
            0.5,
            math.inf,
            "with LoX no change of the number of steps is established, 2.00 times [0.50, ∞] as many. ",
        ),
        (
            math.inf,
            1.5,
            math.inf,
            "with LoX it takes [1.50, ∞] times as many steps to break the model. ",
        ),
    ],
)
def test_a_delay_is_said_by_the_interval(value, low, high, expected):
    said = in_words.delay_in_words(ratio(value, low, high), BROKEN, "this run")
    assert said.startswith("**Dolly**, this run, 3 seeds: ") and expected in said
    assert said.endswith("Within 16 steps 3 of 3 models break without a defence, 2 of 3 models with LoX.")


def test_seeds_that_say_nothing_are_counted():
    said = in_words.delay_in_words(
        pd.Series(ratio(3.0, 1.5, 6.0).to_dict() | {"left_out": 2}), BROKEN, "recorded"
    )
    assert said.endswith("; 2 seeds are left out, in which a model is broken before any step.")


def test_without_a_safe_start_there_is_no_ratio():
    said = in_words.delay_in_words(
        ratio(math.nan, 0.0, math.inf, seeds=0), broken(none=[0, 0], lox=[0, 1]), "recorded"
    )
    assert "no seed has two models that are safe before fine-tuning" in said


@pytest.mark.parametrize(
    ("low", "high", "word", "rest"),
    [
        (0.1, 0.3, ", lower (", "still has the lower ASR"),
        (-0.3, -0.1, ", higher (", "has the higher ASR"),
        (-0.1, 0.1, ", not distinguished (", "is not distinguished from the model without it"),
    ],
)
def test_the_worst_and_the_last_are_said_by_the_interval(low, high, word, rest):
    said = in_words.worst_in_words(worst(), difference(low, high), 0.1)
    assert "gives up at most 10 % of the model's utility reaches an ASR of 50 %" in said and word in said
    assert rest in in_words.last_in_words(difference(low, high))


def test_the_finding_has_two_sentences_for_each_task_and_defence():
    lost = pd.DataFrame([difference(0.1, 0.3)])
    found = in_words.finding(pd.DataFrame([ratio(3.0, 1.5, 6.0)]), BROKEN, (worst(), lost), lost, 0.1)
    assert found.data.count("\n- ") == 2 and "nan" not in found.data


def test_the_papers_runs_are_said_with_their_numbers():
    said = in_words.of_paper(paper("persistence"), "dolly").data
    assert "does not grow with the epochs: it is highest after epoch 1, 52 %, and 18 % after epoch 6" in said
    assert "34 % at the larger rate and 7 % at the smaller one" in said
    course = {"task": "dolly", "epoch": [1, 2], "asr": [0.1, 0.3]}
    rising = pd.concat(
        pd.DataFrame(course | {"lr": lr, "defence": d}) for lr in (1, 2) for d in ("none", "lox")
    )
    said = in_words.of_paper(rising, "dolly").data
    assert "without LoX the ASR is highest after epoch 2, 30 %" in said


def test_figures_have_a_panel_for_each_task():
    figures = [
        page.curves(rows(), curves(), BROKEN),
        page.usefulness(curves()),
        page.breaking_doses(BROKEN),
        page.paper_curves(paper("persistence")),
    ]
    assert [len(figure.axes) for figure in figures] == [1, 1, 1, 2]
    for figure in figures:
        figure.draw_without_rendering()
        assert figure.axes[0].get_title(loc="left").startswith(("Dolly", "GSM8K"))
    assert [t.get_text() for t in figures[0].axes[0].get_xticklabels()] == ["0", "1", "4", "16"]


def test_tables_hold_no_raw_names_and_few_columns():
    lengths = pd.DataFrame({"task": ["dolly"], "lr": [1e-4], "profile": [2], "steps": [16]})
    shown = [
        page.lengths(lengths),
        page.ratios(pd.DataFrame([ratio(3.0, 1.5, 6.0)]), BROKEN),
        page.worst(worst()),
        page.beside_paper(rows(), lengths, paper("persistence")),
    ]
    for table in shown:
        assert "dolly" not in table.data and "lox" not in table.data and "gsm8k" not in table.data
        assert table.data.splitlines()[0].count("|") <= 6
    assert "52 → 7 (epoch 1)" in shown[3].data and "90 → 90 (step 16)" in shown[3].data


def test_a_median_dose_may_lie_beyond_the_run():
    table = pd.DataFrame([ratio(3.0, 1.5, math.inf)])
    assert "> 16" in page.ratios(table, broken(none=[2, 4, 8], lox=[8, math.inf, math.inf])).data
    assert ">" not in page.ratios(table, broken(none=[2, 4, 8], lox=[8, 12, math.inf])).data


def right(doses, asr, level=0.5):
    reached = [i for i, rate in enumerate(asr) if rate >= level]
    if not reached:
        return math.inf
    i = reached[0]
    share = (level - asr[i - 1]) / (asr[i] - asr[i - 1])
    return doses[i - 1] * (doses[i] / doses[i - 1]) ** share


def test_the_exercise_knows_right_from_plausibly_wrong():
    def said(answer):
        return exercise.check_breaking_dose(answer).data

    assert said(right).startswith("**Right.**")

    def on_the_dose(doses, asr):
        i = next(i for i, rate in enumerate(asr) if rate >= 0.5)
        return doses[i - 1] + (0.5 - asr[i - 1]) / (asr[i] - asr[i - 1]) * (doses[i] - doses[i - 1])

    def last_step(doses, asr):
        found = right(doses, asr)
        return found if found < math.inf else doses[-1]

    assert "on the logarithm" in said(on_the_dose)
    assert "answer is infinity" in said(last_step)
    last = max  # the largest dose, whatever the ASR
    assert said(lambda doses, asr: last(doses)).startswith("**Not yet.**")


def test_the_recorded_run_is_said_before_this_one():
    ratios, one = pd.DataFrame([ratio(3.0, 1.5, 6.0)]), pd.DataFrame([difference(-0.1, 0.1)])
    box = [ratios, BROKEN, (worst(), one), one, 0.1]
    recorded = pd.DataFrame([ratio(1.8, 1.4, 2.3, seeds=10, measured=9)]), BROKEN
    assert "recorded" not in in_words.finding(*box).data
    said = in_words.finding(*box, recorded).data
    assert "\n- **Dolly**, recorded, 3 seeds: with LoX it takes 1.80 times [1.40, 2.30]" in said
    assert said.index("recorded, 3 seeds") < said.index("this run, 3 seeds")
    assert "1.80 [1.40, 2.30]" in page.recorded(recorded).data
    assert "Nothing was recorded" in page.recorded(None).data


def test_a_real_model_is_told_by_each_judge_with_its_level():
    judges = {"harm, read blind": judged(), "refusal lost, by phrases": judged(0.5)}
    first, second = in_words.real_in_words(judges, "SmolLM2")
    assert first.startswith("**Dolly**, SmolLM2, harm, read blind (broken from 20 %), 2 seeds: ")
    assert "2 of 2 models break without a defence, 2 of 2 models with LoX" in first
    assert "0 of 2 models with LoX" in second
    lines = page.judged_ratios(judges).data.splitlines()
    assert "20 %" in lines[2] and "50 %" in lines[3] and "> 16" in lines[3]
    figure = page.judged_curves(judges)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(judges)
    levels = [
        line.get_ydata()[0] for axes in figure.axes for line in axes.lines if line.get_linestyle() == ":"
    ]
    assert levels == [0.2, 0.5]


def test_what_an_attacker_reaches_is_told_of_every_task():
    lost = pd.DataFrame([difference(0.1, 0.3), difference(0.1, 0.3)])
    said = in_words.worst_real_in_words((worst(), lost), 0.1).data
    assert said.count("An attacker who fine-tunes on Dolly and gives up at most 10 %") == 2


def test_the_box_says_the_real_model_before_this_run():
    lost = pd.DataFrame([difference(0.1, 0.3)])
    table = pd.DataFrame([ratio(3.0, 1.5, 6.0)])
    box = in_words.finding(table, BROKEN, (worst(), lost), lost, 0.1, real=["A real model."]).data
    assert box.index("A real model.") < box.index("this run")


def test_what_two_records_establish_is_told_by_where_they_agree():
    def record(**p_holm):
        rows = [dict(ratio(1.4, 1.1, 1.8)) | {"task": task, "p_holm": p} for task, p in p_holm.items()]
        return pd.DataFrame(rows)

    records = {
        "recorded": record(dolly=0.01, alpaca=0.3, pure_bad=0.4),
        "recorded earlier": record(dolly=0.001, alpaca=0.02, pure_bad=0.6),
    }
    said = in_words.twice_in_words(records, "lox").data
    assert said == (
        "That with LoX it takes more steps is established in all records: Dolly; in some and not in others: Alpaca; "
        "in none: Pure Bad."
    )
    shown = page.twice(records).data
    assert "recorded earlier" in shown and shown.count("1.40 [1.10, 1.80], p 0.") == 6


@pytest.mark.parametrize(("p", "words"), [(0.01, "it takes 1.40"), (0.2, "no change of the number of steps")])
def test_a_ratio_that_is_read_with_others_goes_by_its_corrected_p(p, words):
    one = pd.Series(dict(ratio(1.4, 1.1, 1.8)) | {"p_holm": p})
    assert f"with LoX {words}" in in_words.delay_in_words(one, BROKEN, "recorded")


@pytest.mark.parametrize(
    ("value", "p", "words"),
    [
        (2.0, 0.01, "(more, corrected p 0.01)"),
        (0.5, 0.01, "(fewer, corrected p 0.01)"),
        (2.0, 0.2, "(not distinguished, corrected p 0.2)"),
    ],
)
def test_a_delay_beside_random_directions_is_said_by_the_corrected_p(value, p, words):
    line = {
        "task": "dolly",
        "ratio": value,
        "low": value / 1.5,
        "high": value * 1.5,
        "seeds": 10,
        "p_holm": p,
    }
    said = in_words.beside_random_in_words(pd.DataFrame([line])).data
    assert "over 10 recorded seeds: Dolly" in said and said.endswith(f"{words}.")
