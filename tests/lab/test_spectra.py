"""Spectra of updates: exact small cases, chance against its bound, agreement with the method itself."""

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoints import aligned_from, save, weights

import lox
from lox.checkpoints.energy import energy_table
from lox.lab import spectra

LABEL = {"name": "w", "layer": 0, "kind": "w", "rows": 4, "cols": 4}


@pytest.fixture
def folders(tmp_path):
    base, other = weights(0), weights(1)
    aligned = aligned_from(base)
    tuned = {name: w + 0.05 * other[name] for name, w in aligned.items()}
    models = {"base": base, "aligned": aligned, "tuned": tuned}
    return [save(tmp_path / name, model) for name, model in models.items()]


def table_of(*diagonals):
    labelled = [
        (LABEL | {"name": str(i), "rows": len(d), "cols": len(d)}, torch.diag(torch.tensor(d)))
        for i, d in enumerate(diagonals)
    ]
    return spectra.spectra(labelled)


def test_spectrum_of_a_diagonal_matrix_by_hand():
    delta = torch.diag(torch.tensor([2.0, -4.0, 1.0, 2.0]))
    assert spectra.spectrum(delta).tolist() == pytest.approx([0.8, 0.4, 0.4, 0.2])


def test_spectra_hold_shares_and_energies_by_hand():
    table = table_of([4.0, 2.0, 2.0, 1.0])
    assert table["i"].tolist() == [1, 2, 3, 4]
    assert table["norm"].tolist() == pytest.approx([5] * 4)
    assert (table["r"] ** 2).tolist() == pytest.approx([16 / 25, 20 / 25, 24 / 25, 1])


def test_concentration_by_hand():
    found = spectra.concentration(table_of([4.0, 2.0, 2.0, 1.0], [1.0, 1.0, 1.0]), k=2)
    assert found["stable_rank"].tolist() == pytest.approx([25 / 16, 3])
    assert (found["r"] ** 2).tolist() == pytest.approx([20 / 25, 2 / 3])


def test_k_beyond_the_directions_is_all_of_them():
    found = spectra.concentration(table_of([2.0, 1.0], [1.0, 1.0, 1.0]), k=3)
    assert found["r"].tolist() == pytest.approx([1, 1])


def test_a_mean_profile_takes_the_same_share_of_every_matrix():
    table = table_of([2.0, 1.0], [1.0, 1.0, 1.0, 1.0])
    profile = spectra.mean_profile(table)
    assert profile["share"].tolist() == [0.5, 1]
    assert profile["r"].tolist() == pytest.approx([((4 / 5) ** 0.5 + (2 / 4) ** 0.5) / 2, 1])


@given(st.integers(1, 40), st.integers(0, 40))
def test_a_mean_profile_rounds_up_as_rank_at(smallest, more):
    full = smallest + more
    table = table_of([1.0] * smallest, [1.0] * full)
    found = spectra.mean_profile(table).set_index("share")["r"]
    assert len(found) == smallest
    for share, r in found.items():
        ranks = [spectra.rank_at(share, n, n) / n for n in (smallest, full)]
        assert r == pytest.approx(sum(rank**0.5 for rank in ranks) / 2)


@pytest.mark.parametrize(
    "share, k", [(10 / 4096, 1), (100 / 4096, 4), (500 / 4096, 16), (2000 / 4096, 63), (1.0, 128)]
)
def test_rank_at_is_the_share_rounded_up(share, k):
    assert spectra.rank_at(share, 128, 352) == k


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_rank_at_gives_back_a_whole_number_of_directions(k, full):
    k = min(k, full)
    assert spectra.rank_at(k / full, full, 2 * full) == k


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_a_share_outside_is_refused(share):
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        spectra.rank_at(share, 8, 8)


def test_an_update_of_zero_has_no_spectrum():
    with pytest.raises(ValueError, match="zero"):
        spectra.spectrum(torch.zeros(3, 3))


def test_updates_are_differences_to_the_start(folders):
    base, aligned, tuned = folders
    found = {label["name"]: deltas for label, *deltas in spectra.updates(base, aligned, tuned)}
    linear = energy_table(base, aligned, tuned)
    assert list(found) == linear["name"].tolist()
    for row in linear.itertuples():
        delta_align, delta_total = found[row.name]
        assert delta_align.norm().item() == pytest.approx(row.norm_align)
        assert (delta_total - delta_align).norm().item() == pytest.approx(row.norm_ft, rel=1e-4)


def test_matrices_that_did_not_move_are_left_out(tmp_path):
    start = weights(0)
    end = {name: w.clone() for name, w in start.items()}
    moved = next(name for name in start if "q_proj" in name)
    end[moved] += 1
    found = spectra.updates(save(tmp_path / "start", start), save(tmp_path / "end", end))
    assert [label["name"] for label, _ in found] == [moved]


def test_random_updates_have_shape_and_norm_and_no_direction():
    like = [(LABEL | {"rows": 96, "cols": 64}, torch.outer(torch.arange(96.0), torch.ones(64)))]
    ((label, draw),) = spectra.random_updates(like, seed=1)
    assert (label, tuple(draw.shape)) == (like[0][0], (96, 64))
    assert draw.norm().item() == pytest.approx(like[0][1].norm().item())
    # E s_1 ≤ √m + √n for independent normal entries; the fluctuation is below 1 (Halko et al., 2011)
    assert spectra.spectrum(draw)[0] < (96**0.5 + 64**0.5 + 3) / (96 * 64) ** 0.5
    ((_, again),) = spectra.random_updates(like, seed=1)
    assert torch.equal(draw, again)
    ((_, other),) = spectra.random_updates(like, seed=2)
    assert not torch.equal(draw, other)


def test_surviving_energies_are_those_of_the_method(folders):
    base, aligned, tuned = folders
    found = spectra.surviving(base, aligned, tuned, shares=(0.25, 1.0))
    deltas = {label["name"]: pair for label, *pair in spectra.updates(base, aligned, tuned)}
    assert set(found["share"]) == {0.25, 1.0}
    for row in found.itertuples():
        delta_align, delta_total = deltas[row.name]
        assert row.k == spectra.rank_at(row.share, row.rows, row.cols)
        assert row.r_align == pytest.approx(lox.r_align(delta_align, row.k), abs=1e-5)
        assert row.r_ft == pytest.approx(lox.r_ft(delta_align, delta_total - delta_align, row.k), abs=1e-5)


def test_spectra_agree_with_r_align(folders):
    base, aligned, _ = folders
    found = spectra.concentration(spectra.spectra(spectra.updates(base, aligned)), k=3)
    expected = energy_table(base, aligned, k=3)
    pd.testing.assert_series_equal(found["r"], expected["r_align"], check_names=False, rtol=1e-5)
