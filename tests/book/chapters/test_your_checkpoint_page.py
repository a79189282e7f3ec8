"""Sentences, tables and the figure on a checkpoint of one's own, on tables made up for them."""

import pandas as pd
import pytest

from lox.book.chapters.your_checkpoint import page
from lox.lab.choice import Choice
from lox.lab.choosing import COLUMNS, Measured

REPORT = pd.DataFrame(
    {"kind": "up_proj", "k": [6, 6], "r_align": 0.5, "added": 0.02, "error": 0.0, "survives": 0.98}
)
SIZES = pd.DataFrame(
    {"what": ["whole checkpoint", "adapter attached", "adapter switched off"], "mb": [9.0, 1.0, None]}
    | {"logits": [0.0, 1e-6, 0.5]}
)


def checks(**verdicts: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"check": check, "before": "1%", "after": "", "rule": "rises by at most 5 points", "verdict": verdict}
        | {"loss": 0.0, "loss_low": -0.1, "loss_high": 0.1}
        for check, verdict in verdicts.items()
    )


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ({"ASR": "pass", "answered": "pass"}, "Of 2 checks before shipping 2 pass. None failed."),
        ({"ASR": "pass", "answered": "fail"}, "Of 2 checks before shipping 1 pass. **Failed**: answered."),
        ({"ASR": "too few prompts"}, "0 pass. None failed. Too few prompts to decide: ASR."),
        ({"ASR": "not measured"}, "0 pass. None failed. Not measured: ASR."),
    ],
)
def test_the_verdicts_in_words(verdicts, said):
    assert said in page.verdicts_in_words(checks(**verdicts))


def test_what_failed_is_told_with_its_values_where_it_has_two():
    failed = checks(utility="fail", answered="pass").assign(before="100%", after="5%")
    assert "**Failed**: utility (100% → 5%)." in page.verdicts_in_words(failed)


def test_the_finding_says_what_was_made():
    found = page.finding(REPORT, SIZES, checks(ASR="pass"), Choice(6, 1.25), 6, 1.25).data
    assert "changed 2 of 2 matrices, each by 2.0% of its norm" in found
    assert "1.00 MB where the checkpoint has 9.00 MB" in found


def test_the_checklist_marks_what_failed_and_names_tasks():
    found = page.checklist(checks(**{"ASR": "fail", "ASR after gsm8k": "pass"})).data
    assert "**fail**" in found and "ASR after GSM8K" in found
    assert "worse by 0.0 points [-10.0, 10.0]" in page.losses(checks(ASR="pass")).data


def test_tables_hold_their_numbers():
    assert "0.98" in page.report(REPORT).data
    assert "0.5 " in page.adapter(SIZES).data
    speed = pd.DataFrame(
        {
            "what": ["copy", "lox"],
            "seconds": [10.0, 15.0],
            "times_copy": [1.0, 1.5],
            "peak_gb": [None, 1.5],
            "libraries_gb": [None, 0.5],
        }
        | {"certified_error": [None, 1e-4], "checkpoint_gb": 2.2, "largest_tensor_gb": 0.1, "repeats": 3}
        | {"machine": "2 cores", "load": 1.0, "torch": "2", "date": "2026-11-24"}
    )
    other = speed.assign(machine="8 cores", seconds=[4.0, 4.4], times_copy=[1.0, 1.1])
    found = page.speed(pd.concat([speed, other])).data
    assert "| 2 cores   | `lox extrapolate` |        15 |            1.50 |" in found and "1e-04" in found
    assert "| 8 cores   | `lox extrapolate` |         4 |            1.10 |" in found


def test_the_figure_has_a_row_for_each_rate():
    table = pd.DataFrame(
        {"model": model, "what": what, "value": 0.5, "low": 0.4, "high": 0.6}
        for model in ("aligned", "immunised")
        for what in page.GOOD
    )
    (axes,) = page.behaviour(table).axes
    assert [label.get_text().split("\n")[0] for label in axes.get_yticklabels()] == list(page.GOOD)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(6, 1.25), "finds the effective rank 6 and, in the budget, at most $\\alpha$ = 1.25."),
        (Choice(3, 1.25), "at most $\\alpha$ = 1.25; the page was told to use $k$ = 6 and $\\alpha$ = 1.25."),
        (Choice(None, refusal="no rank"), "chooses nothing: no rank. The page goes on with $k$ = 6"),
    ],
)
def test_the_choice_in_words(choice, said):
    assert said in page.choice_in_words(choice, 6, 1.25)


def test_the_answer_is_a_command_or_a_refusal():
    found = page.answer(Measured(Choice(2, 0.5, remarks=("a remark",)), {}, {}, 0.01, 0.1)).data
    assert "`lox extrapolate base aligned OUT --k 2 --alpha 0.5`" in found and "*Note:* a remark." in found
    assert (
        page.answer(Measured(Choice(None, refusal="no rank"), {}, {}, 0.01, 0.1)).data
        == "Nothing is chosen: no rank."
    )


def test_the_grid_has_a_row_for_each_point():
    row = {"point": "alpha 0.5", "asr": 0.1, "asr_low": 0.0, "asr_high": 0.2, "chosen": True}
    found = page.choice(pd.DataFrame([row], columns=COLUMNS)).data
    assert "alpha 0.5  <-" in found and "10.0 [0.0, 20.0]" in found


@pytest.mark.parametrize(
    ("on_others", "said"), [(True, "rests on others"), (False, "no further harmful ones")]
)
def test_on_which_prompts_was_chosen(on_others, said):
    questions = [{"set": "harmful"}, {"set": "benign"}, {"set": "benign"}]
    found = page.choosing_prompts(questions, on_others).data
    assert "1 harmful and 2 harmless prompts" in found and said in found


@pytest.mark.parametrize(
    ("budget", "own", "said"),
    [
        (0.1, 0.02, "10 points of harmless answers. Even where no answer is lost, that takes 38 independent"),
        (0.02, 0.1, "2 points of harmless answers. Even where no answer is lost, that takes 191 independent"),
    ],
)
def test_how_many_prompts_a_budget_takes(budget, own, said):
    questions = [{"set": "benign", "thing": thing} for thing in "aab"] + [{"set": "harmful", "thing": "c"}]
    found = page.budget_in_words(questions, budget, own).data
    assert said in found and "those of this page are about 2 things" in found
    assert found.endswith({0.1: "10 points takes 38.", 0.02: "2 points takes 191."}[own])


def test_estimates_are_called_estimates():
    table = pd.DataFrame({"model": ["M"], "gb": 13.5, "minutes": 1.8, "peak_gb": 2.7, "choose_gb": 14.0})
    found = page.larger(table).data
    assert "estimated for" in found and "2 min" in found and "2.7 GB" in found
