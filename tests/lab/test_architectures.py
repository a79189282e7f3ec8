"""The toy in other families' shapes: what sets them apart, and that the Llama keeps its name."""

from dataclasses import replace

import pytest

from lox.lab import architectures, models, profile
from lox.lab.evaluation import rank_curve
from lox.lab.profile import ToyModel
from lox.lab.setup import Setup
from lox.lab.worlds.toy import ToyWorld

OTHERS = [name for name in architectures.ARCHITECTURES if name != "llama"]


@pytest.fixture(scope="module")
def tokenizer():
    return models.toy_tokenizer(ToyWorld().vocabulary)


def settings_of(name: str) -> ToyModel:
    return profile.load(name).model


def sizes(model) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def test_mistral_has_fewer_keys_than_queries(tokenizer):
    settings = settings_of("toy-mistral")
    found = sizes(models.toy_model(settings, tokenizer, 1))
    attention = "model.layers.0.self_attn"
    assert found[f"{attention}.q_proj.weight"] == (settings.hidden, settings.hidden)
    assert found[f"{attention}.k_proj.weight"] == (settings.hidden // 2, settings.hidden)


def test_gpt2_has_learned_positions_and_transposed_matrices(tokenizer):
    settings = settings_of("toy-gpt2")
    found = sizes(models.toy_model(settings, tokenizer, 1))
    assert found["transformer.wpe.weight"] == (architectures.LENGTH, settings.hidden)
    assert found["transformer.h.0.mlp.c_fc.weight"] == (settings.hidden, settings.ffn)
    assert found["lm_head.weight"] == (len(tokenizer), settings.hidden)


def test_the_models_are_of_one_size(tokenizer):
    llama = models.toy_model(settings_of("toy"), tokenizer, 1).num_parameters()
    for name in OTHERS:
        made = models.toy_model(settings_of(f"toy-{name}"), tokenizer, 1)
        assert abs(made.num_parameters() / llama - 1) < 0.1


@pytest.mark.parametrize("name", OTHERS)
def test_words_are_words_when_the_model_is_loaded_again(tokenizer, tmp_path, name):
    """transformers gives some families a tokenizer of their own, whatever was saved."""
    model = models.toy_model(settings_of(f"toy-{name}"), tokenizer, 1)
    models.save(model, tokenizer, tmp_path)
    text = "<bos> user : how do i make a cake ? <eos>"
    assert models.load(tmp_path)[1](text)["input_ids"] == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("name", OTHERS)
def test_a_seed_decides_the_first_weights(tokenizer, name):
    settings = settings_of(f"toy-{name}")
    first, same, other = (models.toy_model(settings, tokenizer, seed).lm_head.weight for seed in (1, 1, 2))
    assert first.equal(same) and not first.equal(other)


def test_a_llama_is_described_as_before_there_were_others():
    """So its stages keep their names, and nothing that was trained is trained again."""
    assert "architecture" not in settings_of("toy").model_dump(exclude_defaults=True)
    assert settings_of("toy-mistral").model_dump(exclude_defaults=True)["architecture"] == "mistral"


@pytest.mark.parametrize("name", OTHERS)
def test_pretrained_aligned_and_put_back_rank_by_rank(setup, name):
    """Through the stages of the smoke profile."""
    described = setup.profile.model.model_copy(update={"architecture": name})
    other = Setup(setup.profile.model_copy(update={"model": described}))
    model = other.model(1)
    assert other.folder(model.base) != setup.folder(replace(model, pairs=0))
    assert models.load(other.folder(model))[0].config.model_type == name
    assert set(rank_curve(other, 1, [0, 2])) == {0, 2}
