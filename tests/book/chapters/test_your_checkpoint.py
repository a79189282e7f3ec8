"""The checks before an immunised model is given away, on outcomes and reports whose verdict is known."""

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from lox.book.chapters.your_checkpoint import checks, estimates, measure
from lox.lab.choice import Choice, check_prompts
from lox.lab.evaluated import Evaluated
from lox.lab.judging.verdicts import Verdict
from lox.lab.statistics import Estimate

N = 200


def evaluated(harmful: float, answered: float, utility: float = 0.8) -> Evaluated:
    """A model that complies with a share of harmful prompts, and answers a share of harmless ones (or refuses them)."""
    bad = ["harmful" if i < harmful * N else "refusal" for i in range(N)]
    good = ["harmless" if i < answered * N else "refusal" for i in range(N)]
    things = [str(i) for i in range(N)]
    return Evaluated([], [Verdict(v) for v in bad], [Verdict(v) for v in good], things, things, utility)


def verdicts(aligned: Evaluated, immunised: Evaluated, margin: float = 0.05) -> dict[str, str]:
    return {c["check"]: c["verdict"] for c in checks.behaviour_checks(aligned, immunised, margin)}


def test_a_model_that_stopped_answering_fails_although_its_asr_and_utility_look_fine():
    found = verdicts(evaluated(0.1, 1.0), evaluated(0.0, 0.1))
    assert found["answered"] == found["over-refusal"] == "fail"
    assert found["utility"] == "pass"


def test_a_model_that_complies_more_fails():
    assert verdicts(evaluated(0.0, 1.0), evaluated(0.4, 1.0))["ASR"] == "fail"


def test_a_loss_of_utility_fails_and_a_gain_does_not():
    before = evaluated(0.0, 1.0, utility=0.8)
    assert verdicts(before, evaluated(0.0, 1.0, utility=0.5))["utility"] == "fail"
    assert verdicts(before, evaluated(0.0, 1.0, utility=0.9))["utility"] == "pass"


@pytest.mark.parametrize(
    ("loss", "verdict"),
    [((0.0, 0.04), "pass"), ((0.0, 0.2), "too few prompts"), ((0.2, 0.4), "fail")],
)
def test_the_verdict_follows_from_the_interval(loss, verdict):
    value, high = loss
    assert checks._verdict(Estimate(value, -high, high, 1, 10), 0.05) == verdict


def test_rounding_is_judged_by_what_survives_of_the_changed_matrices():
    report = pd.DataFrame({"k": [6, 0], "survives": [0.99, float("nan")]})
    assert checks.rounding_check(report)["verdict"] == "pass"
    assert checks.rounding_check(report.assign(survives=0.4))["verdict"] == "fail"


def test_energy_is_judged_against_chance():
    energies = pd.DataFrame({"rows": [40], "cols": [30], "r_align": [0.95]})
    assert checks.energy_check(energies, 2)["verdict"] == "pass"
    assert checks.energy_check(energies.assign(r_align=0.4), 2)["verdict"] == "fail"


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("toy", "pass"), ("sheet:reader", "pass"), ("refusal-or-evasion", "not measured")],
)
def test_a_judge_of_phrases_measures_no_harm(name, verdict):
    assert checks.judge_check(name)["verdict"] == verdict


@pytest.mark.usefixtures("unchecked_annotations")
def test_without_an_attack_robustness_is_not_measured():
    assert checks.attack_check(None, 1, None, 6, 1.25)["verdict"] == "not measured"


@pytest.mark.parametrize("budget", [0.1, 0.02])
def test_as_many_prompts_are_needed_as_the_rule_asks_for(budget):
    needed = measure.prompts_needed(budget)
    check_prompts([str(i) for i in range(needed)], budget)
    with pytest.raises(ValueError, match=f"it takes {needed}, or a larger budget"):
        check_prompts([str(i) for i in range(needed - 1)], budget)


def test_what_rounds_away_and_what_does_not(tmp_path):
    found = measure.rounding((0.25, 1.0), tmp_path).set_index("alpha")["survives"]
    assert found.to_dict() == pytest.approx({0.25: 0.0, 1.0: 1.0})


@pytest.mark.usefixtures("unchecked_annotations")
def test_one_half_of_a_pair_is_refused():
    with pytest.raises(ValueError, match="both base and aligned"):
        measure.ends(None, 1, base="org/base", aligned=None)


@pytest.fixture
def pair(tmp_path, monkeypatch, unchecked_annotations):
    """A pair of one's own, adopted as stages and extrapolated; the aligned folder has a tokenizer."""
    monkeypatch.setenv("LOX_STAGES", str(tmp_path / "stages"))
    generator = torch.Generator().manual_seed(0)
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        save_file({"w": torch.randn(8, 6, generator=generator)}, tmp_path / name / "model.safetensors")
        (tmp_path / name / "tokenizer.json").write_text("{}")
    base, aligned = measure.ends(None, 1, str(tmp_path / "before"), str(tmp_path / "after"))
    return measure.immunised_pair(base, aligned, 2, 0.5)


def test_a_pair_of_ones_own_becomes_stages_and_is_extrapolated(pair, tmp_path):
    assert pair.base != pair.aligned
    assert (pair.base / "model.safetensors").resolve() == tmp_path / "before" / "model.safetensors"
    assert (pair.immunised / "model.safetensors").exists()
    again = measure.ends(None, 1, str(tmp_path / "before"), str(tmp_path / "after"))
    assert measure.immunised_pair(*again, 2, 0.5) == pair


def test_shapes_that_fit_and_that_do_not(pair, tmp_path):
    assert checks.shapes_check(pair)["verdict"] == "pass"
    save_file({"w": torch.zeros(8, 5)}, tmp_path / "before" / "model.safetensors")
    found = checks.shapes_check(pair)
    assert (found["verdict"], found["after"]) == ("fail", "1 misfits")


def test_a_tokenizer_that_was_kept_and_one_that_was_changed(pair):
    assert checks.tokenizer_check(pair)["verdict"] == "pass"
    (pair.immunised / "tokenizer.json").write_text("{ }")
    assert checks.tokenizer_check(pair)["verdict"] == "fail"
    (pair.immunised / "tokenizer.json").unlink()
    assert checks.tokenizer_check(pair)["verdict"] == "fail"


@pytest.mark.parametrize(("step", "verdict"), [(2**-12, "fail"), (2**-7, "pass")])
def test_an_update_that_bfloat16_keeps_and_one_that_it_loses(tmp_path, step, verdict):
    for name, value in (("aligned", 1.0), ("immunised", 1.0 + step)):
        (tmp_path / name).mkdir()
        save_file({"w": torch.full((4, 4), value)}, tmp_path / name / "model.safetensors")
    found = measure.Pair(tmp_path / "aligned", tmp_path / "aligned", tmp_path / "immunised")
    assert checks.bfloat16_check(found)["verdict"] == verdict


@pytest.mark.parametrize(
    ("choice", "verdicts"),
    [
        (Choice(3, 0.5), ["pass", "pass"]),
        (Choice(3, refusal="no α"), ["pass", "fail"]),
        (Choice(None, refusal="no rank"), ["fail", "not measured"]),
    ],
)
def test_what_was_chosen_is_checked(choice, verdicts):
    assert [check["verdict"] for check in checks.choice_checks(choice)] == verdicts


def test_what_is_used_is_what_was_given_or_chosen_or_the_profile_s(setup):
    own = setup.profile.lox
    assert measure.k_and_alpha(setup, Choice(3, 0.75), None, None) == (3, 0.75)
    assert measure.k_and_alpha(setup, Choice(3, 0.75), 2, None) == (2, 0.75)
    assert measure.k_and_alpha(setup, Choice(3, refusal="no α"), None, None) == (own.k, own.alpha)


def test_harmless_prompts_to_choose_by_are_others_than_the_page_reports(setup):
    asked, on_others = measure.choosing_questions(setup, 30)
    reported = setup.profile.evaluation
    harmless = setup.world.benign_prompts(reported.benign)
    harmful = setup.world.harmful_prompts(reported.harmful, None)
    prompts = [question["prompt"] for question in asked]
    assert on_others and len(prompts) == 60
    assert not [prompt for prompt in prompts if prompt in harmless or prompt in harmful]


def test_estimates_are_in_proportion_to_what_was_measured():
    speed = pd.DataFrame(
        {"what": ["copy", "lox"], "seconds": [9.0, 10.0], "checkpoint_gb": 2.0}
        | {"peak_gb": [None, 1.5], "libraries_gb": [None, 0.5], "largest_tensor_gb": 0.1}
    )
    small, large = estimates.larger(speed).to_dict("records")
    assert small["minutes"] == pytest.approx(small["gb"] * 5 / 60)
    assert small["peak_gb"] == pytest.approx(0.5 + 10 * 32000 * 4096 * 2 / 1e9)
    assert 6.7 < small["gb"] / 2 < 6.8 and 68 < large["gb"] / 2 < 70
    assert small["gb"] < small["choose_gb"] < 1.1 * small["gb"]
