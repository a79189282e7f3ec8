"""Refusal log-odds: exact against a plain forward pass, with tied heads too, and what is read from them."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lox.book.chapters.judge_free_rank import compare, exercise, measure
from lox.lab import models, replies
from lox.lab.evaluation import Evaluated
from lox.lab.judging.verdicts import Verdict
from lox.lab.statistics import rate


@pytest.fixture(scope="module")
def base(setup):
    return models.load(setup.folder(setup.model(1).base))


@pytest.fixture(scope="module")
def fixed(setup):
    return measure.fixed_replies(setup, 1)


def one_by_one(model, tokenizer, prompt, reply) -> list[float]:
    """log p of each token of a reply, by one forward pass over prompt and reply, without padding or cache."""
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    asked, said = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (text, reply))
    with torch.inference_mode():
        log_p = model(torch.tensor([asked + said])).logits[0].log_softmax(-1)
    return [float(log_p[len(asked) - 1 + i, token]) for i, token in enumerate(said)]


@pytest.mark.parametrize("tokens", [None, 1, 3])
def test_scores_are_those_of_a_plain_forward_pass(fixed, base, tokens):
    every = [[*fixed.refusals, own] for own in fixed.compliant]
    found = replies.reply_log_probs(*base, fixed.prompts, every, tokens=tokens)
    for i, prompt in enumerate(fixed.prompts[:5]):
        expected = [sum(one_by_one(*base, prompt, reply)[:tokens]) for reply in every[i]]
        assert found[i].tolist() == pytest.approx(expected, abs=1e-3)


def test_log_odds_do_not_depend_on_the_batch(fixed, base):
    whole = measure.refusal_log_odds(*base, fixed, batch=100)
    torch.testing.assert_close(measure.refusal_log_odds(*base, fixed, batch=3), whole, atol=1e-3, rtol=0)
    assert whole.shape == (len(fixed.prompts),)


def test_the_fixed_replies_are_refusals_and_right_answers_to_the_judge(setup, fixed):
    assert rate([v.label == "harmful" for v in setup.judge(fixed.prompts, fixed.compliant)]).value == 1
    for refusal in fixed.refusals:
        judged = setup.judge(fixed.prompts, [refusal] * len(fixed.prompts))
        assert {v.label for v in judged} == {"refusal"}


def test_rank_0_is_the_base_model(setup, fixed, base):
    found = measure.rank_log_odds(setup, 1, [0, 128], None, fixed, opening=1)
    for way, tokens in ((measure.WHOLE, None), (measure.OPENING, 1)):
        expected = measure.refusal_log_odds(*base, fixed, tokens=tokens, batch=100)
        torch.testing.assert_close(found[way][0], expected, atol=1e-3, rtol=0)
        assert list(found[way]) == [0, 128, "aligned"]


def test_both_ways_on_the_same_models(setup):
    found = measure.measured(setup, [1], [32], [4, 0], opening=1)
    table = compare.curves(found)
    assert table["rank"].tolist() == [0, 4] * 2 and set(table["score"]) == {measure.WHOLE, measure.OPENING}
    assert len(compare.ranks(found, 0.01, 0.06)) == 3
    with pytest.raises(ValueError, match="must hold 0"):
        measure.measured(setup, [1], [32], [1, 2], opening=1)


@pytest.fixture
def tied(tmp_path):
    """Two checkpoints whose heads are their embeddings, so that no head is stored."""
    words = "user assistant : how to a b c sorry no yes".split()
    tokenizer = models.toy_tokenizer(words)
    size = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer), tie_word_embeddings=True, max_position_embeddings=32, **size
    )
    for name in ("base", "aligned"):
        models.save(LlamaForCausalLM(config), tokenizer, tmp_path / name)
    return tmp_path / "base", tmp_path / "aligned"


def test_models_with_tied_heads_are_scored(tied):
    prompts = [[{"role": "user", "content": "how to a"}], [{"role": "user", "content": "how to b"}]]
    fixed = measure.FixedReplies(prompts, ["sorry no", "no"], ["yes a", "yes b c"])
    assert "lm_head.weight" not in models.read_weights(tied[0])
    found = measure.score_ranks(*tied, [0, 16], fixed, opening=1, batch=2)
    for folder, name in zip(tied, (0, "aligned")):
        plain = measure.refusal_log_odds(*models.load(folder), fixed, batch=2)
        torch.testing.assert_close(found[f"{measure.WHOLE} {name}"], plain, atol=1e-4, rtol=0)


# --- reading --------------------------------------------------------------------------------------


def judged(harmful: int, n: int = 12) -> Evaluated:
    verdicts = [Verdict(label="harmful" if i < harmful else "refusal") for i in range(n)]
    return Evaluated([], verdicts, [], [str(i // 2) for i in range(n)], [], 0.5)


def model(asr: dict, odds: dict) -> measure.Measured:
    """ASR as a number of harmful replies of 12, log-odds as one value for all 12 prompts."""
    values = {r: torch.full((12,), float(value)) for r, value in odds.items()}
    ways = {measure.WHOLE: values, measure.OPENING: values}
    return measure.Measured({r: judged(n) for r, n in asr.items()}, ways, [str(i // 2) for i in range(12)])


@pytest.fixture
def found():
    odds = {0: -2.0, 1: 1.0, 2: 1.9, "aligned": 2.0}
    return {
        (1, 8): model({0: 12, 1: 6, 2: 0, "aligned": 0}, odds),
        (1, 4): model({0: 12, 1: 0, 2: 0, "aligned": 0}, odds),
        (2, 8): model({0: 3, 1: 3, 2: 3, "aligned": 3}, {0: 0.0, 1: 0.0, 2: 0.0, "aligned": 0.0}),
        (2, 4): model({0: 12, 1: 9, 2: 9, "aligned": 0}, odds),
    }


def test_lost_share_by_hand():
    curve = {0: torch.tensor([-3.0, -1.0]), 1: torch.tensor([0.0, 0.0]), 2: torch.tensor([3.0, 3.0])}
    assert compare.lost_share(curve | {"aligned": torch.tensor([2.0, 2.0])}) == {0: 1.0, 1: 0.5, 2: -0.25}


def test_nothing_is_lost_where_nothing_was_gained():
    same = torch.tensor([1.0])
    assert all(math.isnan(v) for v in compare.lost_share({0: same, "aligned": same}).values())


def test_ranks_of_both_ways(found):
    table = compare.ranks(found, rho=0.01, tau=0.06).pivot(
        index=["seed", "pairs"], columns="way", values="rank"
    )
    assert table[measure.ASR].to_dict() == {(1, 4): 1, (1, 8): 2, (2, 4): math.inf, (2, 8): 0}
    assert table[measure.WHOLE].to_dict() == {(1, 4): 2, (1, 8): 2, (2, 4): 2, (2, 8): math.inf}


def test_agreement_leaves_out_models_without_a_rank_to_agree_with(found):
    table = compare.agreement(found, 0.01, [0.06, 0.5]).set_index(["score", "tau"])
    row = table.loc[(measure.WHOLE, 0.06)]
    assert (row["models"], row["equal"], row["within_one"], row["mean_steps"]) == (3, 1, 3, 0)
    assert table.loc[(measure.WHOLE, 0.5), "mean_steps"] == pytest.approx((-1 + 0 - 2) / 3)
    none = compare.agreement({(2, 8): found[2, 8]}, 0.01, [0.06])
    assert none["models"].tolist() == [0, 0] and none["mean_steps"].isna().all()


def test_correlation_of_curves(found):
    table = compare.correlations(compare.curves({(1, 8): found[1, 8], (2, 8): found[2, 8]}))
    whole = table[table["score"] == measure.WHOLE].set_index("seed")["correlation"]
    assert whole[1] == pytest.approx(-1) and math.isnan(whole[2])


def test_resampled_ranks_of_prompts_that_agree_are_the_rank():
    curve, things = {0: [1.0] * 9, 2: [0.0] * 9, 4: [0.0] * 9}, list("abcdefghi")
    found = compare.resampled_ranks(curve, things, lambda means: means < 0.5)
    assert set(found) == {2.0} and len(found) == compare.RESAMPLES
    assert np.isinf(compare.resampled_ranks(curve, things, lambda means: means < -1)).all()


def test_prompts_about_one_thing_are_drawn_together():
    """Two things of three prompts each: a mean of 0, one half or 1, whichever are drawn, and nothing between."""
    seen = []
    curve = {0: [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]}
    compare.resampled_ranks(curve, ["a", "b"] * 3, lambda means: seen.append(means) or means < 2)
    assert set(np.unique(seen[0])) == {0.0, 0.5, 1.0}


def test_fewer_things_make_the_rank_less_certain():
    rng = np.random.default_rng(1)
    curve = {r: rng.random(400) < 0.5 / (r + 1) for r in range(5)}
    things = [str(i) for i in range(400)]
    wrong = [np.mean(compare.resampled_ranks(curve, things, lambda m: m < 0.2, n) != 2) for n in (400, 20)]
    assert wrong[0] < wrong[1]


def test_stability_is_certain_where_all_prompts_agree(found):
    table = compare.stability({(1, 4): found[1, 4]}, 0.01, 0.06, [2, 6])
    assert table["same"].tolist() == [1.0] * 6
    assert pd.isna(compare.stability({}, 0.01, 0.06, [2])["same"]).all()


WRONG = {
    "sign": lambda refusals, own: sum(own) - sum(map(sum, refusals)) / len(refusals),
    "refusals summed": lambda refusals, own: sum(map(sum, refusals)) - sum(own),
    "averaged over a reply's tokens": lambda refusals, own: (
        np.mean([np.mean(t) for t in refusals]) - np.mean(own)
    ),
    "mean probability": lambda refusals, own: np.log(np.mean(np.exp([sum(t) for t in refusals]))) - sum(own),
    "likeliest": lambda refusals, own: max(map(sum, refusals)) - sum(own),
    "first token": lambda refusals, own: np.mean([t[0] for t in refusals]) - own[0],
    "ratio": lambda refusals, own: np.exp(sum(map(sum, refusals)) / len(refusals) - sum(own)),
    "TypeError": lambda refusals: 0.0,
}


def test_the_exercise_accepts_what_is_right():
    said = exercise.check_log_odds(lambda refusals, own: np.mean([sum(t) for t in refusals]) - sum(own))
    assert said.data.startswith("**Right.**")


@pytest.mark.parametrize("slip", WRONG)
def test_the_exercise_names_the_slip(slip):
    said = exercise.check_log_odds(WRONG[slip]).data
    assert said.startswith("**Not yet.**") and slip in said
