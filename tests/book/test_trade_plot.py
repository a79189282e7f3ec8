"""Points of defences and their names, which do not overlap however near the points are."""

from itertools import combinations

import pandas as pd
import pytest
from matplotlib.text import Text

from lox.book import trade_plot
from lox.book.names import DEFENCE_NAMES


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], []),
        ([0.2, 0.8], [0.2, 0.8]),
        ([0.2, 0.2, 0.3], [0.2, 0.3, 0.4]),
        ([0.8, 0.95, 0.98], [0.8, 0.9, 1.0]),
        ([1.0, 1.0, 1.0], [0.8, 0.9, 1.0]),
    ],
)
def test_places_are_spread_by_hand(places, expected):
    assert trade_plot.spread(places, 0.1) == pytest.approx(expected)


@pytest.mark.parametrize("asr", [0.0, 0.3, 1.0])
def test_names_of_equal_points_do_not_overlap(asr):
    rate = {"asr": asr, "asr_low": asr, "asr_high": asr}
    rate |= {"unanswered": 0.1, "unanswered_low": 0.0, "unanswered_high": 0.2}
    means = pd.DataFrame({"defence": defence} | rate for defence in DEFENCE_NAMES)
    figure = trade_plot.trade(means, means, unanswered="not answered", asr="ASR")
    figure.draw_without_rendering()
    names = figure.axes[0].texts
    boxes = [Text.get_window_extent(name) for name in names]  # without the line to its point
    assert {name.get_text() for name in names} == set(DEFENCE_NAMES.values())
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(0 <= box.x0 and box.x1 <= figure.bbox.width for box in boxes)
