"""Refusal log-odds: exact against a plain forward pass, and what is read from them."""

import math

import numpy as np
import pytest
import torch

from lox.book.chapters.judge_free_rank import measure
from lox.lab import evaluation, models
from lox.lab.evaluation import rate


@pytest.fixture(scope="module")
def base(setup):
    return models.load(setup.folder("base"))


def one_by_one(model, tokenizer, prompt, reply) -> list[float]:
    """log p of each token of a reply, by one forward pass over prompt and reply, without padding or cache."""
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    asked, said = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (text, reply))
    with torch.inference_mode():
        log_p = model(torch.tensor([asked + said])).logits[0].log_softmax(-1)
    return [float(log_p[len(asked) - 1 + i, token]) for i, token in enumerate(said)]


@pytest.mark.parametrize("tokens", [None, 1, 3])
def test_scores_are_those_of_a_plain_forward_pass(setup, base, tokens):
    fixed = measure.fixed_replies(setup)
    replies = [[*fixed.refusals, own] for own in fixed.compliant]
    found = evaluation.reply_log_probs(*base, fixed.prompts, replies, tokens=tokens)
    for i, prompt in enumerate(fixed.prompts[:5]):
        expected = [sum(one_by_one(*base, prompt, reply)[:tokens]) for reply in replies[i]]
        assert found[i].tolist() == pytest.approx(expected, abs=1e-3)


def test_log_odds_do_not_depend_on_the_batch(setup, base):
    fixed = measure.fixed_replies(setup)
    whole = measure.refusal_log_odds(*base, fixed, batch=100)
    torch.testing.assert_close(measure.refusal_log_odds(*base, fixed, batch=3), whole, atol=1e-3, rtol=0)
    assert whole.shape == (len(fixed.prompts),)


def test_the_fixed_replies_are_refusals_and_right_answers_to_the_judge(setup):
    fixed = measure.fixed_replies(setup)
    assert rate([v.label == "harmful" for v in setup.judge(fixed.prompts, fixed.compliant)]).value == 1
    for refusal in fixed.refusals:
        judged = setup.judge(fixed.prompts, [refusal] * len(fixed.prompts))
        assert {v.label for v in judged} == {"refusal"}


def test_rank_0_is_the_base_and_full_rank_the_aligned_models_matrices(setup, base):
    found = measure.rank_log_odds(setup, 1, [0, 128])
    fixed = measure.fixed_replies(setup)
    torch.testing.assert_close(found[0], measure.refusal_log_odds(*base, fixed, batch=100), atol=1e-3, rtol=0)
    assert list(found) == [0, 128, "aligned"]


def test_lost_share_by_hand():
    curve = {0: torch.tensor([-3.0, -1.0]), 1: torch.tensor([0.0, 0.0]), 2: torch.tensor([3.0, 3.0])}
    assert measure.lost_share(curve | {"aligned": torch.tensor([2.0, 2.0])}) == {0: 1.0, 1: 0.5, 2: -0.25}


def test_nothing_is_lost_where_nothing_was_gained():
    same = torch.tensor([1.0])
    assert all(math.isnan(v) for v in measure.lost_share({0: same, "aligned": same}).values())


def test_resampled_ranks_of_prompts_that_agree_are_the_rank():
    curve = {0: [1.0] * 9, 2: [0.0] * 9, 4: [0.0] * 9}
    found = measure.resampled_ranks(curve, lambda means: means < 0.5)
    assert set(found) == {2.0} and len(found) == measure.RESAMPLES
    assert np.isinf(measure.resampled_ranks(curve, lambda means: means < -1)).all()


def test_fewer_prompts_make_the_rank_less_certain():
    rng = np.random.default_rng(1)
    curve = {r: rng.random(400) < 0.5 / (r + 1) for r in range(5)}
    found = [measure.resampled_ranks(curve, lambda m: m < 0.2, prompts=n) for n in (400, 20)]
    wrong = [np.mean(ranks != 2) for ranks in found]
    assert wrong[0] < wrong[1]
