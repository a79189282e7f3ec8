"""Estimates against what can be counted: the toy model's weights, and the arithmetic on a small model."""

import pytest
from transformers import LlamaConfig

from lox import estimates, models
from lox.profile import Alignment, ToyModel, Training

CONFIG = LlamaConfig(
    vocab_size=100, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
)
RUN = {"examples": 10, "lr": 1.0, "batch": 2, "max_length": 16}


def test_parameters_are_those_of_the_model_itself():
    tokenizer = models.toy_tokenizer(["a", "b"])
    settings = ToyModel(
        source="toy", hidden=16, layers=2, heads=2, ffn=32, documents=1, batch=1, row=8, lr=0.1
    )
    model = models.toy_model(settings, tokenizer)
    assert estimates.parameters(model.config) == sum(p.numel() for p in model.parameters())


def test_the_paper_models_have_seven_billion():
    counts = {name: estimates.parameters(config) for name, config in estimates.CONFIGS.items()}
    assert counts["llama2-7b"] == 6_738_415_616  # the published checkpoint's
    assert counts["mistral-7b"] == 7_248_023_552


def test_more_processes_share_weights_but_not_activations():
    alone, shared = (estimates.memory(CONFIG, Training(**RUN), processes) for processes in (1, 4))
    n = estimates.parameters(CONFIG)
    assert sum(alone[name] for name in estimates.BYTES) * estimates.GIB == pytest.approx(16 * n)
    for name in alone:
        assert shared[name] == pytest.approx(alone[name] / (4 if name in estimates.BYTES else 1))


def test_a_pair_is_two_sequences():
    tuning, dpo = estimates.memory(CONFIG, Training(**RUN), 1), estimates.memory(CONFIG, Alignment(**RUN), 1)
    assert dpo["logits"] == 2 * tuning["logits"] == 2 * 2 * 4 * (2 * 16) * 100 / estimates.GIB


def test_operations_by_hand():
    n = estimates.parameters(CONFIG)
    assert estimates.operations(CONFIG, Training(epochs=3, **RUN), 5) == 8 * n * 10 * 5 * 3
    assert estimates.operations(CONFIG, Alignment(epochs=3, **RUN), 5) == 2 * n * 10 * 5 * 26
