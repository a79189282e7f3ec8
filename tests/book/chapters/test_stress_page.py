"""Figures, tables and the finding of the chapter on stress, on tables made up for them."""

import math

import pandas as pd
import pytest

from lox.book import results
from lox.book.chapters.stress import causal, in_words, page, parts, tables
from lox.book.chapters.stress.exercise import check_counteraction
from lox.book.chapters.stress.names import VARIANT_NAMES

THEIRS = causal.without_and_with(results.paper("table1"), ["task"])
FIRSTS = {
    "none": [
        ("all: whole", "all: nothing"),
        ("safety: inside", "all: nothing"),
        ("safety: inside", "random: inside, scaled"),
        ("all: whole", "safety: outside"),
        ("random: outside", "safety: outside"),
        ("own: inside", "safety: inside"),
        ("safety: outside", "all: nothing"),
    ],
    "lox": [("all: whole", "all: nothing"), ("all: whole, of the undefended run", "all: nothing")],
}


def differences(value, p):
    return pd.DataFrame(
        {"task": task, "defence": defence, "first": first, "second": second}
        | {"difference": value, "low": value - 0.1, "high": value + 0.1, "p": p, "p_holm": p, "seeds": 3}
        for defence, pairs in FIRSTS.items()
        for first, second in pairs
        for task in ("dolly", "all")
    )


@pytest.fixture
def geometry():
    return pd.DataFrame(
        {"seed": seed, "task": task, "defence": defence, "subspace": subspace, "chance": 0.1, "overlap": 0.2}
        | {"share": 0.3, "counteraction": 0.1 * seed - 0.05 * (task == "dolly"), "undone": 0.02}
        for seed in (1, 2)
        for task in ("dolly", "pure_bad")
        for defence in ("none", "lox")
        for subspace in ("safety", "own")
    )


@pytest.fixture
def shares():
    values = {"damage_difference": 0.4, "damage_low": 0.2, "damage_high": 0.6}
    values |= {"gone_difference": 0.1, "gone_low": 0.0, "gone_high": 0.2, "gone_p_holm": 0.2}
    return pd.DataFrame(
        [
            {"task": "dolly", "share": math.nan, "damage_p_holm": 0.2} | values,
            {"task": "all", "share": 0.25, "damage_p_holm": 0.01} | values,
        ]
    )


@pytest.mark.parametrize(
    ("value", "p", "said"),
    [
        (
            0.3,
            0.001,
            [
                "averaged over the tasks, raises the ASR: a difference of 30 points [20, 40]",
                "put in alone, raises the ASR",
                "The ASR is higher than that of a random part",
                "Leaving that part out lowers the ASR (taken off: 30 points [20, 40], 25 % of the damage)",
                "which is more than what leaving out random",
                "has an ASR above the start's",
                "put in as it is, raises it",
            ],
        ),
        (
            0.3,
            0.3,
            [
                "not distinguished from the start's",
                "does not distinguishably change the ASR",
                "which is not distinguished from what leaving out random",
                "does not distinguishably change the ASR",
            ],
        ),
        (
            -0.3,
            0.001,
            ["lowers the ASR: a difference of -30", "which is less than", "an ASR below the start's"],
        ),
    ],
)
def test_the_finding_says_what_the_corrected_p_allows(geometry, shares, value, p, said):
    found = in_words.finding(differences(value, p), means(variants()), shares, geometry, recorded=True).data
    assert "Recorded, over 3 seeds: fine-tuning as a whole" in found
    for sentence in said:
        assert sentence in found
    assert (
        "against $\\Delta W_\\text{align}$ in every seed after all 2 tasks; "
        "the mean counteraction lies between 0.10 and 0.15" in found
    )


def test_without_damage_there_is_no_share_of_it(geometry, shares):
    found = in_words.finding(
        differences(0.3, 0.3), means(variants()), shares.assign(share=math.nan), geometry, recorded=False
    ).data
    assert "This run, over 3 seeds: fine-tuning" in found
    assert "of the damage" not in found


def test_a_share_stands_only_beside_a_damage_that_is_distinguished(shares):
    dolly, mean = tables.damage(shares).data.splitlines()[2:]
    assert "Dolly" in dolly and "40 [20, 60]" in dolly and "not distinguished" in dolly and "%" not in dolly
    assert "mean over tasks" in mean and "10 [0, 20]" in mean and "25 %" in mean
    fell = shares.assign(damage_difference=-0.4, damage_low=-0.6, damage_high=-0.2, damage_p_holm=0.01)
    assert tables.damage(fell).data.count("no damage") == 2


@pytest.mark.parametrize("matrices", [0.05, 0.8])
def test_the_finding_says_how_much_room_the_inside_has(geometry, shares, matrices):
    table = means(variants())
    table.loc[table["part"] == "split only", ["asr", "low", "high"]] = matrices, matrices / 2, 1
    found = in_words.finding(differences(0.3, 0.01), table, shares, geometry, recorded=False).data
    assert (
        f"without embeddings, head and norms, give an ASR of {100 * matrices:.0f} % [{50 * matrices:.0f}, 100], all of "
        "$\\Delta W_\\text{ft}$ one of 15 % [5, 30]: where the first is little, the inside alone can hardly show more"
    ) in found


def test_the_dimension_of_the_safety_subspace_is_said():
    said = [in_words.dimension(k).data for k in (1, 6)]
    assert said[0].endswith("has $k = 1$ dimension.") and said[1].endswith("has $k = 6$ dimensions.")


@pytest.mark.parametrize(
    ("value", "p", "said"),
    [
        (0.3, 0.01, "takes it apart"),
        (-0.3, 0.01, "lowers the ASR here"),
        (0.1, 0.4, "No damage is distinguished"),
    ],
)
def test_what_is_left_after_lox(value, p, said):
    assert said in in_words.left_after_lox(differences(value, p)).data


def test_contrasts_are_counted_over_tasks():
    line = "- ASR of *all of it* against *nothing (the start)*: higher after 1 of 1 tasks, lower after 0, not"
    assert line in in_words.contrasts_in_words(differences(0.3, 0.01).query("defence == 'none'")).data
    assert (
        "higher after 0 of 1 tasks, lower after 0, not distinguished after 1."
        in in_words.contrasts_in_words(differences(0.3, 0.5)).data
    )
    assert "| mean over tasks | all of it " in tables.contrasts(differences(0.3, 0.01)).data


def variants():
    return pd.DataFrame(
        {
            "seed": seed,
            "task": task,
            "subspace": name.split(": ")[0],
            "part": name.split(": ")[1],
            "asr": 0.1 * seed,
        }
        | {"gibberish": 0.0, "helpful": 1.0, "utility": 0.5}
        for seed in (1, 2)
        for task in ("dolly", "pure_bad")
        for name in (*page.MAIN, "all: split only")
    )


def means(table):
    first = table.drop_duplicates(["subspace", "part"])[["subspace", "part"]]
    return first.assign(task="all", asr=0.15, low=0.05, high=0.3)


def test_figures_name_variants_and_tasks_for_readers(geometry):
    table = variants()
    figure = page.causal_test(means(table), table)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [VARIANT_NAMES[n] for n in page.MAIN]
    tasks = [t.get_text() for t in page.stress_variants(table).axes[0].get_xticklabels()]
    assert tasks == ["Dolly", "Pure Bad"]
    panels = page.stress_geometry(geometry[geometry["subspace"] == "safety"]).axes
    assert [t.get_text() for t in panels[-1].get_xticklabels()] == ["Dolly", "Pure Bad"]
    gains = pd.DataFrame([{"seed": 1, "task": "dolly", "without": 0.8, "with": 0.2}])
    assert len(page.stress_gain(gains, THEIRS).axes) == 2


def test_tables_for_readers(geometry):
    table = variants()
    assert "15 % [5, 30]" in tables.variants(table, means(table)).data
    assert "own top directions" in tables.controls(geometry).data
    assert (
        "Pure Bad" in tables.harmful_data(geometry).data
        and "0.15 [0.10, 0.20]" in tables.harmful_data(geometry).data
    )
    assert tables.with_and_without(geometry).data.count("Dolly") == 2
    gains = pd.DataFrame([{"seed": 1, "task": "dolly", "without": 0.8, "with": 0.2}])
    said = tables.gains_beside_paper(gains, THEIRS).data
    assert "75 %" in said and "52 %" in said
    none = tables.gains_beside_paper(gains.assign(without=0.0, **{"with": 0.0}), THEIRS).data
    assert "nan" not in none


def test_no_rank_correlation_is_printed_as_nan():
    found = pd.DataFrame(
        {
            "geometry": "share",
            "effect": "damage",
            "seed": [1, 2],
            "tasks": [5, 2],
            "correlation": [0.5, math.nan],
        }
    )
    said = tables.correlations(found).data
    assert "0.50 (5), – (2)" in said and "nothing to rank" in said and "nan" not in said
    assert "rank correlation, each seed (tasks)" in said and "at least 5 points" in said
    whole = tables.correlations(found.assign(correlation=[0.5, 1])).data
    assert "0.50 (5), 1.00 (2)" in whole and "dash" not in whole


def test_recorded_contrasts_are_readable():
    assert "inside the safety subspace" in tables.contrasts(results.recorded("smollm2", "stress_paired")).data


def right(U, align, ft):
    return -((U.T @ align) * (U.T @ ft)).sum() / ((U.T @ align).norm() * (U.T @ ft).norm())


@pytest.mark.parametrize(
    ("student", "said"),
    [
        (right, "**Right.**"),
        (lambda U, a, f: -right(U, a, f), "the sign is missing"),
        (lambda U, a, f: -(a * f).sum() / (a.norm() * f.norm()), "were not projected"),
        (
            lambda U, a, f: -((U.T @ a) * (U.T @ f)).sum() / (a.norm() * f.norm()),
            "norms of the whole updates",
        ),
        (
            lambda U, a, f: -((U.T @ a) * (U.T @ f)).sum() / ((U.T @ a).norm() * f.norm()),
            "only one of the two",
        ),
        (lambda U, a, f: parts.undone(U, a, f), "the share that is undone"),
        (lambda U, a, f: parts.share(U, f), "the share of ΔW_ft inside"),
        (lambda U, a, f: 0.5, "not 0.500"),
        (lambda U, a, f: U.T @ a, "must be one number"),
    ],
)
def test_the_exercise_says_what_is_wrong(student, said):
    assert said in check_counteraction(student).data
