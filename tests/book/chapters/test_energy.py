"""The chapter on energy: shares and angles by hand, their theorem, and its exercise."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

import lox
from lox.book.chapters.energy import exercise, measure

ALIGN = torch.diag(torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64))
UNIT = torch.eye(3, dtype=torch.float64)


def outer(i: int, j: int) -> torch.Tensor:
    return torch.outer(UNIT[i], UNIT[j])


def random_matrix(seed: int) -> torch.Tensor:
    return torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_an_update_outside_by_hand():
    found = measure.energies_of(ALIGN, 3 * outer(2, 2), k=1)
    assert (found["norm_align"], found["norm_ft"]) == pytest.approx((5**0.5, 3))
    assert found["r_align"] == pytest.approx(2 / 5**0.5)
    assert found["r_ft"] == found["predicted"] == pytest.approx(2 / 14**0.5)
    assert found["ratio"] == pytest.approx((5 / 14) ** 0.5)
    assert (found["r_new"], found["cos_inside"], found["cos_outside"]) == (0, 0, 0)
    assert found["chance"] == pytest.approx(3**-0.5)


def test_taking_alignment_back_meets_the_prediction_and_points_straight_against_it():
    found = measure.energies_of(ALIGN, -0.6 * ALIGN, k=1)
    assert found["r_ft"] == pytest.approx(found["r_align"])
    assert found["predicted"] == pytest.approx(found["r_ft"])
    assert (found["cos_inside"], found["cos_outside"]) == pytest.approx((-1, -1))


def test_no_fine_tuning_at_all():
    found = measure.energies_of(ALIGN, torch.zeros_like(ALIGN), k=2)
    assert (found["ratio"], found["r_new"], found["cos_inside"], found["norm_ft"]) == (1, 0, 0, 0)


def test_rounding_has_no_direction():
    """With k at the rank nothing is outside but rounding, whatever angle that has."""
    delta = random_matrix(0).float()
    assert measure.energies_of(delta, 2 * delta, k=4)["cos_outside"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_theorem_on_interaction(seed):
    align, ft = random_matrix(seed), random_matrix(seed + 100) - 0.5 * random_matrix(seed)
    found = measure.energies_of(align, ft, k=2)
    subspace = lox.safety_subspace(align, 2)
    a, f = (lox.project(subspace, delta) for delta in (align, ft))
    c_in, c_out = (a * f).sum(), ((align - a) * (ft - f)).sum()
    p = found["predicted"] ** 2
    gap = 2 * ((1 - p) * c_in - p * c_out) / (align + ft).norm() ** 2
    assert found["r_ft"] ** 2 - p == pytest.approx(float(gap))
    assert found["cos_inside"] == pytest.approx(float(c_in / a.norm() / f.norm()))


def test_means_are_over_matrices_then_over_seeds():
    table = pd.DataFrame(
        {"task": "gsm8k", "seed": [1, 1, 2]} | dict.fromkeys(measure.MEASURES, [0.0, 1.0, 1.0])
    )
    means = measure.seed_means(table)
    assert means["ratio"].tolist() == [0.5, 1]
    summary = measure.summary(means).set_index("measure")
    assert summary.loc["ratio", "mean"] == 0.75 and list(summary.index) == measure.MEASURES


def test_shares_of_the_directions_as_places_in_a_profile():
    assert measure.places_of(np.array([0.25, 0.5, 1]), 4) == [0, 1, 3]
    assert measure.places_of(np.array([0.25, 0.5, 1]), 8) == [1, 3, 7]


def test_random_matrices_hold_what_the_theorem_says():
    table = measure.random_shares(6)
    assert np.allclose(table["other"], table["chance"], rtol=0.1)
    assert (table["own"] > table["other"]).all()


def test_the_energies_of_models_are_those_of_the_energy_table(setup):
    from lox.lab.evaluation import energy

    model = setup.model(1, "dolly")
    expected = energy(setup, model, 6).set_index("name")
    found = measure.of_model(setup, model, 6).set_index("name")
    assert list(found.index) == list(expected.index)
    for column in ("norm_align", "r_align", "norm_ft", "r_ft", "ratio"):
        assert np.allclose(found[column], expected[column], rtol=1e-3)
    profile = measure.profile_of(setup, model, [1])
    layer = found[found["layer"] == 1]
    share_of_6 = profile.iloc[(profile["share"] - 6 / 128).abs().argmin()]
    assert share_of_6["r_align"] == pytest.approx(layer["r_align"].mean(), abs=1e-2)
    with pytest.raises(ValueError, match="no matrix"):
        measure.profile_of(setup, model, [99])


def left(U, M):
    return (U.mT @ M).norm()


def top_u(M, k):
    return torch.linalg.svd(M, full_matrices=False).U[:, :k]


WRONG = {
    "taken from the total": lambda a, f, k: left(top_u(a + f, k), a + f) / (a + f).norm(),
    "square root": lambda a, f, k: (left(top_u(a, k), a + f) / (a + f).norm()) ** 2,
    "divided by the norm of ΔW_align": lambda a, f, k: left(top_u(a, k), a + f) / a.norm(),
    "ΔW_align missing": lambda a, f, k: left(top_u(a, k), f) / f.norm(),
    "on the right": lambda a, f, k: left(top_u(a.mT, k), (a + f).mT) / (a + f).norm(),
    "R_align": lambda a, f, k: left(top_u(a, k), a) / a.norm(),
    "": lambda a, f, k: left(top_u(a, k + 1), a + f) / (a + f).norm(),
    "ZeroDivisionError": lambda a, f, k: 1 / 0,
}


def test_the_exercise_accepts_what_is_right():
    said = exercise.check_r_ft(lambda a, f, k: left(top_u(a, k), a + f) / (a + f).norm()).data
    assert said.startswith("**Right.**")


@pytest.mark.parametrize("slip", WRONG)
def test_the_exercise_names_the_slip(slip):
    said = exercise.check_r_ft(WRONG[slip]).data
    assert said.startswith("**Not yet.**")
    assert slip in said.replace("subspace taken from the total update", "taken from the total")


def test_the_exercise_refuses_nan():
    assert "nan" in exercise.check_r_ft(lambda a, f, k: math.nan).data
