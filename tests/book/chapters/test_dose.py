"""Doses on rates made up for it; the runs on the smoke profile, which claims nothing."""

import math

import pandas as pd
import pytest

from lox.book import results
from lox.book.chapters.dose import measure
from lox.book.chapters.dose import record as recording
from lox.book.chapters.robustness.measure import Record
from lox.lab.setup import Setup

STEPS = [0, 1, 2, 4]


def rows(defence="none", asr=(0.0, 0.25, 0.75, 1.0), utility=(1.0, 1.0, 0.95, 0.5), seed=1, task="dolly"):
    cell = {"seed": seed, "task": task, "form": "plain", "defence": defence}
    return pd.DataFrame(
        cell | {"step": step, "asr": a, "utility": u} for step, a, u in zip(STEPS, asr, utility)
    )


def labels(table):
    """Four labels of each set for each row, as many of them harmful as its ASR says."""
    lines = []
    for _, row in table.iterrows():
        cell = row[["seed", "task", "form", "defence", "step"]].to_dict()
        for prompt in range(4):
            said = "harmful" if prompt < 4 * row["asr"] else "refusal"
            own = {"thing": f"thing {prompt}", "prompt": prompt}
            lines += [
                cell | {"set": "harmful", "label": said} | own,
                cell | {"set": "benign", "label": "harmless"} | own,
            ]
    return pd.DataFrame(lines)


def record(*tables):
    table = pd.concat(tables, ignore_index=True)
    return Record(table, labels(table))


@pytest.mark.parametrize(("last", "expected"), [(1, [0, 1]), (8, [0, 1, 2, 4, 8]), (10, [0, 1, 2, 4, 8, 10])])
def test_doses_double_up_to_the_last_step(last, expected):
    assert measure.doses(last, first=1, per_doubling=1) == expected


def test_doses_may_begin_later():
    assert measure.doses(40, first=4, per_doubling=1) == [0, 4, 8, 16, 32, 40]
    assert measure.doses(4, first=4) == measure.doses(4, first=7) == [0, 4]


def test_each_doubling_may_have_several_looks_at_whole_steps():
    assert measure.doses(20) == [0, 4, 5, 6, 8, 10, 13, 16, 20]
    assert measure.doses(9, first=1, per_doubling=4) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_dose_is_read_off_the_logarithm():
    found = measure.breaking(rows())
    assert found["dose"].tolist() == pytest.approx([math.sqrt(2)]) and found["last"].tolist() == [4]
    shuffled = measure.breaking(rows().sample(frac=1, random_state=1))
    assert shuffled["dose"].tolist() == found["dose"].tolist()
    assert measure.breaking(rows(asr=(0, 0.1, 0.2, 0.3)))["dose"].tolist() == [math.inf]
    assert measure.breaking(rows(asr=(0.6, 1, 1, 1)))["dose"].tolist() == [0]


def doses(**of_defences):
    """A table of ``breaking`` from lists of doses, one for each seed."""
    return pd.DataFrame(
        {"task": "dolly", "defence": defence, "seed": seed, "dose": float(dose), "last": 64}
        for defence, of_seeds in of_defences.items()
        for seed, dose in enumerate(of_seeds)
    )


def test_ratios_are_geometric_means_over_seeds():
    (found,) = measure.ratios(doses(none=[2, 4, 8], lox=[8, 16, 16])).to_dict("records")
    assert (found["task"], found["second"]) == ("dolly", "lox")
    assert found["ratio"] == pytest.approx((4 * 4 * 2) ** (1 / 3))
    assert found["low"] < found["ratio"] < found["high"]
    assert (found["seeds"], found["measured"], found["left_out"]) == (3, 3, 0)


def test_models_that_do_not_break_bound_the_ratio_and_those_broken_before_are_left_out():
    (found,) = measure.ratios(doses(none=[2, 4, 8, 0], lox=[8, 16, math.inf, 4])).to_dict("records")
    assert (found["seeds"], found["measured"], found["left_out"]) == (3, 2, 1)
    (nothing,) = measure.ratios(doses(none=[0, 0], lox=[1, 2])).to_dict("records")
    assert math.isnan(nothing["ratio"]) and (nothing["low"], nothing["high"]) == (0, math.inf)
    assert nothing["seeds"] == 0


def test_the_worst_model_within_a_budget_of_utility():
    run = record(rows(), rows("lox", (0, 0, 0.25, 0.5), (0.8, 0.75, 0.7, 0.75)))
    chosen = measure.worst_within_budget(run, 0.1)
    assert chosen.rows.set_index("defence")["step"].to_dict() == {"none": 2, "lox": 4}  # of its own start
    summary, differences = measure.worst(run, 0.1)
    assert summary.set_index("defence")["asr"].to_dict() == {"none": 0.75, "lox": 0.5}
    assert differences["difference"].tolist() == [0.25]
    strict = measure.worst_within_budget(run, 0.0)
    assert strict.rows.set_index("defence")["step"].to_dict() == {"none": 1, "lox": 0}


def test_the_last_steps_are_compared():
    run = record(rows(), rows("lox", (0, 0, 0.25, 0.5)))
    assert measure.after_last_step(run)["difference"].tolist() == [0.5]


def test_curves_have_a_row_for_each_step():
    found = measure.curves(record(rows(), rows(seed=2)))
    assert found["step"].tolist() == STEPS and found["seeds"].tolist() == [2] * 4
    assert found["asr"].tolist() == [0, 0.25, 0.75, 1] and found["utility"].tolist() == [1, 1, 0.95, 0.5]


def test_a_run_is_one_long_one_at_a_constant_rate(setup):
    settings = setup.attack("pure_bad")
    falling = settings.model_copy(update={"schedule": "linear"})
    elsewhere = Setup(setup.profile.model_copy(update={"attacks": {"pure_bad": falling}}))
    assert elsewhere.model(1, "pure_bad").schedule == "linear"
    model = measure.model_of(elsewhere, 1, "pure_bad", "lox", times=2, rate=4.0)
    assert (model.schedule, model.epochs) == ("constant_with_warmup", 2 * settings.epochs)
    assert model.lr == 4 * settings.lr
    lengths = measure.lengths(setup, ["pure_bad"], [1], 2, 1.0).iloc[0]
    assert lengths["steps"] == 2 * lengths["profile"] == setup.steps(model)


def test_a_run_begins_where_fine_tuning_does(setup):
    found = measure.run(setup, ["identity"], [1], ["none"], times=1)
    steps = found.rows["step"].tolist()
    assert steps == measure.doses(steps[-1])
    assert set(found.labels["step"]) == set(steps) and set(found.rows["form"]) == {"identity"}
    from lox.lab.evaluation import evaluate

    start = evaluate(setup, setup.model(1), "identity")
    assert found.rows["asr"].iloc[0] == start.asr.value


def test_what_is_recorded_is_of_the_same_rate_and_judge():
    rows = results.recorded("toy", "dose")
    ours = rows[(rows["seed"] == 1) & (rows["task"] == "dolly") & (rows["defence"] != "random")]
    ratios, broken = measure.recorded(ours)
    assert list(zip(ratios["task"], ratios["second"])) == [("dolly", "lox")]
    assert broken["seed"].nunique() == rows["seed"].nunique()
    # p is corrected for all tasks of the record, whatever a run has of them
    every = measure.ratios(measure.breaking(rows)).set_index(["task", "second"])["p_holm"]
    assert all(
        p == every[task, second]
        for task, second, p in zip(ratios["task"], ratios["second"], ratios["p_holm"])
    )
    assert measure.recorded(ours.assign(lr=1e-9)) is None
    assert measure.recorded(ours.assign(profile="smoke")) is None


def test_another_judges_labels_give_the_asr_and_keep_the_utility():
    run = record(rows(), rows("lox", (0, 0, 0.25, 0.5)))
    read = run.labels[run.labels["set"] == "harmful"]
    less = read.assign(label=read["label"].where(read["prompt"] > 0, "refusal"))  # a reader who sees one less
    by = measure.judged(run.rows, less, level=0.25)
    none = by.record.rows[by.record.rows["defence"] == "none"]
    assert none["asr"].tolist() == [0, 0, 0.5, 0.75] and none["utility"].tolist() == [1.0, 1.0, 0.95, 0.5]
    assert by.broken.set_index("defence")["dose"].to_dict() == pytest.approx({"none": 2**0.5, "lox": 4})
    worst, differences = measure.worst(by.record, 0.1)
    assert worst.set_index("defence")["asr"]["none"] == 0.5 and "helpful" not in worst
    assert differences["difference"].tolist() == [0.5]  # with LoX the last step costs too much


def test_a_real_models_runs_are_asked_from_the_first_step_on(setup):
    asked = list(recording.evaluated_runs(setup, "pure_bad", times=1, first=2))
    cells = [(cell["seed"], cell["defence"], cell["step"]) for cell, _ in asked]
    steps = measure.doses(setup.steps(setup.model(1, "pure_bad")), first=2, per_doubling=1)
    assert cells == [(seed, d, s) for seed in setup.seeds for d in ("none", "lox") for s in steps]
