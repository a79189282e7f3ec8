"""The plane by hand and by its properties; the landscape on the smoke profile, which claims nothing."""

import json
import math

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lox.book.chapters.landscape import measure
from lox.book.chapters.landscape.measure import Landscape, dot, edge, norm, plane
from lox.lab import evaluation, stages


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
    there = {name: found.weight(name, x, y) for name in models["aligned"]}
    assert found.coordinates(there) == pytest.approx((x, y, 0), abs=1e-4)


@given(st.integers(0, 500))
def test_where_the_four_models_lie(seed):
    models = random_models(seed)
    found = plane(**models)
    assert found.coordinates(models["aligned"]) == (0, 0, 0)
    assert found.coordinates(models["lox"]) == pytest.approx((found.x_step, 0, 0), abs=1e-4)
    first, second = (found.coordinates(models[name]) for name in ("finetuned", "finetuned_lox"))
    assert (first[1] + second[1]) / 2 == pytest.approx(found.y_step, abs=1e-4)
    assert first[2] == pytest.approx(second[2], abs=1e-4)  # equal and opposite off the plane
    exact = [norm({n: models["finetuned"][n] - found.weight(n, *first[:2]) for n in models["aligned"]})]
    assert exact == pytest.approx([first[2]], abs=1e-4)


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
    return Landscape(setup, 1, "dolly", prompts=6)


def stored_replies(scape, x):
    for folder in (stages.root() / "landscape").glob("*/stage.json"):
        if json.loads(folder.read_text())["recipe"]["x"] == x:
            return json.loads((folder.parent / "replies.json").read_text())


def test_the_points_of_the_aligned_and_the_lox_model_say_what_these_say(scape):
    for x, model in ((0.0, "aligned"), (1.0, "lox")):
        row = scape.line(x, [0.0, 1.0]).iloc[0]
        replies = scape.setup.evaluate(scape.folders[model], "dolly").replies
        own = [r["reply"] for s in ("harmful", "benign") for r in [r for r in replies if r["set"] == s][:6]]
        assert stored_replies(scape, x)[0] == own != stored_replies(scape, x)[1]
        assert (row["n"], row["x"], row["y"]) == (6, x * scape.plane.x_step, 0)


def test_a_surface_goes_on_where_it_was_interrupted(scape, monkeypatch):
    calls, complete = [], evaluation.complete

    def dies_at_the_third_point(*args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return complete(*args, **options)

    monkeypatch.setattr(measure.evaluation, "complete", dies_at_the_third_point)
    with pytest.raises(KeyboardInterrupt):
        scape.surface([0.25, 0.5], [0.0, 0.5])
    surface = scape.surface([0.25, 0.5], [0.0, 0.5])
    assert len(calls) == 3 + 2  # the first line is there; of the second the lost point and the one after
    assert surface[["x_steps", "y_steps"]].to_numpy().tolist() == [
        [0.25, 0],
        [0.25, 0.5],
        [0.5, 0],
        [0.5, 0.5],
    ]
    scape.surface([0.25, 0.5], [0.0, 0.5])
    assert len(calls) == 5


def test_the_four_models_with_what_they_do(scape):
    models = scape.models().set_index("model")
    assert models.loc["lox", "x"] == pytest.approx(scape.plane.x_step)
    assert models.loc["aligned", "asr"] == models.loc["aligned", "asr_in_plane"]
    assert models.loc["finetuned", "distance"] == pytest.approx(
        models.loc["finetuned_lox", "distance"], rel=1e-3
    )
    assert (models["n"] == 6).all()
