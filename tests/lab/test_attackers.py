"""Attackers who do not train, by hand on tiny matrices, and what they get out of a model of the smoke profile."""

import json

import pytest
import torch
from safetensors.torch import save_file

from lox.extrapolation import extrapolate, truncate
from lox.lab import attackers, models
from lox.lab.evaluation import evaluate


@pytest.fixture
def pair():
    """A base and an aligned model of one matrix: two directions, of lengths 4 and 1."""
    base = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "norm": torch.ones(2)}
    aligned = {"w": base["w"] + torch.tensor([[4.0, 0.0], [0.0, 1.0]]), "norm": torch.full((2,), 2.0)}
    return base, aligned


@pytest.fixture
def folders(tmp_path):
    def written(**weights):
        for name, tensors in weights.items():
            (tmp_path / name).mkdir()
            save_file(tensors, tmp_path / name / "model.safetensors")
        return [tmp_path / name for name in weights]

    return written


@pytest.mark.parametrize(
    "name", ["lora", "lora-", "lora-x", "lora--1", "lora-0", "lora-1.5", "pair", "jailbreak"]
)
def test_an_unknown_attacker_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match="unknown attacker .*: there are nothing, base") as caught:
        attackers.split(name)
    assert "\n" not in str(caught.value)


def test_a_name_is_a_kind_and_perhaps_a_number():
    assert attackers.split("lora-8") == ("lora", 8.0) and attackers.split("undo-1.5") == ("undo", 1.5)
    assert attackers.split("refusal-direction") == ("refusal-direction", None)
    assert [attackers.trains(name) for name in ("lora-8", "rate-4", "full", "int4", "undo-1")] == [
        1,
        1,
        1,
        0,
        0,
    ]


def test_who_has_the_base_takes_the_safety_part_from_lox_as_from_alignment(pair, folders):
    base, aligned = pair
    lox = extrapolate(base, aligned, k=1, alpha=0.5)
    files = folders(base=base, aligned=aligned, lox=lox)
    expected = base["w"] + torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    for published in files[1:]:
        torch.testing.assert_close(attackers.undone(published, files[0], 1, 1.0)["w"], expected)
    twice = attackers.undone(files[1], files[0], 1, 2.0)["w"]
    torch.testing.assert_close(twice, base["w"] + torch.tensor([[-4.0, 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize("times", [1.0, 3.0])
def test_who_has_the_aligned_and_the_lox_weights_needs_no_base(pair, folders, times):
    base, aligned = pair
    lox = extrapolate(base, aligned, k=1, alpha=0.5)
    found = attackers.beyond(*folders(aligned=aligned, lox=lox), scale=times / 0.5)
    torch.testing.assert_close(found["w"], extrapolate(base, aligned, k=1, alpha=-times)["w"])
    assert torch.equal(found["norm"], aligned["norm"])


def test_rounding_by_hand():
    row = torch.zeros(1, 2 * attackers.BLOCK)
    row[0, :3] = torch.tensor([7.0, 3.4, -0.6])
    row[0, attackers.BLOCK] = 0.01
    found = attackers.round_trip(row, 4)
    torch.testing.assert_close(found[0, :3], torch.tensor([7.0, 3.0, -1.0]))
    assert float(found[0, attackers.BLOCK]) == pytest.approx(0.01)  # a block has its own scale
    assert not found[0, 3 : attackers.BLOCK].any()
    with pytest.raises(ValueError, match="rows of 33 weights are no whole number of blocks of 32"):
        attackers.round_trip(torch.ones(2, 33), 8)


def test_eight_bits_lose_less_than_four_and_embeddings_are_left_alone(folders):
    generator = torch.Generator().manual_seed(0)
    names = ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "lm_head.weight")
    weights = {name: torch.randn(4, 64, generator=generator) for name in names}
    (folder,) = folders(published=weights)
    eight, four = (attackers.rounded(folder, bits) for bits in (8, 4))
    lost = [float((found[names[1]] - weights[names[1]]).norm()) for found in (eight, four)]
    assert 0 < 10 * lost[0] < lost[1]
    assert all(torch.equal(four[name], weights[name]) for name in (names[0], names[2]))


@pytest.mark.parametrize(
    ("end", "begun"),
    [("", "<bos> user : x assistant : sure ,"), ("\n", "<bos> user : x assistant :\nsure ,")],
)
def test_a_template_begins_the_reply_only_where_one_is_asked_for_and_behind_white_space(end, begun):
    tokenizer = models.toy_tokenizer(["user", "assistant", ":", "sure", ",", "x"])
    prompt = [{"role": "user", "content": "x"}]
    asking = f"{{% if add_generation_prompt %}}{{{{ {json.dumps(end)} }}}}{{% endif %}}"
    tokenizer.chat_template += asking
    asked = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    tokenizer.chat_template = attackers.begun_template(tokenizer.chat_template, asked, "sure ,")
    texts = [tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=g) for g in (1, 0)]
    assert texts == [begun, "<bos> user : x"]


# --- on a model ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(setup):
    return setup.model(1, defence="lox", k=2, alpha=0.5)


def test_begun_replies_begin_so_and_other_prompts_are_asked_as_ever(setup, published):
    found = attackers.after(setup, "prefill", published, 2, "sure ,")
    plain = evaluate(setup, published)
    harmful = [r["reply"] for r in found.replies if r["set"] == "harmful"]
    assert len(harmful) == len(plain.verdicts) and all(r.startswith("sure ,") for r in harmful)
    assert found.benign == plain.benign and found.utility == plain.utility


def test_every_attacker_who_does_not_train_gets_replies(setup, published):
    for attacker in (*attackers.UNTRAINED, "undo-4", "pair-4"):
        found = attackers.after(setup, attacker, published, 2, "sure ,")
        assert len(found.verdicts) == setup.profile.evaluation.harmful


def test_the_pair_says_nothing_where_only_the_aligned_model_was_published(setup):
    aligned = setup.model(1)
    assert attackers.after(setup, "pair-4", aligned, 2, "sure ,") == evaluate(setup, aligned)


def test_an_attacker_who_trains_is_not_asked_for_weights_by_arithmetic(setup):
    with pytest.raises(ValueError, match="lora-8 trains"):
        attackers.after(setup, "lora-8", setup.model(1), 2, "sure ,")


def test_taking_everything_back_is_the_base(setup):
    base, aligned = (setup.weights(m) for m in (setup.model(1).base, setup.model(1)))
    back = extrapolate(base, aligned, k="full", alpha=-1.0)
    torch.testing.assert_close(back["lm_head.weight"], base["lm_head.weight"], rtol=0, atol=1e-5)
    kept = truncate(base, aligned, rank=2)
    without = extrapolate(base, aligned, k=2, alpha=-1.0)
    both = kept["lm_head.weight"] + without["lm_head.weight"] - base["lm_head.weight"]
    torch.testing.assert_close(both, aligned["lm_head.weight"], rtol=0, atol=1e-5)
