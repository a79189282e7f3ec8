"""Tables of energies from checkpoints, against the functions of the method on the same matrices."""

import pytest
import torch
from tiny_checkpoints import aligned_from, load, save, weights

import lox
from lox.checkpoints.energy import energy_by_kind, energy_table

COLUMNS = ["name", "layer", "kind", "rows", "cols", "norm_align", "r_align", "norm_ft", "r_ft", "ratio"]


@pytest.fixture
def folders(tmp_path):
    """A base, an aligned and a fine-tuned checkpoint."""
    base = weights(0)
    aligned = aligned_from(base)
    finetuned = {
        n: t + 0.05 * torch.randn(t.shape, generator=torch.Generator().manual_seed(3))
        for n, t in aligned.items()
    }
    sides = {"base": base, "aligned": aligned, "finetuned": finetuned}
    return [save(tmp_path / name, tensors) for name, tensors in sides.items()]


def test_rows_are_those_of_the_method(folders):
    table = energy_table(*folders, k=2)
    assert list(table.columns) == COLUMNS
    base, aligned, finetuned = map(load, folders)
    for row in table.itertuples():
        stem, _, i = row.name.rstrip("]").partition("[")
        b, a, f = (side[stem][int(i)] if i else side[stem] for side in (base, aligned, finetuned))
        assert row.r_align == pytest.approx(lox.r_align(a - b, 2), rel=1e-5)
        assert row.r_ft == pytest.approx(lox.r_ft(a - b, f - a, 2), rel=1e-4)
        assert row.ratio == pytest.approx(row.r_ft / row.r_align)
        assert row.norm_align == pytest.approx(float((a - b).norm()), rel=1e-5)
        assert row.norm_ft == pytest.approx(float((f - a).norm()), rel=1e-5)


def test_linear_layers_by_default(folders):
    linear, everything = energy_table(*folders), energy_table(*folders, matrices="all")
    assert set(everything["name"]) - set(linear["name"]) == {"model.embed_tokens.weight", "lm_head.weight"}
    assert len(linear) == 2 * (1 + 1 + 3)
    assert linear["layer"].tolist().count(0) == 5
    assert everything["layer"].isna().sum() == 2


def test_without_a_finetuned_model(folders):
    table = energy_table(*folders[:2], k=2)
    assert list(table.columns) == COLUMNS
    assert table[["norm_ft", "r_ft", "ratio"]].isna().all(axis=None) and table["r_align"].notna().all()


def test_an_update_of_zero_has_no_energy(folders):
    table = energy_table(folders[0], folders[0], folders[2])
    assert table[["r_align", "r_ft", "ratio"]].isna().all(axis=None)
    assert (table["norm_align"] == 0).all() and (table["norm_ft"] > 0).all()


def test_means_by_kind(folders):
    table = energy_table(*folders, k=2)
    means = energy_by_kind(table).set_index("kind")
    assert means["matrices"].to_dict() == {"q_proj": 2, "up_proj": 2, "gate_up_proj": 6, "all": 10}
    assert means.loc["all", "ratio"] == pytest.approx(table["ratio"].mean())
    chosen = table[table["kind"] == "q_proj"]
    assert means.loc["q_proj", "r_align"] == pytest.approx(chosen["r_align"].mean())


def test_a_fine_tuning_that_led_back_to_the_base_keeps_its_columns(folders):
    means = energy_by_kind(energy_table(folders[0], folders[1], folders[0]))
    assert {"r_ft", "ratio"} <= set(means) and means["r_ft"].isna().all()
    assert "r_ft" not in energy_by_kind(energy_table(*folders[:2]))


def test_progress_ends_at_the_total(folders):
    steps = []
    energy_table(*folders, progress=lambda done, total: steps.append((done, total)))
    assert steps == sorted(steps) and steps[-1][0] == steps[-1][1] > 0
