"""The plane by hand and by its properties; the landscape on the smoke profile, which claims nothing."""

import math

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lox.book.chapters.landscape import measure
from lox.book.chapters.landscape.measure import dot, edge, norm, plane
from lox.lab.evaluation import Evaluated, evaluate
from lox.lab.judging.verdicts import Verdict


def point(*values):
    """Weights of two tensors of different shapes."""
    values = torch.tensor(values, dtype=torch.float32)
    return {"norm": values[:1], "matrix": values[1:].reshape(-1, 1)}


def random_models(seed):
    generator = torch.Generator().manual_seed(seed)
    names = ("aligned", "lox", "finetuned", "finetuned_lox")
    return {name: point(*torch.randn(7, generator=generator).tolist()) for name in names}


def test_the_plane_by_hand():
    found = plane(point(0, 0, 0), point(0, 2, 0), point(0, 1, 3), point(0, 1, 5))
    assert (found.x_step, found.y_step) == (2, 4)
    assert torch.equal(found.first["matrix"], torch.tensor([[1.0], [0.0]]))
    assert torch.equal(found.second["matrix"], torch.tensor([[0.0], [1.0]]))
    assert found.coordinates(point(7, 1, 3)) == (1, 3, 7)


@given(st.integers(0, 500), st.floats(-3, 3), st.floats(-3, 3))
def test_directions_are_orthonormal_and_coordinates_come_back(seed, x, y):
    models = random_models(seed)
    found = plane(**models)
    assert norm(found.first) == pytest.approx(1, abs=1e-5)
    assert norm(found.second) == pytest.approx(1, abs=1e-5)
    assert dot(found.first, found.second) == pytest.approx(0, abs=1e-5)
    assert found.coordinates(found.weights(x, y)) == pytest.approx((x, y, 0), abs=1e-4)


@given(st.integers(0, 500))
def test_where_the_four_models_lie(seed):
    models = random_models(seed)
    found = plane(**models)
    assert found.coordinates(models["aligned"]) == (0, 0, 0)
    assert found.coordinates(models["lox"]) == pytest.approx((found.x_step, 0, 0), abs=1e-4)
    first, second = (found.coordinates(models[name]) for name in ("finetuned", "finetuned_lox"))
    assert (first[1] + second[1]) / 2 == pytest.approx(found.y_step, abs=1e-4)
    assert first[2] == pytest.approx(second[2], abs=1e-4)  # equal and opposite off the plane
    nearest = found.weights(*first[:2])
    off = norm({name: models["finetuned"][name] - nearest[name] for name in nearest})
    assert off == pytest.approx(first[2], abs=1e-4)


def test_steps_that_span_no_plane_are_refused():
    origin, moved = point(0, 0, 0), point(0, 1, 0)
    with pytest.raises(ValueError, match="the LoX model is the aligned one"):
        plane(origin, origin, moved, moved)
    with pytest.raises(ValueError, match="there is no plane"):
        plane(origin, moved, point(0, 3, 0), point(0, 2, 0))
    with pytest.raises(ValueError, match="there is no plane"):
        plane(origin, moved, origin, moved)


def test_the_edge_is_the_first_point_above_the_limit_ahead():
    line = pd.DataFrame({"y_steps": [-1.0, 0.0, 0.5, 1.0, 1.5], "asr": [0.9, 0.1, 0.05, 0.2, 0.0]})
    assert edge(line, 0.1) == 1
    assert edge(line, 0.05) == 0
    assert edge(line, 0.2) == math.inf


@pytest.fixture(scope="module")
def scape(setup):
    return measure.landscape_of(setup, 1, "dolly", None, None, prompts=6)


def replies(evaluated):
    return [r["reply"] for r in evaluated.replies]


def test_the_points_of_the_aligned_and_the_lox_model_say_what_these_say(scape):
    for x, model in ((0.0, "aligned"), (1.0, "lox")):
        here = scape.at(x, 0.0)
        whole = evaluate(scape.setup, scape.folders[model], "plain").replies
        own = [r["reply"] for s in measure.SETS for r in [r for r in whole if r["set"] == s][:6]]
        assert replies(here) == own
        assert (here.asr.n, here.helpful.n, math.isnan(here.utility)) == (6, 6, True)
    assert replies(scape.at(0.0, 4.0)) != replies(scape.at(0.0, 0.0))


def test_a_line_has_a_row_for_each_point(scape):
    line = scape.line(1.0, [0.0, 0.5])
    assert line["y_steps"].tolist() == [0, 0.5] and (line["n"] == 6).all()
    assert line["x"].tolist() == [scape.plane.x_step] * 2
    assert line["y"].tolist() == pytest.approx([0, 0.5 * scape.plane.y_step])
    assert "utility" not in line and "gibberish" in line
    grid = measure.surface(scape, [0.0, 1.0], [0.0, 0.5], workers=1)
    assert grid[["x_steps", "y_steps"]].to_numpy().tolist() == [[0, 0], [0, 0.5], [1, 0], [1, 0.5]]


def test_the_four_models_with_what_they_do(scape):
    models = scape.models().set_index("model")
    assert models.loc["lox", "x"] == pytest.approx(scape.plane.x_step)
    assert models.loc["aligned", "asr"] == models.loc["aligned", "asr_in_plane"]
    off = models["distance"]
    assert off["finetuned"] == pytest.approx(off["finetuned_lox"], rel=1e-3)
    assert (models["n"] == 6).all()


class Known:
    """A landscape of two prompts that is harmful from y = 1 on, at the aligned model's x only."""

    def at(self, x, y):
        harmful = "harmful" if y >= 1 and x == 0 else "refusal"
        answered = [Verdict("harmless"), Verdict("refusal" if x else "harmless")]
        return Evaluated([], [Verdict(harmful)] * 2, answered, ["a", "b"], ["c", "d"], 0.0)


@pytest.mark.usefixtures("unchecked_annotations")
def test_the_two_starts_are_compared_seed_by_seed():
    means = measure.line_means([Known(), Known()], [0.0, 1.0]).set_index(["start", "y_steps"])
    assert means["asr"].to_dict() == {("aligned", 0): 0, ("aligned", 1): 1, ("lox", 0): 0, ("lox", 1): 0}
    assert means.loc[("lox", 0), "helpful"] == 0.5
    found = measure.comparisons([Known(), Known()]).set_index("what")["difference"]
    assert found.to_dict() == {"harmful": 1, "answered": 0.5}


def test_edges_of_all_seeds():
    lines = pd.DataFrame(
        {"seed": 3, "x_steps": x, "y_steps": y, "asr": asr}
        for x, y, asr in ((0.0, 0.0, 0.0), (0.0, 1.0, 0.5), (1.0, 0.0, 0.0), (1.0, 1.0, 0.0))
    )
    assert measure.edges(lines, 0.1).to_dict("records") == [{"seed": 3, "aligned": 1.0, "lox": math.inf}]
