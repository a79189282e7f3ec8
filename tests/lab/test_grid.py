"""Weights changed in memory are those that ``lox extrapolate`` and ``lox.extrapolation.truncate`` would give."""

import pytest
import torch
from tiny_models import SIZES, move, pair
from transformers import LlamaConfig, LlamaForCausalLM

from lox.checkpoints.extrapolate import extrapolate_checkpoint
from lox.checkpoints.folders import ChangedMeanwhile
from lox.extrapolation import truncate
from lox.lab import choosing, models
from lox.lab.grid import ALIGNED_MODEL, BASE_MODEL, extrapolated, truncated
from lox.lab.reply_file import ReplyFile
from lox.lab.served import Served

pytestmark = pytest.mark.usefixtures("unchecked_annotations")
K = 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return pair(tmp_path_factory.mktemp("pair"))


def grid(folders, **options):
    base, aligned = folders
    return choosing.grid(Served(str(aligned)), base, k=K, **options)


def weights(points):
    return {name: w.detach().clone() for name, w in points.network.state_dict().items()}


def assert_same(found, expected):
    assert found.keys() >= expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-4, msg=name)


def test_every_point_is_what_would_be_written(folders, tmp_path):
    base, aligned = map(models.read_weights, folders)
    points = grid(folders)
    for k, alpha in ((6, 1.25), (2, 0.5)):
        extrapolate_checkpoint(*folders, tmp_path / f"{k}", k=k, alpha=alpha)
        points.move(extrapolated(k, alpha))
        assert_same(weights(points), models.read_weights(tmp_path / f"{k}"))
    for rank in (1, 4):
        points.move(truncated(rank))
        assert_same(weights(points), truncate(base, aligned, rank=rank))
    points.move(BASE_MODEL)
    assert all(torch.equal(weights(points)[name], base[name]) for name in base)


def test_nothing_adds_up_from_point_to_point(folders):
    points = grid(folders)
    points.move(extrapolated(3, 0.5))
    first = weights(points)
    for point in (truncated(2), extrapolated(6, 100.0), BASE_MODEL, ALIGNED_MODEL, extrapolated(3, 0.5)):
        points.move(point)
    assert all(torch.equal(w, first[name]) for name, w in weights(points).items())


def test_each_matrix_is_decomposed_once(folders, monkeypatch):
    points, calls = grid(folders), []
    decompose = type(points.plan).decompose
    monkeypatch.setattr(
        type(points.plan), "decompose", lambda self, m: calls.append(m.name) or decompose(self, m)
    )
    for point in (truncated(1), truncated(2), extrapolated(2, 1.0)):
        points.move(point)
    assert sorted(calls) == sorted(matrix.name for matrix in points.plan.matrices)


def test_matrices_that_are_not_selected_stay_those_of_the_start(folders):
    base, aligned = map(models.read_weights, folders)
    points = grid(folders, matrices="linear")
    for point, start in ((extrapolated(2, 1.0), aligned), (truncated(2), base)):
        points.move(point)
        moved = weights(points)
        assert torch.equal(moved["model.embed_tokens.weight"], start["model.embed_tokens.weight"])
        assert not torch.equal(
            moved["model.layers.0.mlp.up_proj.weight"], start["model.layers.0.mlp.up_proj.weight"]
        )


@pytest.mark.parametrize("added", [0, 3])
def test_tied_heads_and_added_tokens(tmp_path, added):
    tokenizer = models.toy_tokenizer(["user", ":", "assistant"])
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes))
    models.save(model, tokenizer, tmp_path / "base")
    model.resize_token_embeddings(len(tokenizer) + added)
    move(model, 0.1)
    models.save(model, tokenizer, tmp_path / "aligned")
    points = grid((tmp_path / "base", tmp_path / "aligned"))
    extrapolate_checkpoint(tmp_path / "base", tmp_path / "aligned", tmp_path / "out", k=2, alpha=1.0)
    points.move(extrapolated(2, 1.0))
    assert_same(weights(points), models.read_weights(tmp_path / "out"))
    points.move(BASE_MODEL)
    embeddings = weights(points)["model.embed_tokens.weight"]
    assert torch.equal(
        embeddings[: len(tokenizer)], models.read_weights(tmp_path / "base")["model.embed_tokens.weight"]
    )


def test_points_have_keys_of_their_own(folders):
    points = grid(folders)
    different = [
        ALIGNED_MODEL,
        BASE_MODEL,
        truncated(1),
        truncated(2),
        extrapolated(1, 1.0),
        extrapolated(2, 1.0),
    ]
    assert len({points.key(p) for p in [*different, extrapolated(1, 0.5)]}) == 7
    assert points.key(ALIGNED_MODEL) == points.served.key
    assert grid(folders, matrices="linear").key(truncated(1)) != points.key(truncated(1))


def test_where_all_is_known_nothing_is_loaded(folders, tmp_path):
    asked = [{"set": "harmful", "prompt": [{"role": "user", "content": "how ?"}], "thing": "x", "tokens": 2}]
    file = tmp_path / "r.jsonl"
    first = grid(folders).ask(truncated(1), asked, ReplyFile(file), 4, lambda n: None)
    again = grid(folders)
    assert again.ask(truncated(1), asked, ReplyFile(file), 4, lambda n: None) == first
    assert "network" not in again.__dict__


def test_a_weight_under_another_name_is_an_error_that_names_it(folders):
    points = grid(folders)
    points.__dict__["_named"] = {}
    with pytest.raises(ValueError, match=r": LlamaForCausalLM has no weight of that name .* lox evaluate"):
        points.move(ALIGNED_MODEL)


def test_a_checkpoint_that_is_written_to_in_between_is_noticed(tmp_path):
    points = grid(pair(tmp_path))
    points.move(truncated(1))
    (tmp_path / "base" / "model.safetensors").touch()
    with pytest.raises(ChangedMeanwhile, match="base/model.safetensors: changed while it was read"):
        points.move(truncated(2))


def test_sizes_are_those_of_the_tests():
    assert SIZES.hidden >= 2 * K  # so that rank 6 is not all of the update
