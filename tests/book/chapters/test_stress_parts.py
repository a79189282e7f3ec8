"""The split of ΔW_ft at a subspace: its two sides add up, and the measures are what they say."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lox.book.chapters.stress import parts

LINEAR, EMBEDDING = "model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight"


def weights(seed: int, scale: float = 1.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {LINEAR: (24, 16), EMBEDDING: (30, 16), "lm_head.weight": (30, 16), "model.norm.weight": (16,)}
    return {name: scale * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture
def start():
    return weights(0)


@pytest.fixture
def delta_ft():
    return weights(1, 0.1)


@pytest.fixture
def delta_align():
    return weights(2, 0.1)


def test_only_the_linear_layers_are_split(start):
    assert parts.split_names(start) == [LINEAR]


@given(seed=st.integers(0, 20), k=st.integers(1, 8), kind=st.sampled_from(parts.KINDS))
def test_inside_and_outside_add_up_to_the_whole(seed, k, kind):
    start, delta_ft = weights(seed), weights(seed + 1, 0.1)
    bases = parts.bases(kind, weights(seed + 2), k, seed)
    inside = parts.inside(start, delta_ft, bases)
    outside = parts.outside(start, delta_ft, bases)
    for name in start:
        both = inside[name] + outside[name] - start[name]
        torch.testing.assert_close(both, start[name] + delta_ft[name], rtol=0, atol=1e-5)


def test_the_inside_lies_in_the_subspace_and_the_outside_is_orthogonal_to_it(start, delta_ft, delta_align):
    bases = parts.bases("top", delta_align, 3)
    inside = parts.inside(start, delta_ft, bases)[LINEAR] - start[LINEAR]
    outside = parts.outside(start, delta_ft, bases)[LINEAR] - start[LINEAR]
    Q = bases[LINEAR]
    assert torch.linalg.matrix_rank(inside, atol=1e-5) == 3
    torch.testing.assert_close(Q @ (Q.mT @ inside), inside, rtol=0, atol=1e-5)
    assert (Q.mT @ outside).abs().max() < 1e-5


def test_what_is_not_split_goes_with_the_outside(start, delta_ft, delta_align):
    bases = parts.bases("top", delta_align, 3)
    for name in (EMBEDDING, "lm_head.weight", "model.norm.weight"):
        assert torch.equal(parts.inside(start, delta_ft, bases)[name], start[name])
        assert torch.equal(parts.outside(start, delta_ft, bases)[name], start[name] + delta_ft[name])


def test_split_and_unsplit_weights_alone(start):
    other = weights(3)
    split, unsplit = parts.split_only(start, other), parts.unsplit_only(start, other)
    assert {n for n in start if torch.equal(split[n], other[n])} == {LINEAR}
    assert {n for n in start if torch.equal(unsplit[n], start[n])} == {LINEAR}
    assert all(torch.equal(split[n], start[n]) for n in start if n != LINEAR)
    assert all(torch.equal(unsplit[n], other[n]) for n in start if n != LINEAR)


def test_the_scaled_part_has_the_norm_of_the_other(start, delta_ft, delta_align):
    random, safety = parts.bases("random", delta_align, 3), parts.bases("top", delta_align, 3)
    scaled = parts.inside(start, delta_ft, random, safety)[LINEAR] - start[LINEAR]
    other = parts.inside(start, delta_ft, safety)[LINEAR] - start[LINEAR]
    assert float(scaled.norm()) == pytest.approx(float(other.norm()), rel=1e-4)
    plain = parts.inside(start, delta_ft, random)[LINEAR] - start[LINEAR]
    cosine = float((scaled * plain).sum() / scaled.norm() / plain.norm())
    assert cosine == pytest.approx(1, abs=1e-5)


def test_bases_are_orthonormal_and_top_and_bottom_do_not_meet(delta_align):
    found = {which: parts.bases(which, delta_align, 4)[LINEAR] for which in parts.KINDS}
    for Q in found.values():
        torch.testing.assert_close(Q.mT @ Q, torch.eye(4), rtol=0, atol=1e-5)
    assert parts.overlap(found["top"], found["bottom"]) < 1e-8
    assert parts.overlap(found["top"], found["top"]) == pytest.approx(1, abs=1e-5)
    assert (found["bottom"].mT @ delta_align[LINEAR]).norm() < (found["top"].mT @ delta_align[LINEAR]).norm()


def test_the_random_subspace_is_the_seeds(delta_align):
    first, again, other = (parts.bases("random", delta_align, 4, seed)[LINEAR] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.allclose(first, other)


def test_a_random_subspace_holds_k_of_m_of_the_squared_norm(delta_ft):
    squares = [
        parts.share(parts.bases("random", delta_ft, 6, s)[LINEAR], delta_ft[LINEAR]) ** 2 for s in range(300)
    ]
    assert sum(squares) / 300 == pytest.approx(6 / 24, abs=0.01)


def test_the_measures_by_hand():
    Q = torch.tensor([[1.0], [0.0]])
    align, ft = torch.tensor([[4.0, 0.0], [0.0, 1.0]]), torch.tensor([[-3.0, 4.0], [12.0, 0.0]])
    assert parts.share(Q, ft) == pytest.approx(5 / 13)
    assert parts.counteraction(Q, align, ft) == pytest.approx(3 / 5)
    assert parts.undone(Q, align, ft) == pytest.approx(3 / 4)
    assert parts.undone(Q, 2 * align, ft) == pytest.approx(3 / 8)
    assert parts.overlap(Q, torch.tensor([[1.0], [1.0]]) / math.sqrt(2)) == pytest.approx(1 / 2)


def test_taking_alignment_back_is_full_counteraction(delta_align):
    Q = parts.bases("top", delta_align, 3)[LINEAR]
    align = delta_align[LINEAR]
    assert parts.counteraction(Q, align, -0.5 * align) == pytest.approx(1, abs=1e-5)
    assert parts.undone(Q, align, -0.5 * align) == pytest.approx(0.5, abs=1e-5)
    assert parts.counteraction(Q, align, align) == pytest.approx(-1, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: parts.bases("middle", d, 3), "unknown subspace 'middle': they are top, bottom, random"),
        (lambda d: parts.bases("bottom", d, 9), "the bottom 9 of 16 directions overlap the top 9"),
        (lambda d: parts.bases("top", d, 0), "k is a positive int"),
        (lambda d: parts.share(torch.eye(24, 3), 0 * d[LINEAR]), "the update is zero"),
    ],
)
def test_what_makes_no_sense_is_refused(delta_align, unchecked_annotations, call, message):
    with pytest.raises(ValueError, match=message):
        call(delta_align)
