import pytest
import torch

from lox.lab import models, replies
from lox.lab.profile import ToyModel
from lox.lab.worlds.toy import ToyWorld


@pytest.fixture(scope="module")
def tiny():
    world = ToyWorld()
    tokenizer = models.toy_tokenizer(world.vocabulary)
    settings = ToyModel(
        source="toy", hidden=16, layers=1, heads=2, ffn=32, documents=1, batch=1, row=32, lr=1e-3
    )
    return models.toy_model(settings, tokenizer, seed=0).eval(), tokenizer, world


def test_replies_do_not_depend_on_batching(tiny):
    model, tokenizer, world = tiny
    prompts = world.harmful_prompts(12) + world.harmful_prompts(12, "identity")
    together = replies.complete(model, tokenizer, prompts, max_new_tokens=6, batch_size=24)
    alone = replies.complete(model, tokenizer, prompts, max_new_tokens=6, batch_size=1)
    assert together == alone


def test_replies_are_greedy_whatever_the_model_comes_with(tiny):
    model, tokenizer, world = tiny
    model.generation_config.update(do_sample=True, num_beams=3, repetition_penalty=5.0, temperature=0.3)
    [prompt] = world.harmful_prompts(1)
    ids = tokenizer(
        tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True), return_tensors="pt"
    )["input_ids"]
    expected = []
    with torch.inference_mode():
        for _ in range(5):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], 1)
            expected.append(int(ids[0, -1]))
    [reply] = replies.complete(model, tokenizer, [prompt], max_new_tokens=5, batch_size=1)
    assert reply == tokenizer.decode(expected, skip_special_tokens=True).strip()
