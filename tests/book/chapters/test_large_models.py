"""The estimates' formulas against what can be counted and measured on real modules."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from lox.book.chapters.large_models import estimates, lengths, measure
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
    # Of more, torch's attention packs keys as only some processors can, even where it is held to those of old ones.
    tokens = 32
    hidden = torch.zeros(1, tokens, config.hidden_size, dtype=torch.bfloat16, requires_grad=True)
    angles = built.model.rotary_emb(hidden, torch.arange(tokens)[None])
    weights = {parameter.untyped_storage().data_ptr() for parameter in built.parameters()}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        built.model.layers[0](hidden, position_embeddings=angles, attention_mask=None)
    measured = sum(storage.nbytes() for storage in saved.values()) / tokens
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
    toy = models.toy_model(settings, models.toy_tokenizer([f"w{i}" for i in range(50)]), seed=0)
    assert measure.parameters(toy.config) == toy.num_parameters()
    tied = LlamaConfig(**SMALL | {"tie_word_embeddings": True})
    assert measure.parameters(tied) == LlamaForCausalLM(tied).num_parameters()


LARGE = {name: profile.load(name) for name in ("llama2-7b", "mistral-7b")}


def test_the_recorded_lengths_cover_every_run_of_every_large_profile():
    known = set(lengths.recorded()["task"])
    assert all(set(estimates.runs(one)) <= known for one in LARGE.values())


@pytest.mark.usefixtures("unchecked_annotations")
def test_lengths_are_means_over_prompt_and_reply():
    class World:
        def preferences(self, n, seed, reply, source):
            assert source == "hh-rlhf"
            return [{"prompt": [_said(10)], "chosen": [_said(2)], "rejected": [_said(4)]}]

        def examples(self, task, n, seed, reply):
            return [{"prompt": [_said(5)], "completion": [_said(n)]}]

        def harmful_prompts(self, n, task):
            return [[_said(8)]]

        def digest(self):
            return "made up"

    found = lengths.mean_lengths(World()).set_index("task")["characters"]
    assert found["alignment"] == 13
    assert found["identity"] == 15
    assert found["pure_bad"] == 8 + 240


def _said(characters: int) -> dict:
    return {"role": "user", "content": "x" * characters}


def test_hours_scale_with_speed_and_length():
    read = lengths.recorded()
    options = {"tflops": 300.0, "utilisation": 0.4, "characters": 4.0}
    hours = estimates.hours(LARGE, read, **options)["hours"]
    faster = estimates.hours(LARGE, read, **options | {"tflops": 600.0})["hours"]
    longer = estimates.hours(LARGE, read.assign(characters=2 * read["characters"]), **options)["hours"]
    assert faster.tolist() == pytest.approx((hours / 2).tolist())
    assert longer.tolist() == pytest.approx((2 * hours).tolist())


def test_robustness_needs_every_attack_twice():
    hours = estimates.hours(LARGE, lengths.recorded(), tflops=300.0, utilisation=0.4, characters=4.0).assign(
        hours=1.0
    )
    (llama, _) = estimates.robustness(LARGE, hours, 2000.0).to_dict("records")
    one = LARGE["llama2-7b"]
    assert llama["gpu_hours"] == len(one.seeds) * (1 + 2 * len(one.attacks))
    assert llama["all"] == pytest.approx(llama["training"] + llama["replies"])


def test_what_is_held_for_the_weights_is_what_gpus_share():
    held = estimates.held(LARGE).set_index("profile")["gb"]
    parts = estimates.memory(LARGE).query("part in ['weights', 'gradients', 'AdamW states']")
    for (name, _), gb in parts.groupby(["profile", "task"])["gb"].sum().items():
        assert held[name] == pytest.approx(gb * estimates.gpus(LARGE[name]))


def test_total_batches_are_the_products_that_are_shown():
    for row in estimates.settings(LARGE).to_dict("records"):
        a, b, c = map(int, row["batch"].split(" × "))
        assert a * b * c == row["total"]
