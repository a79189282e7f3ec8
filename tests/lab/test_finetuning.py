"""Fine-tuning with one thing changed: what it is by hand, and that a run on the smoke profile does it."""

import math

import pytest
import torch

from lox.lab import attackers, callbacks, finetuning, models

E1 = torch.tensor([[1.0], [0.0]])
UPDATE = torch.tensor([[3.0, 4.0], [5.0, 6.0]])


def test_the_two_sides_of_an_update_by_hand():
    inside, outside = (finetuning.projected(UPDATE, E1, side) for side in finetuning.SIDES)
    assert inside.tolist() == [[3, 4], [0, 0]] and outside.tolist() == [[0, 0], [5, 6]]


def test_without_a_subspace_everything_is_outside():
    assert not finetuning.projected(UPDATE, None, "inside").any()
    assert torch.equal(finetuning.projected(UPDATE, None, "outside"), UPDATE)
    with pytest.raises(ValueError, match="a side is inside or outside, not 'top'"):
        finetuning.projected(UPDATE, E1, "top")


class TwoWeights(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(2, 2))
        self.norm = torch.nn.Parameter(torch.ones(2))


@pytest.mark.parametrize(
    ("side", "w", "norm"),
    [("inside", [[3, 4], [0, 0]], [1, 1]), ("outside", [[0, 0], [5, 6]], [8, 9])],
)
def test_a_restriction_holds_whatever_the_optimiser_does(side, w, norm):
    model = TwoWeights()
    change = callbacks.Restriction(model, {"w": E1}, side)
    model.w.grad, model.norm.grad = UPDATE.clone(), torch.ones(2)
    change.on_pre_optimizer_step(None, None, None)
    assert model.w.grad.tolist() == w
    with torch.no_grad():
        model.w.copy_(UPDATE)
        model.norm.copy_(torch.tensor([8.0, 9.0]))
    change.on_optimizer_step(None, None, None)
    assert model.w.tolist() == w and model.norm.tolist() == norm


def test_a_leash_pulls_back_in_proportion():
    model = TwoWeights()
    change = callbacks.Leash(model, 0.5)
    with torch.no_grad():
        model.w.copy_(UPDATE)
    model.w.grad, model.norm.grad = torch.ones(2, 2), torch.zeros(2)
    change.on_pre_optimizer_step(None, None, None)
    assert model.w.grad.tolist() == [[2.5, 3], [3.5, 4]] and not model.norm.grad.any()


def test_the_guarded_loss_by_hand():
    ratios = torch.tensor([0.0, 1.0, 1.0])
    places = torch.tensor([1, 2, 6])
    first, second, later = (2 / b * math.log(1 + math.exp(-b * x)) for b, x in ((0.5, 0), (2, 1), (0.1, 1)))
    found = finetuning.guarded_loss(ratios, places, 1.0)
    assert float(found) == pytest.approx((first + second + later) / 3, rel=1e-5)


def test_the_guarded_loss_holds_the_first_tokens_back_more_than_later_ones():
    ratios = torch.ones(2, requires_grad=True)
    finetuning.guarded_loss(ratios, torch.tensor([1, 6]), 4.0).backward()
    first, later = ratios.grad.abs()
    assert first < 0.5 * later
    start = torch.zeros(2, requires_grad=True)
    finetuning.guarded_loss(start, torch.tensor([1, 6]), 4.0).backward()
    torch.testing.assert_close(start.grad, torch.tensor([-0.5, -0.5]))


@pytest.mark.parametrize("rank", [0, 129])
def test_a_rank_that_there_is_not_is_refused_by_name(setup, rank):
    weights = setup.weights(setup.model(1))
    said = "1 or more, not 0" if rank == 0 else r"rank 129 is larger than model\.layers\.0\..*128"
    with pytest.raises(ValueError, match=said) as caught:
        finetuning.check_lora_rank(weights, rank)
    assert "\n" not in str(caught.value)


# --- runs -------------------------------------------------------------------------------------------


def differences(setup, model, attacker):
    folders = attackers.course(setup, model, attacker, 2, [2])
    assert list(folders) == [0, 2]
    start, end = (models.read_weights(folders[step]) for step in (0, 2))
    return {name: end[name] - start[name] for name in start}


@pytest.fixture(scope="module")
def model(setup):
    return setup.model(1, "pure_bad", lr=1e-2)


def test_a_lora_changes_the_layers_matrices_by_its_rank(setup, model):
    found = differences(setup, model, "lora-3")
    for name, delta in found.items():
        if delta.ndim == 2 and "layers." in name:
            assert 1 <= torch.linalg.matrix_rank(delta, rtol=1e-3) <= 3
        else:
            assert not delta.any()


def test_full_fine_tuning_is_the_setups_own(setup, model):
    assert attackers.course(setup, model, "full", 2, [2]) == setup.course(model, [2])


@pytest.mark.parametrize("side", finetuning.SIDES)
def test_a_run_stays_on_its_side_of_the_published_models_subspace(setup, side):
    model = setup.model(1, "pure_bad", "lox", k=2, lr=1e-2)
    found = differences(setup, model, side)
    published, base = setup.weights(model.start), setup.weights(model.base)
    bases = finetuning.safety_bases(base, published, 2)
    for name, delta in found.items():
        other = "outside" if side == "inside" else "inside"
        wrong = finetuning.projected(delta, bases.get(name), other)
        assert float(wrong.norm()) <= 1e-4 * float(delta.norm()) + 1e-6, name
    assert any(delta.any() for delta in found.values())


def test_a_leash_keeps_the_model_nearer_to_its_start(setup, model):
    start = setup.weights(model.start)
    made = [setup.finetuned_by(model, finetuning.proximal, {"strength": s}) for s in (1e-6, 100.0)]
    far, near = (
        sum(float((weights[n] - start[n]).norm() ** 2) for n in start)
        for weights in map(models.read_weights, made)
    )
    assert 0 < near < far


def test_the_guard_compares_with_the_start_and_not_with_the_model_as_it_is(setup, model, monkeypatch):
    ratios, loss = [], finetuning.guarded_loss

    def watched(log_ratios, places, strength):
        ratios.append(float(log_ratios.detach().abs().max()))
        return loss(log_ratios, places, strength)

    monkeypatch.setattr(finetuning, "guarded_loss", watched)
    setup.finetuned_by(model, finetuning.guarded, {"strength": 3.5})
    assert ratios[0] < 1e-4 < 0.1 < ratios[-1]


def test_the_method_and_its_options_are_in_the_name_and_leave_other_names_alone(setup, model):
    plain = setup.folder(model)
    found = {setup.finetuned_by(model, finetuning.lora, {"rank": rank}) for rank in (1, 2)}
    assert len(found) == 2 and plain not in found
    assert setup.folder(model) == plain


def test_several_processes_are_refused(setup, model):
    profile = setup.profile.model_copy(update={"accelerate": "fsdp"})
    with pytest.raises(ValueError, match="lora trains in one process, and smoke in several"):
        type(setup)(profile).finetuned_by(model, finetuning.lora, {"rank": 1})
