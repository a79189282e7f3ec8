"""The chapter on the projection: what a few directions hold, and its exercise."""

import pandas as pd
import pytest
import torch

from lox.book.chapters.projection import exercise, measure
from lox.lab import spectra

LABEL = {"name": "w", "layer": 0, "kind": "q_proj", "rows": 4, "cols": 4}


def test_what_is_kept_by_hand():
    update = spectra.spectra([(LABEL, torch.diag(torch.tensor([4.0, 2.0, 2.0, 1.0])))])
    random = spectra.spectra([(LABEL | {"kind": "random"}, torch.eye(4))])
    (row,) = measure.matrices(pd.concat([update, random]), k=1).to_dict("records")
    assert (row["r_align"], row["energy"]) == pytest.approx((0.8, 0.64))
    assert (row["numbers"], row["random"]) == pytest.approx((0.5, 0.5))
    assert measure.means_by_kind(pd.DataFrame([row, row | {"r_align": 0.4}]))["r_align"].tolist() == [
        pytest.approx(0.6)
    ]


def test_writing_down_all_directions_takes_no_more_than_the_matrix():
    table = spectra.spectra([(LABEL, torch.eye(4)), (LABEL | {"kind": "random"}, torch.eye(4))])
    assert measure.matrices(table, k=4)["numbers"].tolist() == [1]


def test_matrices_have_the_spectra_that_they_are_named_by():
    found = measure.with_spectra(8)
    i = torch.arange(1, 9)
    torch.testing.assert_close(torch.linalg.svdvals(found["1 / i"]), 1 / i)
    torch.testing.assert_close(torch.linalg.svdvals(found["1 / √i"]), i**-0.5)
    assert set(measure.timing(2, 8)["spectrum"]) == set(found)


def test_the_certificate_is_kept():
    table = measure.timing(3, 200)
    assert (table["measured"] <= table["certified"] + 1e-6).all()


def test_an_aligned_model_and_random_matrices_of_its_shapes(setup):
    table = measure.spectra_of(setup, 1)
    found = measure.matrices(table, 6)
    assert len(found) == 14 and set(table["kind"]) == {*found["kind"], "random"}
    assert found["r_align"].between(0, 1).all() and (found["random"] > 0.2).all()


def top(M, k):
    return torch.linalg.svd(M, full_matrices=False).U[:, :k]


def left(U, M):
    return U @ (U.T @ M)


def right(d, M, k):
    return left(top(d, k), M)


WRONG = {
    "coordinates": lambda d, M, k: top(d, k).T @ M,
    "remainder": lambda d, M, k: M - right(d, M, k),
    "its own SVD": lambda d, M, k: right(M, M, k),
    "on the right": lambda d, M, k: left(top(d.T, k), M.T).T,
    "both sides": lambda d, M, k: left(top(d.T, k), right(d, M, k).T).T,
    "whatever the matrix": lambda d, M, k: right(d, d, k),
    "not the first k": lambda d, M, k: right(d, M, min(d.shape)),
    "differs": lambda d, M, k: 2 * right(d, M, k),
    "RuntimeError": lambda d, M, k: M @ M @ d,
}


def test_the_exercise_accepts_what_is_right():
    assert exercise.check_projection(right).data.startswith("**Right.**")
    assert exercise.check_projection(lambda d, M, k: right(d, M, k).numpy()).data.startswith("**Right.**")


@pytest.mark.parametrize("slip", WRONG)
def test_the_exercise_names_the_slip(slip):
    said = exercise.check_projection(WRONG[slip]).data
    assert said.startswith("**Not yet.**") and slip in said.replace("the matrix's own SVD", "its own SVD")
