"""The pipeline on the smoke profile: a few training steps, so nothing here is a claim about safety."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lox import extrapolation
from lox.lab import rows, setup, stages


def test_models_are_made_once_and_shared(setup):
    first = setup.folder("attacked", seed=1, task="gsm8k")
    before = {path: path.stat().st_mtime_ns for path in stages.root().rglob("stage.json")}
    assert setup.folder("attacked", seed=1, task="gsm8k") == first
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert stages.used()[first] == stages.record(first)
    assert len(list((stages.root() / "base").glob("*/stage.json"))) == 1


def test_settings_that_are_the_profiles_name_the_same_model(setup):
    settings = setup.profile.attacks["gsm8k"]
    plain = setup.folder("attacked", seed=1, task="gsm8k")
    assert setup.folder("attacked", seed=1, task="gsm8k", epochs=settings.epochs, lr=settings.lr) == plain
    assert setup.folder("attacked", seed=1, task="gsm8k", lr=settings.lr / 2) != plain
    assert setup.folder("attacked", seed=2, task="gsm8k") != plain


def test_the_lox_model_is_equation_3(setup):
    base, aligned = setup.weights("base"), setup.weights("aligned", seed=1)
    expected = extrapolation.extrapolate(base, aligned, k=3, alpha=0.5)
    found = setup.weights("lox", seed=1, k=3, alpha=0.5)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-6)


def test_an_attack_starts_from_the_defended_model(setup):
    lox = setup.folder("attacked", seed=1, task="gsm8k", defence="lox", alpha=0.5)
    none = setup.folder("attacked", seed=1, task="gsm8k")
    assert lox != none
    assert setup.folder("attacked", seed=1, task="gsm8k", defence="full-rank", alpha=0.5) not in (lox, none)
    assert setup.folder("attacked", seed=1, task="gsm8k", defence="safeinst") not in (lox, none)


def test_a_row_has_every_column_and_no_other(setup):
    row = rows.row(setup, 1, "gsm8k", "lox")
    assert set(row) == set(rows.COLUMNS)
    assert row["asr_low"] <= row["asr"] <= row["asr_high"]
    assert row["n"] == setup.profile.evaluation.harmful
    assert 0 < row["r_ft"] < 1
    assert (row["k"], row["alpha"]) == (setup.profile.lox.k, setup.profile.lox.alpha)


def test_before_fine_tuning_r_ft_is_r_align(setup):
    row = rows.row(setup, 1)
    assert row["r_ft"] == pytest.approx(row["r_align"], abs=1e-6)
    assert row["k"] is None


def test_rank_curve_runs_from_base_to_aligned(setup):
    curve = setup.rank_curve(1, [0, 128])
    base = setup.evaluate(setup.folder("base"))
    assert [r["reply"] for r in curve[0].replies] == [r["reply"] for r in base.replies]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda s: s.folder("atacked", seed=1, task="gsm8k"),
            "unknown kind of model 'atacked': the kinds are base",
        ),
        (
            lambda s: s.folder("attacked", seed=1, task="gsm"),
            "unknown task 'gsm': the tasks of smoke are gsm8k",
        ),
        (
            lambda s: s.folder("attacked", seed=1, task="gsm8k", defence="safelora"),
            "unknown defence 'safelora': the defences are none, lox",
        ),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(setup, call, message):
    with pytest.raises(ValueError, match=message):
        call(setup)


def test_paired_comparison_of_a_defence_with_itself_is_zero(setup):
    found = rows.compare(setup, "gsm8k", [1], "none", "none")
    assert (found["difference"], found["p"]) == (0, [1.0])


def test_computed_weights_reach_a_model_with_a_tied_head():
    config = LlamaConfig(
        vocab_size=11, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    source, target = LlamaForCausalLM(config), LlamaForCausalLM(config)
    saved = {name: t for name, t in source.state_dict().items() if name != "lm_head.weight"}
    setup._set_weights(target, saved)
    ids = torch.arange(5).unsqueeze(0)
    torch.testing.assert_close(target(ids).logits, source(ids).logits, rtol=0, atol=0)
