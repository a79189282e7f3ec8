"""Figures, tables and the finding of the landscape, on tables made up for them."""

import math

import pandas as pd
import pytest
import torch

from lox.book.chapters.landscape import page
from lox.book.chapters.landscape.exercise import check_direction


def comparisons(value, low, high):
    columns = {"difference": value, "low": low, "high": high, "seeds": 2}
    return pd.DataFrame([{"what": what} | columns for what in ("harmful", "answered")])


EDGES = pd.DataFrame({"seed": [1, 2], "aligned": [0.5, 1.0], "lox": [math.inf, 0.75]})


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        (
            (0.3, 0.1, 0.5),
            ["LoX model has a lower ASR", "answers fewer harmless", "30 points [10, 50]"],
        ),
        ((-0.3, -0.5, -0.1), ["LoX model has a higher ASR", "answers more harmless"]),
        (
            (0.1, -0.1, 0.3),
            ["the aligned model are not distinguished:", "not distinguished in number"],
        ),
    ],
)
def test_the_finding_says_what_the_interval_allows(interval, said):
    found = page.finding(comparisons(*interval), EDGES, 0.1, 2.75).data
    for sentence in said:
        assert sentence in found
    assert "One step along $d_2$ (the mean fine-tuning update across LoX's step) away, " in found
    assert (
        "above 10 %, is further away from the LoX model than from the aligned one in 1 of 2 seeds and nearer in 1"
        in found
    )


@pytest.fixture
def surface():
    return pd.DataFrame(
        {"x": x, "y": y, "asr": 0.1, "helpful": 0.9} for x in (0.0, 1.0, 2.0) for y in (0.0, 1.0)
    )


@pytest.fixture
def models():
    names = ("aligned", "lox", "finetuned", "finetuned_lox")
    columns = {"y": 0.0, "asr": 0.2, "asr_in_plane": 0.3, "helpful": 0.9, "distance": 0.5}
    return pd.DataFrame({"model": name, "x": float(i)} | columns for i, name in enumerate(names))


NAMES = ["aligned", "LoX", "fine-tuned", "LoX, fine-tuned"]


def test_both_maps_label_every_model(surface, models):
    figure = page.safety_landscape(surface, models)
    for axes in figure.axes[:2]:
        assert [text.get_text() for text in axes.texts] == NAMES


def test_no_label_can_be_hidden_by_the_surface(surface, models):
    """Annotations are drawn over the scene; the text of marks would be part of it."""
    figure = page.safety_surface(surface, models)
    assert [a.text for a in figure.layout.scene.annotations] == NAMES
    assert figure.data[1].mode == "markers"
    assert figure.data[0].colorbar.orientation == "h" and figure.data[0].colorbar.len < 1


def test_lines_and_tables(models):
    lines = pd.DataFrame(
        {"seed": seed, "x_steps": float(x), "y_steps": y, "asr": 0.1, "helpful": 1.0}
        for seed in (1, 2)
        for x in (0, 1)
        for y in (0.0, 1.0)
    )
    means = pd.DataFrame(
        {"start": start, "y_steps": y, "asr": 0.1, "low": 0.0, "high": 0.3, "helpful": 1.0}
        for start in ("aligned", "lox")
        for y in (0.0, 1.0)
    )
    figure = page.landscape_lines(lines, means, 0.1)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "from the aligned model",
        "from the LoX model",
    ]
    assert "beyond 2.75" in page.edges(EDGES, 2.75).data


def test_models_are_shown_where_they_lie_with_their_projections(models):
    placed = models.assign(x=[0.0, 2.0, -0.2, 2.1], y=[0.0, 0.0, 7.9, 8.1])
    shown = page.in_plane(placed, 2.0, 8.0).data
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown.splitlines() if "|" in line]
    assert rows[0] == ["Model", "x, y", "off the plane", "ASR", "ASR of its projection"]
    assert ["LoX", "1.00, 0.00", "0.25", "20 %", "30 %"] in rows
    assert ["LoX, fine-tuned", "1.05, 1.01", "0.25", "20 %", "30 %"] in rows
    assert "y in steps of the mean fine-tuning update across it, each 4 times as long." in shown


@pytest.mark.parametrize(
    ("x", "said"),
    [
        ([0.0, 2.0, -0.2, 2.1], ["aligned model by -0.10 (back, against", "LoX model by 0.05 (on, along"]),
        ([0.0, 2.0, 0.4, 1.0], ["aligned model by 0.20 (on, along", "LoX model by -0.50 (back, against"]),
    ],
)
def test_how_far_fine_tuning_goes_along_lox_is_said_with_its_way(models, x, said):
    shown = page.in_plane(models.assign(x=x), 2.0, 8.0).data
    assert all(sentence in shown for sentence in said)


def right(step, update):
    first = step / step.norm()
    across = update - (update @ first) * first
    return across / across.norm()


@pytest.mark.parametrize(
    ("student", "said"),
    [
        (right, "**Right.**"),
        (lambda s, u: -right(s, u), "check the sign"),
        (lambda s, u: u - (u @ s) / (s @ s) * s, "its length is not 1"),
        (lambda s, u: u / u.norm(), "is still in it"),
        (lambda s, u: u - (u @ s) * s, "as if it had length 1"),
        (lambda s, u: u + s, "not at right angles"),
        (lambda s, u: torch.linalg.svd(torch.stack([s, u])).Vh[-1], "does not lie in the plane"),
        (lambda s, u: float(u @ s), "must be a vector"),
    ],
)
def test_the_exercise_says_what_is_wrong(student, said):
    assert said in check_direction(student).data
