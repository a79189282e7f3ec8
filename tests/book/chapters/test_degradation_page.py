"""The page's sentences, both ways, and its figures, on tables made up for them."""

import math

import pandas as pd
import pytest

from lox.book.chapters.degradation import page
from lox.book.results import paper


def lost(low, high, pairs=800):
    columns = {"task": "gsm8k", "pairs": pairs, "p": 0.1, "seeds": 3, "n": 8}
    return columns | {"difference": (low + high) / 2, "low": low, "high": high}


def correlations(*ends):
    """A table with one k for each pair (low, high) of ends, and one predictor without a k."""
    lines = []
    for i, (low, high) in enumerate(ends):
        line = {"predictor": f"R_ft / R_align, k = {i + 1}", "k": float(i + 1)}
        line |= {"r": (low + high) / 2, "low": low, "high": high, "r_seed_1": -0.5, "r_seed_2": math.nan}
        line |= {"r_equal_size": (low + high) / 2, "equal_low": low, "equal_high": high}
        lines.append(line)
    nothing = dict.fromkeys(lines[0], math.nan)
    return pd.DataFrame([*lines, nothing | {"predictor": "alignment pairs"}])


def points():
    return pd.DataFrame(
        {
            "seed": s,
            "pairs": p,
            "share": 0.1 * k,
            "k": k,
            "ratio": p / 2000 + k / 10,
            "length": 2.0,
            "asr": 0.2,
        }
        | {"degradation": 0.0, "low": -0.1, "high": 0.1, "asr_before": 0.05}
        for s in (1, 2)
        for p in (800, 1200)
        for k in (1, 2)
    )


def test_losses_are_said_by_the_interval():
    table = pd.DataFrame([lost(0.1, 0.3), lost(-0.1, 0.1, 1200), lost(-0.3, -0.1, 1600)])
    assert page.degradation_in_words(table) == (
        "Fine-tuning on GSM8K raises the ASR of models aligned on 800 pairs (20 points [10, 30]); it lowers that of "
        "models aligned on 1600 pairs (-20 points [-30, -10]); it has no established effect on the ASR of models "
        "aligned on 1200 pairs (0 points [-10, 10])."
    )


def test_a_run_without_safety_to_lose_is_no_test():
    safe = pd.DataFrame({"pairs": [800, 1200], "safe": [1, 3], "models": [3, 3]})
    said = page.safety_in_words(safe)
    assert "2 of 6 aligned models were not safe" in said and "(2 of 3 with 800 pairs)" in said
    assert "does not test the paper's figure" in said
    assert page.safety_in_words(safe.assign(safe=3)).startswith("Every aligned model was safe")


def signs(*ends, p_holm=0.01):
    """A row for each pair (low, high) of ends of Student's interval, k = 1, 2, … ; p where the interval excludes 0."""
    return pd.DataFrame(
        {"k": k, "mean": (low + high) / 2, "low": low, "high": high, "smallest": low / 2, "largest": high / 2}
        | {"seeds": 3, "p_holm": 0.5 if low < 0 < high else p_holm}
        for k, (low, high) in enumerate(ends, start=1)
    )


def test_a_sign_is_stated_only_where_the_seeds_establish_it():
    said = page.signs_in_words(signs((-0.8, -0.4), (0.4, 0.8), (-0.8, 0.2)))
    assert said == (
        "Over the sizes of one seed, the sign of the correlation of R_ft / R_align with the loss of safety is "
        "negative, as in the paper, at k = 1 (-0.60 [-0.40, -0.20]); it is positive, against the paper, at k = 2 "
        "(+0.60 [+0.20, +0.40]); it is open at k = 3 (-0.30 [-0.40, +0.10]). Each is a mean over seeds [smallest, "
        "largest seed], tested over seeds, p corrected."
    )


def test_a_sign_that_does_not_outlast_the_correction_is_open_and_told_with_its_p():
    said = page.signs_in_words(signs((-0.8, -0.4), (-0.8, 0.2), p_holm=0.09))
    assert "is open at k = 1 (-0.60 [-0.40, -0.20], corrected p = 0.09) and k = 2 (-0.30" in said
    assert "negative" not in said


def test_where_no_seed_has_a_correlation_no_sign_is_told():
    assert "In no seed is a correlation" in page.signs_in_words(signs().reindex(columns=["k", "p_holm"]))


def test_the_finding_counts_the_seeds():
    safe = pd.DataFrame({"pairs": [800], "safe": [3], "models": [3]})
    found = page.finding(pd.DataFrame([lost(0.1, 0.3)]), signs((-0.9, -0.1)), safe, (2, 3)).data
    assert "more than the most aligned one in 2 of 3 seeds" in found


def test_points_at_zero_lie_apart_and_the_papers_are_named():
    figure = page.degradation(points()[points()["k"] == 1], paper("figure2"))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["22.5k", "32.8k", "45.0k", "65.6k"]
    assert axes.get_ylim()[0] < -0.05 and axes.get_ylim()[1] > 0.55
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "800 pairs",
        "1200 pairs",
        "paper (pairs)",
    ]
    figure.draw_without_rendering()


def test_every_k_is_named_at_its_line():
    figure = page.ratios(points())
    assert [text.get_text() for text in figure.axes[0].texts] == ["k = 1", "k = 2"]
    figure.draw_without_rendering()


def test_tables_have_few_columns_and_no_nan():
    found = correlations((-0.9, -0.1), (-0.5, 0.5))
    theirs = pd.DataFrame({"k": [10.0, 100.0], "r": -0.9, "low": -1.0, "high": 0.5})
    moves = pd.DataFrame({"k": [1, 2], "move": [0.2, 0.1]})
    shown = [
        page.directions(points()),
        page.sizes(
            points()[points()["k"] == 1], pd.DataFrame([lost(0, 0.1), lost(0, 0.1, 1200)]), paper("figure2")
        ),
        page.correlations(found),
        page.each_seed(found, signs((-0.9, -0.1))),
        page.beside_paper(found, theirs, moves, moves.assign(k=theirs["k"])),
    ]
    for table in shown:
        assert "nan" not in table.data and table.data.splitlines()[0].count("|") <= 6
    assert "| alignment pairs" in shown[2].data and "paper, 22500" in shown[1].data
    last = [cell.strip() for cell in shown[3].data.splitlines()[-1].split("|")[1:-1]]
    assert last == ["p, corrected", "0.01", "–"]  # at the second k no seed's correlation is defined
    assert "1 (10)" in shown[4].data and "2 (100)" in shown[4].data


@pytest.mark.parametrize(
    ("harm", "task", "place", "how"),
    [
        ([0.0, 0.1, 0.4], "Pure Bad (40 %)", "0.98, is the highest", "against"),
        ([0.5, 0.1, 0.4], "GSM8K (50 %)", "0.50, is the lowest", "with"),
    ],
)
def test_across_tasks_most_harm_goes_with_the_figure_or_against_it(harm, task, place, how):
    table = pd.DataFrame({"task": ["gsm8k", "dolly", "pure_bad"], "ratio": [0.5, 0.7, 0.98], "harm": harm})
    words = f"after {task}, where the ratio, {place} of the 3: across tasks that is {how} the figure."
    assert words in page.across_tasks_in_words(table).data
    assert page.across_tasks(table).data.splitlines()[2].split("|")[1].strip() == "GSM8K"
