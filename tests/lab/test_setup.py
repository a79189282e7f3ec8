"""The pipeline on the smoke profile: a few training steps, so nothing here is a claim about safety."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lox import extrapolation
from lox.lab import evaluation, models, rows, stages


def test_models_are_made_once_and_shared(setup):
    model = setup.model(1, "gsm8k")
    first = setup.folder(model)
    before = {path: path.stat().st_mtime_ns for path in stages.root().rglob("stage.json")}
    assert setup.folder(model) == first
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert stages.used()[first] == stages.record(first)


def test_the_lox_model_is_equation_3(setup):
    model = setup.model(1, defence="lox", k=3, alpha=0.5)
    base, aligned = setup.weights(model.base), setup.weights(model.aligned)
    expected = extrapolation.extrapolate(base, aligned, k=3, alpha=0.5)
    written = setup.weights(model)
    assert written.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(written[name], expected[name], rtol=0, atol=1e-6)


def test_a_course_ends_where_the_run_ends(setup):
    model = setup.model(1, "pure_bad", epochs=2)
    steps = setup.steps(model)
    course = setup.course(model, [0, 1, steps])
    end = models.read_weights(course[steps])
    for name, weight in setup.weights(model).items():
        torch.testing.assert_close(end[name], weight, rtol=0, atol=0)
    with pytest.raises(ValueError, match=f"the run has {steps} steps: there is no model after {steps + 1}"):
        setup.course(model, [steps + 1])


def test_a_row_has_every_column_and_no_other(setup):
    row = rows.row(setup, setup.model(1, "gsm8k", "lox"))
    assert set(row) == set(rows.COLUMNS)
    assert row["asr_low"] <= row["asr"] <= row["asr_high"]
    assert row["n"] == setup.profile.evaluation.harmful
    assert 0 < row["r_ft"] < 1
    assert (row["k"], row["alpha"]) == (setup.profile.lox.k, setup.profile.lox.alpha)


def test_before_fine_tuning_r_ft_is_r_align(setup):
    row = rows.row(setup, setup.model(1))
    assert row["r_ft"] == pytest.approx(row["r_align"], abs=1e-6)
    assert row["k"] is None


def test_the_row_before_identity_shifting_is_asked_in_persona(setup):
    before = evaluation.evaluate(setup, setup.model(1), "identity")
    after = evaluation.evaluate(setup, setup.model(1, "identity"))
    prompts = [[r["prompt"] for r in e.replies if r["set"] == "harmful"] for e in (before, after)]
    assert prompts[0] == prompts[1]
    assert rows.row(setup, setup.model(1), "identity")["form"] == "identity"


def test_rank_curve_runs_from_base_to_aligned(setup):
    curve = evaluation.rank_curve(setup, 1, [0, 128])
    base = evaluation.evaluate(setup, setup.model(1).base)
    assert [r["reply"] for r in curve[0].replies] == [r["reply"] for r in base.replies]


def test_removal_is_evaluated_on_computed_weights(setup):
    row = rows.row(setup, setup.model(1, "gsm8k", "removal"))
    plain = rows.row(setup, setup.model(1, "gsm8k"))
    assert row["r_align"] == plain["r_align"] and row["r_ft"] != plain["r_ft"]


def test_computed_weights_reach_a_model_with_a_tied_head():
    config = LlamaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    source, target = LlamaForCausalLM(config), LlamaForCausalLM(config)
    saved = {name: t for name, t in source.state_dict().items() if name != "lm_head.weight"}
    models.set_weights(target, saved)
    ids = torch.arange(5).unsqueeze(0)
    torch.testing.assert_close(target(ids).logits, source(ids).logits, rtol=0, atol=0)
