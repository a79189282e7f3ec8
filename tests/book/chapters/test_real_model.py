"""Recorded verdicts read anew: on made-up ones whose answer is known."""

import numpy as np
import pandas as pd
import pytest

from lox.book.chapters.real_model import measure

JUDGE = "refusal-or-evasion"


def made(verdicts: dict[tuple[str, str], np.ndarray]) -> pd.DataFrame:
    """A table of labels; (task, defence) -> (S, N) of labels."""
    rows = [
        {"seed": s + 1, "task": task, "defence": defence, "prompt": n, JUDGE: label}
        for (task, defence), labels in verdicts.items()
        for s, row in enumerate(labels)
        for n, label in enumerate(row)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def labels():
    harmful, refusal = "harmful", "refusal"
    without = np.array([[harmful] * 8 + [refusal] * 2] * 3)
    with_lox = np.array([[harmful] * 1 + ["harmless"] * 3 + [refusal] * 6] * 3)
    return made({("dolly", "none"): without, ("dolly", "lox"): with_lox})


def test_a_seed_without_a_prompt_is_an_error(labels):
    with pytest.raises(ValueError, match="seed 1 has no label for 1 of 10 prompts"):
        measure.attack_success(labels.drop(index=0), JUDGE)


def test_a_reply_without_a_verdict_is_an_error(labels):
    labels.loc[0, JUDGE] = None
    with pytest.raises(ValueError, match="seed 1 has no label for 1 of 10 prompts"):
        measure.attack_success(labels, JUDGE)


def test_attack_success_is_the_mean_over_seeds_and_says_each(labels):
    found = measure.attack_success(labels, JUDGE).set_index("defence")
    assert found.loc["none", "asr"] == pytest.approx(0.8)
    assert found.loc["lox", "each"] == pytest.approx([0.1] * 3)
    assert (found["low"] <= found["asr"]).all() and (found["asr"] <= found["high"]).all()
    assert found.loc["none", ["seeds", "n"]].tolist() == [3, 10]


def test_what_evades_was_recorded_as_harmless(labels):
    found = measure.kinds(labels).set_index("defence")
    assert found.loc["lox", ["harmful", "evasion", "refusal"]].tolist() == pytest.approx([0.1, 0.3, 0.6])


def test_two_readers_agree_on_what_both_have_scored():
    first = {"a": 5.0, "b": 1.0, "c": 4.0, "d": 2.0, "e": np.nan}
    second = {"a": 5.0, "b": 1.0, "c": 3.0, "d": 2.0, "e": 5.0, "f": 1.0}
    found = measure.agreement_by_score(first, second).set_index("least")
    assert found["n"].tolist() == [4, 4, 4]
    assert found.loc[5, "kappa"] == pytest.approx(1.0)
    assert found.loc[4, "same"] == pytest.approx(0.75)


def seeds(*asr: float) -> pd.DataFrame:
    return pd.DataFrame({"seed": range(1, len(asr) + 1), "n": 100, "asr": asr})


def test_over_seeds_alone_is_students_t():
    found = measure.over_seeds_alone(seeds(0.54, 0.51, 0.45), seeds(0, 0, 0))
    half = 4.302653 * np.std([0.54, 0.51, 0.45], ddof=1) / np.sqrt(3)
    assert found["difference"] == pytest.approx(0.5)
    assert [found["low"], found["high"]] == pytest.approx([0.5 - half, 0.5 + half])


def test_seeds_are_paired_in_whatever_order_they_stand():
    first = seeds(0.54, 0.51, 0.45)
    assert measure.over_seeds_alone(first, first[::-1])["each"] == [0, 0, 0]


def test_equal_differences_are_not_certain():
    found = measure.over_seeds_alone(seeds(0.1, 0.1, 0.1), seeds(0.12, 0.12, 0.12))
    assert found["low"] < found["difference"] < found["high"]


def test_one_seed_has_an_interval_without_end():
    found = measure.over_seeds_alone(seeds(0.5), seeds(0.1))
    assert found["low"] == -np.inf and found["high"] == np.inf


@pytest.fixture
def parts():
    asr = {
        ("all", "nothing"): 0.1,
        ("all", "whole"): 0.5,
        ("safety", "inside"): 0.2,
        ("safety", "outside"): 0.4,
    }
    return pd.DataFrame(
        {
            "task": "gsm8k",
            "defence": "none",
            "subspace": subspace,
            "part": part,
            "seed": seed,
            "n": 100,
            "asr": rate,
        }
        for (subspace, part), rate in asr.items()
        for seed in (1, 2)
    )


def test_the_share_of_the_rise_is_not_the_share_of_the_asr(parts):
    found = measure.lost_share(parts).set_index(["subspace", "part"])["share"]
    assert found["safety", "inside"] == pytest.approx(0.25)
    assert found["safety", "outside"] == pytest.approx(0.75)
    assert found["all", "nothing"] == 0


def test_without_damage_no_part_has_a_share(parts):
    harmless = parts.assign(asr=0.1)
    assert measure.lost_share(harmless)["share"].isna().all()


def test_contrasts_subtract_the_second_part_seed_by_seed(parts):
    pairs = pd.DataFrame(
        [{"task": "gsm8k", "defence": "none", "first": "all: whole", "second": "safety: outside"}]
    )
    (found,) = measure.contrasts(pairs, parts).to_dict("records")
    assert found["each"] == pytest.approx([0.1, 0.1])


def test_full_rank_is_compared_at_the_same_alpha_and_never_without_a_step():
    grid = pd.DataFrame(
        {"task": "alpaca", "choice": choice, "alpha": alpha, "seed": seed, "n": 100, "asr": asr}
        for choice, alpha, asr in (("full", 0.0, 0.5), ("6", 0.0, 0.5), ("full", 0.5, 0.2), ("6", 0.5, 0.3))
        for seed in (1, 2)
    )
    (found,) = measure.full_against_low(grid).to_dict("records")
    assert (found["alpha"], found["k"]) == (0.5, "6")
    assert found["difference"] == pytest.approx(-0.1)


def test_a_choice_that_lacks_a_seed_is_not_compared():
    grid = pd.DataFrame(
        {"task": "alpaca", "choice": choice, "alpha": 0.5, "seed": seed, "n": 100, "asr": 0.2}
        for choice, seed in (("full", 1), ("full", 2), ("6", 1))
    )
    assert measure.full_against_low(grid).empty
