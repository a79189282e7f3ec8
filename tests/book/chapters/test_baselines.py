"""Removal by hand and by its properties; the comparison on the smoke profile, which claims nothing."""

import pytest
import torch

import lox
from lox.book.chapters.baselines import measure
from lox.book.chapters.baselines.measure import remove_safety_part
from lox.extrapolation import extrapolate
from lox.lab import rows


def models(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        {"w": torch.randn(12, 9, generator=generator), "norm": torch.randn(4, generator=generator)}
        for _ in range(3)
    ]


def test_removal_by_hand():
    base, aligned = {"w": torch.zeros(2, 2)}, {"w": torch.tensor([[3.0, 0.0], [0.0, 0.0]])}
    found = remove_safety_part(base, aligned, {"w": torch.tensor([[1.0, 1.0], [0.0, 2.0]])}, k=1)
    torch.testing.assert_close(found["w"], torch.tensor([[3.0, 0.0], [0.0, 2.0]]))


@pytest.mark.parametrize("k", [1, 3, "full"])
def test_what_is_left_lies_outside_the_subspace_and_what_is_taken_inside(k):
    base, aligned, finetuned = models()
    found = remove_safety_part(base, aligned, finetuned, k=k)
    subspace = lox.safety_subspace(aligned["w"] - base["w"], k)
    left, taken = found["w"] - aligned["w"], finetuned["w"] - found["w"]
    torch.testing.assert_close(lox.project(subspace, left), torch.zeros(12, 9), rtol=0, atol=1e-5)
    torch.testing.assert_close(lox.project(subspace, taken), taken, rtol=0, atol=1e-5)
    assert torch.equal(found["norm"], finetuned["norm"])


def test_removal_twice_is_removal_once_and_of_lox_alone_gives_aligned_back():
    base, aligned, finetuned = models()
    once = remove_safety_part(base, aligned, finetuned, k=3)
    torch.testing.assert_close(remove_safety_part(base, aligned, once, k=3), once, rtol=0, atol=1e-5)
    moved = extrapolate(base, aligned, k=3, alpha=-2.0)
    torch.testing.assert_close(remove_safety_part(base, aligned, moved, k=3), aligned, rtol=0, atol=1e-5)


def test_a_matrix_that_alignment_left_alone_is_copied():
    base, _, finetuned = models()
    found = remove_safety_part(base, base, finetuned, k=3)
    assert torch.equal(found["w"], finetuned["w"]) and found["w"] is not finetuned["w"]


def test_weights_that_do_not_fit_are_named():
    base, aligned, finetuned = models()
    with pytest.raises(ValueError, match="missing in aligned: w"):
        remove_safety_part(base, {"norm": aligned["norm"]}, finetuned, k=3)
    with pytest.raises(ValueError, match="w: base is 12×9, aligned 12×8"):
        remove_safety_part(base, aligned | {"w": torch.zeros(12, 8)}, finetuned, k=3)


def test_holm_by_hand():
    found = measure._holm([[0.01, 0.04], [0.03, 0.005]])  # sorted: ·4, ·3, ·2, ·1, never falling, at most 1
    assert found == [pytest.approx([0.03, 0.06]), pytest.approx([0.06, 0.02])]


def test_a_row_of_removal_is_of_the_removed_weights(setup):
    row = measure.row(setup, 1, "pure_bad", "removal", k=2)
    assert set(row) == set(rows.COLUMNS)
    assert (row["defence"], row["k"]) == ("removal", 2)
    none = measure.row(setup, 1, "pure_bad", "none", k=2)
    assert row["r_align"] == none["r_align"] and row["r_ft"] != none["r_ft"]
    finetuned = setup.folder("attacked", seed=1, task="pure_bad")
    weights = [setup.weights(kind, **which) for kind, which in (("base", {}), ("aligned", {"seed": 1}))]
    removed = remove_safety_part(*weights, setup.read_weights(finetuned), k=2)
    again = setup.evaluate_weights({"test": "removed"}, finetuned, lambda: removed, "pure_bad")
    found = measure.evaluate(setup, 1, "pure_bad", "removal", k=2)
    assert [r["reply"] for r in found.replies] == [r["reply"] for r in again.replies]


def test_every_defence_is_tested_against_none_once_a_seed(setup):
    found = measure.against_none(setup, ["pure_bad"], [1, 2], {"lox": {"alpha": 0.5}, "removal": {}})
    assert found[["task", "first", "second"]].to_numpy().tolist() == [
        ["pure_bad", "none", "lox"],
        ["pure_bad", "none", "removal"],
    ]
    for _, row in found.iterrows():
        assert len(row["p"]) == len(row["p_holm"]) == 2
        assert all(p <= corrected <= 1 for p, corrected in zip(row["p"], row["p_holm"]))
        assert row["low"] <= row["difference"] <= row["high"]
