"""The estimates' formulas against what can be counted and measured on real modules."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from lox.book.chapters.large_models import measure
from lox.lab import models, profile

SMALL = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "vocab_size": 100,
    "tie_word_embeddings": False,
}
FINETUNING = profile.Training(examples=1000, epochs=3, lr=1e-5, batch=2, max_length=512)
DPO = profile.Alignment(**FINETUNING.model_dump())


@pytest.mark.parametrize("name", measure.CONFIGS)
def test_weights_and_operations_are_those_counted_on_the_model(name):
    config = measure.CONFIGS[name]
    weights, operations = measure.counted(config, 128)
    assert measure.parameters(config) == weights
    assert operations == pytest.approx(
        6 * measure.multiplied(config) * 128, rel=0.01
    )  # the rest is attention


def test_published_sizes():
    """The numbers of weights that the model cards on the Hub show."""
    assert {name: measure.parameters(config) for name, config in measure.CONFIGS.items()} == {
        "meta-llama/Llama-2-7b-hf": 6_738_415_616,
        "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    }


def test_every_large_profile_has_its_configuration():
    launched = [loaded for loaded in map(profile.load, profile.names()) if loaded.accelerate]
    assert {loaded.model.source for loaded in launched} == set(measure.CONFIGS)


@pytest.mark.parametrize(
    ("model", "config"),
    [
        (LlamaForCausalLM, LlamaConfig(**SMALL)),
        (MistralForCausalLM, MistralConfig(**SMALL, num_key_value_heads=2)),
    ],
)
def test_what_a_layer_keeps_is_what_autograd_saves(model, config):
    built = model(config).to(torch.bfloat16)
    hidden = torch.zeros(1, 256, config.hidden_size, dtype=torch.bfloat16, requires_grad=True)
    angles = built.model.rotary_emb(hidden, torch.arange(256)[None])
    weights = {parameter.untyped_storage().data_ptr() for parameter in built.parameters()}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        built.model.layers[0](hidden, position_embeddings=angles, attention_mask=None)
    measured = sum(storage.nbytes() for storage in saved.values()) / 256
    assert measure.layer_activations(config) == pytest.approx(measured, rel=0.02)


def test_what_is_sharded_falls_with_the_processes_and_the_rest_does_not():
    config = measure.CONFIGS["meta-llama/Llama-2-7b-hf"]
    one, eight = (measure.memory(config, FINETUNING, processes) for processes in (1, 8))
    sharded = ("weights", "gradients", "AdamW states")
    for part in one:
        assert one[part] == pytest.approx(eight[part] * (8 if part in sharded else 1))
    assert sum(one[part] for part in sharded) == pytest.approx(16 * 6.738415616)


def test_dpo_reads_two_replies_and_the_reference_once():
    config = measure.CONFIGS["meta-llama/Llama-2-7b-hf"]
    plain, dpo = (measure.training_flops(config, run, 100.0) for run in (FINETUNING, DPO))
    assert dpo == pytest.approx(2 * plain * (8 * 3 + 2) / (8 * 3))
    few, many = (measure.memory(config, run, 8)["logits"] for run in (FINETUNING, DPO))
    assert many == pytest.approx(2 * few)


def test_replies_read_all_weights_for_every_new_token_of_a_batch():
    config = measure.CONFIGS["meta-llama/Llama-2-7b-hf"]
    asked = profile.load("llama2-7b").evaluation.model_copy(
        update={
            "harmful": 30,
            "benign": 3,
            "utility": 64,
            "new_tokens": 10,
            "utility_tokens": 100,
            "batch": 32,
        }
    )
    assert measure.reply_seconds(config, asked, 2 * 6.738415616) == pytest.approx(2 * 10 + 2 * 100)


def test_the_toy_models_weights_are_counted_too():
    settings = profile.load("toy").model
    toy = models.toy_model(settings, models.toy_tokenizer([f"w{i}" for i in range(50)]))
    assert measure.parameters(toy.config) == toy.num_parameters()
    tied = LlamaConfig(**SMALL | {"tie_word_embeddings": True})
    assert measure.parameters(tied) == LlamaForCausalLM(tied).num_parameters()
