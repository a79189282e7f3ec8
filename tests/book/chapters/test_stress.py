"""The causal test on the smoke profile: which weights are evaluated, not what they say."""

import pytest
import torch

from lox.book.chapters.stress import measure, parts


@pytest.fixture(scope="module")
def found(setup):
    return measure.Stress(setup, 1, "dolly", "lox", 6)


def test_the_parts_are_those_of_the_fine_tuned_model(found):
    start, whole = found.part("all", "nothing"), found.part("all", "whole")
    for subspace in measure.SUBSPACES:
        inside, outside = found.part(subspace, "inside"), found.part(subspace, "outside")
        for name in start:
            torch.testing.assert_close(
                inside[name] + outside[name] - start[name], whole[name], atol=1e-5, rtol=0
            )


def test_the_safety_subspace_is_that_of_the_alignment_not_of_lox(found):
    base, aligned = found.setup.weights("base"), found.setup.weights("aligned", seed=1)
    delta_align = {name: aligned[name] - base[name] for name in base}
    safety = parts.bases("top", delta_align, 6)
    moved = {
        name: w - found.part("all", "nothing")[name] for name, w in found.part("safety", "inside").items()
    }
    for name, Q in safety.items():
        torch.testing.assert_close(Q @ (Q.mT @ moved[name]), moved[name], atol=1e-5, rtol=0)


def test_geometry_has_a_row_for_each_subspace_and_matrix(found):
    table = found.geometry()
    names = parts.split_names(found.setup.weights("base"))
    assert len(table) == len(measure.SUBSPACES) * len(names)
    assert table["share"].between(0, 1).all() and table["counteraction"].between(-1, 1).all()
    own, others = (table[table.subspace == s].set_index("name")["share"] for s in ("own", "safety"))
    assert (own >= others - 1e-4).all()  # no k-dimensional subspace holds more than the top k of ΔW_ft
    assert table[table.subspace == "safety"]["overlap"].to_list() == pytest.approx([1] * len(names), abs=1e-4)


def test_a_variant_with_all_of_it_says_what_the_fine_tuned_model_says(found):
    whole = found.evaluate("all", "whole")
    assert [r["reply"] for r in whole.replies] == [
        r["reply"] for r in found.setup.evaluate(found.finetuned, "dolly").replies
    ]
    (row,) = found.rows([("safety", "outside")])
    assert (row["subspace"], row["part"], row["n"]) == ("safety", "outside", 20)


def test_comparing_a_variant_with_itself_is_zero(found):
    same = measure.compare([found], ("safety", "inside"), ("safety", "inside"))
    assert (same["difference"], same["p"]) == (0, [1.0])


def test_an_unknown_variant_is_refused(found):
    with pytest.raises(ValueError, match="no variant .'safety', 'half'.: they are"):
        found.part("safety", "half")


def test_split_and_unsplit_weights_add_up_to_the_whole(found):
    parts = [found.part("all", part) for part in ("split only", "unsplit only", "nothing", "whole")]
    split, unsplit, start, whole = parts
    for name in start:
        torch.testing.assert_close(split[name] + unsplit[name] - start[name], whole[name], atol=1e-5, rtol=0)
    outside, layers = found.part("safety", "outside"), found.part("safety", "outside, split only")
    names = set(parts.split_names(start))
    assert all(torch.equal(layers[n], (outside if n in names else start)[n]) for n in start)


def test_the_undefended_update_can_be_put_on_the_lox_model(found):
    plain = measure.Stress(found.setup, found.seed, found.task, "none", found.k)
    moved, start = found.part("all", "whole, of the undefended run"), found.part("all", "nothing")
    for name, w in plain.part("all", "whole").items():
        delta = w - plain.part("all", "nothing")[name]
        torch.testing.assert_close(moved[name] - start[name], delta, atol=1e-5, rtol=0)
