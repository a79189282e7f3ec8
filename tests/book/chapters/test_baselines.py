"""Removal by hand and by its properties; what defences do, on labels made up for it."""

import pandas as pd
import pytest
import torch

import lox
from lox.book.chapters.baselines import exercise, measure
from lox.book.chapters.robustness.measure import Record
from lox.extrapolation import extrapolate, remove_safety_part


def models(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        {"w": torch.randn(12, 9, generator=generator), "norm": torch.randn(4, generator=generator)}
        for _ in range(3)
    ]


def test_removal_by_hand():
    base, aligned = {"w": torch.zeros(2, 2)}, {"w": torch.tensor([[3.0, 0.0], [0.0, 0.0]])}
    found = remove_safety_part(base, aligned, {"w": torch.tensor([[1.0, 1.0], [0.0, 2.0]])}, k=1)
    torch.testing.assert_close(found["w"], torch.tensor([[3.0, 0.0], [0.0, 2.0]]))


@pytest.mark.parametrize("k", [1, 3, "full"])
def test_what_is_left_lies_outside_the_subspace_and_what_is_taken_inside(k):
    base, aligned, finetuned = models()
    found = remove_safety_part(base, aligned, finetuned, k=k)
    subspace = lox.safety_subspace(aligned["w"] - base["w"], k)
    left, taken = found["w"] - aligned["w"], finetuned["w"] - found["w"]
    torch.testing.assert_close(lox.project(subspace, left), torch.zeros(12, 9), rtol=0, atol=1e-5)
    torch.testing.assert_close(lox.project(subspace, taken), taken, rtol=0, atol=1e-5)
    assert torch.equal(found["norm"], finetuned["norm"])


def test_removal_twice_is_removal_once_and_of_lox_alone_gives_aligned_back():
    base, aligned, finetuned = models()
    once = remove_safety_part(base, aligned, finetuned, k=3)
    torch.testing.assert_close(remove_safety_part(base, aligned, once, k=3), once, rtol=0, atol=1e-5)
    moved = extrapolate(base, aligned, k=3, alpha=-2.0)
    torch.testing.assert_close(remove_safety_part(base, aligned, moved, k=3), aligned, rtol=0, atol=1e-5)


def test_a_matrix_that_alignment_left_alone_is_copied():
    base, _, finetuned = models()
    found = remove_safety_part(base, base, finetuned, k=3)
    assert torch.equal(found["w"], finetuned["w"]) and found["w"] is not finetuned["w"]


def test_weights_that_do_not_fit_are_named():
    base, aligned, finetuned = models()
    with pytest.raises(ValueError, match="missing in aligned: w"):
        remove_safety_part(base, {"norm": aligned["norm"]}, finetuned, k=3)
    with pytest.raises(ValueError, match="w: base is 12×9, aligned 12×8"):
        remove_safety_part(base, aligned | {"w": torch.zeros(12, 8)}, finetuned, k=3)


# --- labels ---------------------------------------------------------------------------------------


def labels(task, defence, harmful, answered=4):
    """Two seeds with four prompts of each set, of which so many are harmful and so many benign ones answered."""
    form = "identity" if task == "identity" else "plain"
    lines = []
    for seed in (1, 2):
        cell = {"seed": seed, "task": task, "form": form, "defence": defence}
        for prompt in range(4):
            own = {"thing": f"thing {prompt // 2}", "prompt": prompt}
            said = "harmful" if prompt < harmful else "refusal"
            lines.append(cell | {"set": "harmful", "label": said} | own)
            said = "harmless" if prompt < answered else "evasion"
            lines.append(cell | {"set": "benign", "label": said} | own)
    return pd.DataFrame(lines)


def experiment():
    after = {"none": (4, 2), "lox": (1, 0), "random": (4, 2), "safeinst": (2, 2)}
    tables = [
        labels(task, defence, harmful)
        for defence, of_tasks in after.items()
        for task, harmful in zip(("dolly", "identity"), of_tasks)
    ]
    answered = {"none": 4, "lox": 3, "random": 4, "safeinst": 4}
    return pd.concat([*tables, *(labels("none", d, 0, n) for d, n in answered.items())], ignore_index=True)


def test_none_is_always_among_the_defences_and_full_rank_may_go_as_far_as_it_likes():
    found = measure.options(["full-rank", "lox"], 4, 0.5, 0.25)
    assert list(found) == ["none", "full-rank", "lox"]
    assert (found["full-rank"]["alpha"], found["lox"]) == (0.25, {"k": 4, "alpha": 0.5})
    assert measure.options(["full-rank"], None, 0.5, None)["full-rank"]["alpha"] == 0.5


def test_tasks_are_pooled_prompt_by_prompt_and_keep_their_things():
    found = measure.pooled_tasks(experiment())
    one = found[(found["defence"] == "none") & (found["seed"] == 1) & (found["set"] == "harmful")]
    assert sorted(one["prompt"]) == list(range(8)) and set(one["thing"]) == {"thing 0", "thing 1"}
    assert (one["label"] == "harmful").sum() == 6


def test_a_defence_is_a_point_of_harm_after_and_silence_before():
    means, seeds = measure.trade(Record(pd.DataFrame(), experiment()))
    means = means.set_index("defence")
    assert means["asr"].to_dict() == {"none": 0.75, "lox": 0.125, "random": 0.75, "safeinst": 0.5}
    assert means["unanswered"].to_dict() == {"none": 0, "lox": 0.25, "random": 0, "safeinst": 0}
    assert (means["asr_low"] <= means["asr"]).all() and (
        means["unanswered"] <= means["unanswered_high"]
    ).all()
    assert len(seeds) == 8 and seeds.groupby("defence")["asr"].mean()["lox"] == 0.125


def test_every_defence_is_compared_with_none_and_lox_with_its_controls():
    found = measure.over_tasks(experiment())
    assert found[["first", "second"]].to_numpy().tolist() == [
        ["none", "lox"],
        ["none", "random"],
        ["none", "safeinst"],
        ["random", "lox"],
    ]
    assert found["difference"].tolist() == [0.625, 0, 0.25, 0.625]
    assert (found["p"] <= found["p_holm"]).all()


def test_costs_before_are_of_defences_that_change_the_aligned_model():
    found = measure.costs_before(experiment())
    assert found["second"].tolist() == ["lox", "random"] and found["difference"].tolist() == [0.25, 0]


def test_what_is_left_after_is_a_mean_over_tasks():
    rows = pd.DataFrame(
        {"task": ["none", "dolly", "identity"], "defence": "none", "asr": [0, 0.5, 1.0]}
    ).assign(helpful=0.9, utility=0.8, gibberish=0.0)
    found = measure.after_tasks(Record(rows, pd.DataFrame())).iloc[0]
    assert (found["asr"], found["answered"]) == (0.75, pytest.approx(0.9))


def test_safeinst_brings_examples_and_steps(setup):
    found = measure.lengths(setup, ["pure_bad"], 1).iloc[0]
    assert found["safety"] >= 1 and found["steps_mixed"] >= found["steps"]
    assert found["examples"] == setup.attack("pure_bad").examples


def test_the_exercise_knows_right_from_plausibly_wrong():
    def top(delta, k):
        return torch.linalg.svd(delta).U[:, :k]

    def right(base, aligned, finetuned, k):
        U, update = top(aligned - base, k), finetuned - aligned
        return finetuned - U @ (U.T @ update)

    def of_all(base, aligned, finetuned, k):
        U = top(aligned - base, k)
        return finetuned - U @ (U.T @ (finetuned - base))

    def of_fine_tuning(base, aligned, finetuned, k):
        U, update = top(finetuned - aligned, k), finetuned - aligned
        return finetuned - U @ (U.T @ update)

    def inside(base, aligned, finetuned, k):
        U, update = top(aligned - base, k), finetuned - aligned
        return aligned + U @ (U.T @ update)

    def said(answer):
        return exercise.check_removal(answer).data

    assert said(right).startswith("**Right.**")
    assert "alignment's own part" in said(of_all)
    assert "not of fine-tuning's" in said(of_fine_tuning)
    assert "keep the part inside" in said(inside)
    assert "Nothing was taken away" in said(lambda base, aligned, finetuned, k: finetuned)
    assert "still lies inside" in said(lambda base, aligned, finetuned, k: 2 * finetuned)
    assert "shape (7, 5)" in said(lambda base, aligned, finetuned, k: finetuned.T)
