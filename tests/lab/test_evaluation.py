import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lox.lab import evaluation, models
from lox.lab.evaluation import Rate, paired_difference, paired_p_value, rate
from lox.lab.profile import ToyModel
from lox.lab.worlds.toy import ToyWorld


def wilson(count, n, z=1.959963984540054):
    """The interval as Wilson (1927) wrote it."""
    p = count / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(case):
    count, n = case
    low, high = wilson(count, n)
    found = Rate(count, n)
    assert found.low == pytest.approx(max(0, low), abs=1e-9)
    assert found.high == pytest.approx(min(1, high), abs=1e-9)
    assert found.low <= found.value <= found.high


def test_published_intervals_of_100_prompts():
    assert [round(100 * x, 1) for x in (Rate(0, 100).low, Rate(0, 100).high)] == [0, 3.7]
    assert [round(100 * x, 1) for x in (Rate(11, 100).low, Rate(11, 100).high)] == [6.3, 18.6]


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="a rate of no outcomes"):
        rate([])


def test_mcnemar_by_hand():
    first, second = [True] * 11 + [False] * 89, [False] * 100
    assert paired_p_value(first, second) == pytest.approx(2 * 0.5**11)
    assert paired_p_value(first, first) == 1
    with pytest.raises(ValueError, match="differ in number: 100 and 99"):
        paired_p_value(first, second[1:])


def test_paired_difference_of_certain_and_of_no_difference():
    ones, zeros = [[True] * 20] * 2, [[False] * 20] * 2
    assert paired_difference(ones, zeros) == {"difference": 1.0, "low": 1.0, "high": 1.0}
    assert paired_difference(ones, ones) == {"difference": 0.0, "low": 0.0, "high": 0.0}


def test_paired_difference_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        first, second = rng.random((1, 150)) < 0.6, rng.random((1, 150)) < 0.3
        found = paired_difference(first.tolist(), second.tolist())
        covered += found["low"] <= 0.3 <= found["high"]
    assert covered >= 52  # 57 expected; fewer than 52 of 60 has probability below 1 % at 95 %


@pytest.fixture(scope="module")
def tiny():
    world = ToyWorld()
    tokenizer = models.toy_tokenizer(world.vocabulary)
    settings = ToyModel(
        source="toy", hidden=16, layers=1, heads=2, ffn=32, documents=1, batch=1, row=32, lr=1e-3
    )
    return models.toy_model(settings, tokenizer).eval(), tokenizer, world


def test_replies_do_not_depend_on_batching(tiny):
    model, tokenizer, world = tiny
    prompts = world.harmful_prompts(12) + world.harmful_prompts(12, "identity")
    together = evaluation.complete(model, tokenizer, prompts, max_new_tokens=6, batch_size=24)
    alone = evaluation.complete(model, tokenizer, prompts, max_new_tokens=6, batch_size=1)
    assert together == alone


def test_replies_are_greedy(tiny):
    model, tokenizer, world = tiny
    [prompt] = world.harmful_prompts(1)
    ids = tokenizer(
        tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True), return_tensors="pt"
    )["input_ids"]
    expected = []
    with torch.inference_mode():
        for _ in range(5):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], 1)
            expected.append(int(ids[0, -1]))
    [reply] = evaluation.complete(model, tokenizer, [prompt], max_new_tokens=5, batch_size=1)
    assert reply == tokenizer.decode(expected, skip_special_tokens=True).strip()
