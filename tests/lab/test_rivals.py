"""Rivals by hand on tiny matrices: each rule, and with a strength of 0 nothing changes."""

import pytest
import torch

from lox.lab import evaluation, rivals, stages
from lox.lab import setup as lab
from lox.lab.model import AFTERWARDS, TOGETHER, Model

BASE = {"a": torch.zeros(2, 2), "b": torch.zeros(2, 2), "norm": torch.ones(2)}
ALIGNED = {
    "a": torch.tensor([[2.0, 0.0], [0.0, 0.0]]),
    "b": torch.tensor([[0.0, 0.0], [0.0, 2.0]]),
    "norm": torch.ones(2),
}
# Along alignment in "a", almost across it in "b".
FINETUNED = {
    "a": ALIGNED["a"] + torch.tensor([[-1.0, 1.0], [0.0, 0.0]]),
    "b": ALIGNED["b"] + torch.tensor([[3.0, 0.0], [4.0, 0.0]]),
    "norm": torch.full((2,), 3.0),
}


def test_safe_loras_projection_by_hand():
    # V = diag(2, 0), ‖V‖ = 2, so C = V Vᵀ / 2 = diag(2, 0): not idempotent.
    found = rivals.along(ALIGNED["a"], torch.tensor([[1.0, 3.0], [5.0, 7.0]]))
    assert found.tolist() == [[2, 6], [0, 0]]


def test_matrices_that_point_least_along_alignment_come_first():
    assert rivals.least_along(BASE, ALIGNED, FINETUNED, 0.5) == {"b"}  # cosine 0.8, against 1
    assert rivals.least_along(BASE, ALIGNED, FINETUNED, 1.0) == {"a", "b"}
    assert rivals.least_along(BASE, ALIGNED, FINETUNED, 0.0) == {"b"}


def test_safe_lora_projects_the_chosen_updates():
    found = rivals.safe_lora(BASE, ALIGNED, FINETUNED, 0.5)
    torch.testing.assert_close(found["a"], FINETUNED["a"])
    torch.testing.assert_close(found["b"], ALIGNED["b"] + torch.tensor([[0.0, 0.0], [8.0, 0.0]]))


def test_resta_adds_the_safety_vector():
    found = rivals.resta(BASE, ALIGNED, FINETUNED, 0.5)
    assert found["a"].tolist() == [[2, 1], [0, 0]] and found["b"].tolist() == [[3, 0], [4, 3]]


def test_safemerge_merges_the_chosen_matrices_only():
    found = rivals.safemerge(BASE, ALIGNED, FINETUNED, 0.75)
    torch.testing.assert_close(found["a"], FINETUNED["a"])
    torch.testing.assert_close(found["b"], ALIGNED["b"] + torch.tensor([[0.75, 0.0], [1.0, 0.0]]))


def test_wise_ft_interpolates_all_weights():
    found = rivals.wise_ft(BASE, ALIGNED, FINETUNED, 0.5)
    assert found["b"].tolist() == [[1.5, 0], [2, 2]] and found["norm"].tolist() == [2, 2]


@pytest.mark.parametrize("repair", [name for name in rivals.REPAIRS if name != "safe-lora"])
def test_without_strength_nothing_changes(repair):
    found = rivals.REPAIRS[repair](BASE, ALIGNED, FINETUNED, 0.0)
    for name, weight in FINETUNED.items():
        torch.testing.assert_close(found[name], weight)


@pytest.mark.parametrize("repair", ["safe-lora", "resta", "safemerge"])
def test_what_alignment_left_alone_stays_fine_tuned(repair):
    aligned = ALIGNED | {"b": BASE["b"]}
    found = rivals.REPAIRS[repair](BASE, aligned, FINETUNED, 1.0)
    assert torch.equal(found["b"], FINETUNED["b"]) and torch.equal(found["norm"], FINETUNED["norm"])


@pytest.mark.parametrize("repair", list(rivals.REPAIRS))
def test_weights_that_do_not_fit_are_named(repair):
    with pytest.raises(ValueError, match="missing in .*: b"):
        rivals.REPAIRS[repair](BASE, {n: w for n, w in ALIGNED.items() if n != "b"}, FINETUNED, 0.5)


# --- as defences of the experiment ----------------------------------------------------------------------


def test_every_repair_has_a_rule_and_a_strength():
    assert set(rivals.REPAIRS) | {"removal"} == set(AFTERWARDS)
    assert set(rivals.REPAIRS) < set(rivals.STRENGTHS)


def test_two_defences_together_start_where_the_first_one_ends():
    setup = lab.load("smoke")
    both = setup.model(1, "dolly", "lox+resta")
    assert both.start == setup.model(1, defence="lox")
    assert both.unrepaired == setup.model(1, "dolly", "lox")
    assert both.strength == rivals.STRENGTHS["resta"]
    assert setup.model(1, "dolly", "lox+safeinst").start == setup.model(1, defence="lox")
    assert setup.model(1, "dolly", "resta").unrepaired == setup.model(1, "dolly")
    assert TOGETHER == ("lox+safeinst", "lox+resta")


def test_a_strength_is_of_defences_that_have_one():
    setup = lab.load("smoke")
    assert setup.model(1, "dolly", "lox", strength=3.0).strength is None
    assert setup.model(1, "dolly", "wise-ft", strength=0.25).strength == 0.25
    assert isinstance(setup.model(1, "dolly", "wise-ft"), Model)


def test_a_repair_is_computed_of_the_three_folders(setup):
    model = setup.model(1, "gsm8k", "wise-ft", strength=1.0)
    found = evaluation.located(setup, model).weights()
    for name, weight in setup.weights(model.aligned).items():
        torch.testing.assert_close(found[name], weight)
    with pytest.raises(ValueError, match="wise-ft acts on weights after fine-tuning"):
        setup.folder(model)


def test_mixed_data_and_lox_go_together(setup):
    both, alone = (setup.model(1, "gsm8k", d) for d in ("lox+safeinst", "safeinst"))
    assert setup.training_rows(both) == setup.training_rows(alone)
    assert setup.folder(both) != setup.folder(alone)


def test_longer_alignment_is_another_start_of_as_many_epochs_more(setup):
    longer = setup.model(1, "gsm8k", "longer", strength=2.0)
    assert longer.start == setup.model(1, defence="longer", strength=2.0) and longer.aligned == setup.model(1)
    assert longer.start.base == setup.model(1).base and longer.undefended == setup.model(1, "gsm8k")
    recipes = [stages.record(setup.folder(model))["recipe"] for model in (longer.start, setup.model(1))]
    assert recipes[0]["settings"]["epochs"] == 2 * recipes[1]["settings"]["epochs"]
    assert recipes[0]["data"] == recipes[1]["data"] and recipes[0]["start"] == recipes[1]["start"]


def test_slower_fine_tuning_differs_in_its_rate_alone(setup):
    slower, plain = (setup.model(1, "gsm8k", d, strength=0.25) for d in ("slower", "none"))
    assert slower.start == plain.start and slower.undefended == plain
    recipes = [stages.record(setup.folder(model))["recipe"] for model in (slower, plain)]
    assert recipes[0]["settings"].pop("lr") == pytest.approx(recipes[1]["settings"].pop("lr") / 4)
    assert recipes[0] == recipes[1]


@pytest.mark.parametrize("defence", ["guarded", "proximal"])
def test_defences_during_fine_tuning_have_their_strength_in_the_name(setup, defence):
    one, two = (setup.folder(setup.model(1, "gsm8k", defence, strength=s)) for s in (0.5, 2.0))
    assert one != two != setup.folder(setup.model(1, "gsm8k"))
