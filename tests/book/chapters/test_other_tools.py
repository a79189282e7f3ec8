"""Other tools' settings on one pair: the same rule, another size; what does not fit is an error here."""

import pytest
import torch

import lox
from lox.book.chapters.other_tools import measure


@pytest.fixture
def pair() -> tuple[dict, dict]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"mlp.up_proj.weight": (12, 8), "lm_head.weight": (20, 8), "norm.weight": (8,)}
    base, update = ({n: torch.randn(s, generator=generator) for n, s in shapes.items()} for _ in range(2))
    return base, {name: tensor + 0.1 * update[name] for name, tensor in base.items()}


def test_every_setting_is_measured_on_the_same_pair(pair):
    found = measure.settings(*pair).set_index("tool")
    assert list(found.index) == list(measure.SETTINGS)
    assert found.loc["SafeTune `apply_lox_harden`", "kept"] == pytest.approx(1)
    assert found.loc["SafeTune `apply_lox`", "kept"] == pytest.approx(1)  # 64 is above every rank here
    assert found.loc["the paper", "kept"] < found.loc["SafeTune's runner", "kept"]
    # its k is the full rank here, so all is kept, to the rounding of weights in float32
    assert found.loc["SafeTune's runner", "kept"] == pytest.approx(1, rel=1e-5)
    whole, runner = (found.loc[f"SafeTune{name}"] for name in (" `apply_lox`", "'s runner"))
    assert whole["added"] / runner["added"] == pytest.approx(1.5 / 0.3, rel=1e-4)
    assert (found["apart"] < 1e-5).all()


def test_the_rule_that_skips_leaves_a_misfit_as_it_was_and_lox_stops(pair):
    base, aligned = pair
    shorter, name = measure.with_a_misfit(base)
    assert name == "mlp.up_proj.weight" and measure.misfit_message(base, aligned) == ""
    assert torch.equal(measure.by_whole_svd(shorter, aligned, 6, 1.25)[name], aligned[name])
    assert name in measure.misfit_message(shorter, aligned) and "11" in measure.misfit_message(
        shorter, aligned
    )


def test_the_whole_decomposition_is_the_same_step(pair):
    ours, theirs = lox.extrapolate(*pair, k=2, alpha=0.5), measure.by_whole_svd(*pair, 2, 0.5)
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor)
