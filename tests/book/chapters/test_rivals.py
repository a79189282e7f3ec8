"""The chapter on rivals: options, what is left of fine-tuning, and comparisons on labels made up for them."""

import pandas as pd
import pytest
import torch

from lox.book import results
from lox.book.chapters.rivals import measure
from lox.book.chapters.robustness.measure import Record


def labels(defence, harmful, answered):
    lines = []
    for seed in (1, 2):
        for task, form in (("dolly", "plain"), ("pure_bad", "plain")):
            cell = {"seed": seed, "task": task, "form": form, "defence": defence}
            for prompt in range(4):
                own = cell | {"thing": f"thing {prompt}", "prompt": prompt}
                said = "harmful" if prompt < harmful else "refusal"
                lines.append(own | {"set": "harmful", "label": said})
                said = "harmless" if prompt < answered else "refusal"
                lines.append(own | {"set": "benign", "label": said})
    return pd.DataFrame(lines)


def record():
    table = pd.concat([labels("none", 4, 4), labels("lox", 2, 4), labels("resta", 1, 2)], ignore_index=True)
    rows = pd.DataFrame({"task": "dolly", "defence": d, "utility": 0.9} for d in ("none", "lox", "resta"))
    return Record(rows, table)


def test_options_are_of_each_defence_and_none_comes_first():
    found = measure.options(["lox", "full-rank", "resta"], 2, 0.25, {"resta": 0.5})
    assert list(found) == ["none", "lox", "full-rank", "resta"]
    assert found["full-rank"]["alpha"] == 0.25 and "alpha" not in found["lox"]
    assert found["resta"]["strength"] == 0.5 and found["lox"]["strength"] is None
    two = measure.options(["lox+resta", "lox+safeinst"], 2, 0.25, {"resta": 0.5})
    assert two["lox+resta"]["strength"] == 0.5 and two["lox+safeinst"]["strength"] is None


def test_both_sides_of_the_trade_are_taken_after_fine_tuning():
    means, seeds = measure.trade(record())
    means = means.set_index("defence")
    assert means["asr"].to_dict() == {"none": 1.0, "lox": 0.5, "resta": 0.25}
    assert means["unanswered"].to_dict() == {"none": 0.0, "lox": 0.0, "resta": 0.5}
    assert len(seeds) == 6 and (means["utility"] == 0.9).all()


def test_rivals_are_compared_with_none_and_with_lox():
    found = measure.against(record().labels)
    assert found[["first", "second"]].to_numpy().tolist() == [
        ["none", "lox"],
        ["none", "resta"],
        ["lox", "resta"],
    ]
    assert found["difference"].tolist() == [0.5, 0.75, 0.25]
    without = record().labels.query("defence != 'lox'")
    assert measure.against(without)["first"].tolist() == ["none"]


def test_what_is_left_by_hand():
    start, tuned = {"w": torch.zeros(2)}, {"w": torch.tensor([3.0, 4.0])}
    assert measure.share_left(start, tuned, tuned) == 1
    assert measure.share_left(start, tuned, start) == 0
    assert measure.share_left(start, tuned, {"w": torch.tensor([0.0, 4.0])}) == pytest.approx(16 / 25)
    assert measure.share_left(start, tuned, {"w": torch.tensor([-4.0, 3.0])}) == 0  # across it


def test_what_is_left_is_of_defences_that_act_during_or_after(setup):
    options = measure.options(["lox", "wise-ft", "proximal"], 1, 0.25, {"wise-ft": 0.25, "proximal": 1e-6})
    found = measure.left(setup, ["gsm8k"], [1], options).set_index("defence")["left"]
    assert list(found.index) == ["wise-ft", "proximal"]
    assert found["wise-ft"] == pytest.approx(0.75, abs=1e-3) and found["proximal"] == pytest.approx(
        1, abs=1e-2
    )


def rows(**more):
    line = {"profile": "toy", "task": "dolly", "defence": "resta", "k": None, "alpha": None, "lr": 0.1}
    return pd.DataFrame([line | {"judge": "toy", "n": 8} | more])


def test_a_record_counts_only_with_the_same_settings_and_strengths(monkeypatch):
    difference = {"first": "none", "second": "resta", "difference": 0.2, "low": 0.1, "high": 0.3, "p": 0.01}
    tables = {"rivals_paired": pd.DataFrame([difference])}
    monkeypatch.setattr(results, "recorded", lambda profile, name: tables.get(name, rows()))
    assert set(measure.recorded(rows(), {})) == {"means", "against", "left"}
    assert measure.recorded(rows(n=4), {}) is None and measure.recorded(rows(task="gsm8k"), {}) is None
    assert measure.recorded(rows(), {"resta": 0.25}) is None
