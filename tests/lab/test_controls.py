"""Controls have LoX's size and other directions."""

import pytest
import torch

from lox.extrapolation import extrapolate, update
from lox.lab import controls


@pytest.fixture
def pair(with_spectrum):
    base = {"w": torch.randn(24, 16, generator=torch.Generator().manual_seed(0)), "norm": torch.ones(4)}
    delta = with_spectrum([8.0, 5.0, 3.0, 2.0, 1.0, 0.5], 24, 16, seed=1).float()
    return base, {"w": base["w"] + delta, "norm": torch.full((4,), 2.0)}


@pytest.mark.parametrize("step", [controls.random_step, controls.bottom_step])
def test_the_step_is_as_long_as_that_of_lox(pair, step):
    base, aligned = pair
    moved, lox = step(base, aligned, 2, 0.5, 0), extrapolate(base, aligned, k=2, alpha=0.5)
    ours, theirs = (update(aligned["w"], weights["w"]) for weights in (moved, lox))
    assert torch.linalg.matrix_rank(ours, rtol=1e-4) == 2
    torch.testing.assert_close(ours.norm(), theirs.norm(), rtol=1e-4, atol=0)
    assert torch.equal(moved["norm"], aligned["norm"])


def test_a_random_step_has_the_singular_values_of_lox_and_follows_its_seed(pair):
    base, aligned = pair
    first, again, other = (controls.random_step(base, aligned, 2, 0.5, seed)["w"] for seed in (0, 0, 1))
    S = torch.linalg.svdvals(first - aligned["w"])[:2]
    torch.testing.assert_close(S, torch.tensor([4.0, 2.5]), rtol=1e-4, atol=0)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_bottom_step_leaves_the_top_directions_alone(pair):
    base, aligned = pair
    step = update(aligned["w"], controls.bottom_step(base, aligned, 2, 0.5, 0)["w"])
    top = torch.linalg.svd(aligned["w"] - base["w"]).U[:, :2]
    assert torch.linalg.vector_norm(top.T @ step) < 1e-4 * step.norm()
