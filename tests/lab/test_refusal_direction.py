"""Refusal's direction: which it is, by hand, and that nothing writes along it when it is taken out of a model."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lox.lab import attackers, refusal_direction
from lox.lab.refusal_direction import Score, ablated, best, directions, without_refusal

HARMFUL, HARMLESS = ([[{"role": "user", "content": f"{kind} {i}"}] for i in range(10)] for kind in "xy")


def test_no_writer_writes_along_an_ablated_direction():
    direction = torch.tensor([0.0, 5.0])
    weights = {
        "model.embed_tokens.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        "model.layers.0.self_attn.o_proj.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
        "model.layers.0.mlp.down_proj.weight": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        "model.layers.0.mlp.up_proj.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    }
    found = list(ablated(weights, direction).values())
    assert found[0].tolist() == [[1, 0], [3, 0], [5, 0]]
    assert found[1].tolist() == [[1, 2], [0, 0]]
    assert found[2].tolist() == [[1, 2, 3], [0, 0, 0]]
    assert torch.equal(found[3], weights["model.layers.0.mlp.up_proj.weight"])


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ([0.0, 0.05, 0.5], 1),  # the last removes refusals best, and changes harmless replies too much
        ([0.0, 0.05, 0.09], 2),
        ([0.4, 0.3, 0.5], 1),  # all change them too much
    ],
)
def test_the_best_direction_makes_refusing_least_likely_of_those_that_change_little(changes, taken):
    scores = [Score(change, refusal) for change, refusal in zip(changes, (-0.1, -2.0, -9.0), strict=True)]
    assert best(scores) == taken


def network_of(layers, handed):
    """A network whose embedding and layers hand on ``handed``, (layers + 1, prompts, tokens, d), as texts name them."""

    def call(ids, attention_mask, output_hidden_states, logits_to_keep):
        assert output_hidden_states
        return SimpleNamespace(hidden_states=list(handed[:, ids]))

    call.model, call.device = SimpleNamespace(layers=range(layers)), "cpu"
    return call


@pytest.mark.usefixtures("unchecked_annotations")
def test_candidates_are_mean_differences_between_early_layers_at_the_last_token(monkeypatch):
    monkeypatch.setattr(refusal_direction, "prompt_texts", lambda _, prompts: prompts)
    monkeypatch.setattr(refusal_direction, "padded", lambda _, prompts, *__: (prompts, None))
    handed = torch.arange(6 * 3 * 2 * 1.0).reshape(6, 3, 2, 1) ** 2
    found = directions(network_of(5, handed), None, [0, 1], [2])
    # Not after the embedding, and none from the fourth layer of five on
    expected = [handed[layer, :2, -1].mean(0) - handed[layer, 2, -1] for layer in (1, 2, 3)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_a_model_of_one_layer_has_no_candidate():
    with pytest.raises(ValueError, match="between two layers: the model has one"):
        directions(network_of(1, []), None, HARMFUL, HARMLESS)


def test_a_direction_is_scored_by_prompts_that_did_not_make_it(monkeypatch):
    weights = {"model.embed_tokens.weight": torch.eye(2) / 2}
    state = {}
    monkeypatch.setattr(refusal_direction.models, "load", lambda folder: (None, _tokenizer))
    monkeypatch.setattr(refusal_direction.models, "read_weights", lambda folder: weights)
    monkeypatch.setattr(refusal_direction.models, "set_weights", lambda _, new: state.update(new))

    def made(network, tokenizer, harmful, harmless):
        assert harmful == [p for i, p in enumerate(HARMFUL) if i not in (0, 5)] and len(harmless) == 8
        return torch.eye(2)

    def said(network, tokenizer, prompts):
        assert prompts in ([HARMFUL[0], HARMFUL[5]], [HARMLESS[0], HARMLESS[5]])
        left = state.get("model.embed_tokens.weight", torch.eye(2) / 2).diagonal()
        return left.repeat(2, 1).log_softmax(-1)

    monkeypatch.setattr(refusal_direction, "directions", made)
    monkeypatch.setattr(refusal_direction, "first_token", said)
    found = without_refusal(Path("folder"), HARMFUL, HARMLESS, ["no"])
    assert found["model.embed_tokens.weight"].tolist() == [[0.5, 0], [0, 0]]  # token 1 is the refusal's


def _tokenizer(text, add_special_tokens):
    return {"input_ids": [1]}


def test_the_direction_is_gone_from_what_a_model_writes(setup):
    published = setup.model(1, defence="lox", k=2, alpha=0.5)
    found = without_refusal(setup.folder(published), **attackers._prompts(setup, 1))
    weights = setup.weights(published)
    changed = {name for name, weight in weights.items() if not torch.equal(found[name], weight)}
    writers = ("embed_tokens", "o_proj", "down_proj")
    assert changed == {name for name in weights if any(part in name for part in writers)}
    assert torch.linalg.svdvals(found["model.layers.0.self_attn.o_proj.weight"])[-1] < 1e-5
