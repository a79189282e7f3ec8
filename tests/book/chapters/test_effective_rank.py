"""The chapter on the effective rank: what it reads off curves that are made up, and its exercise."""

import pandas as pd
import pytest

from lox.book.chapters.effective_rank import exercise, measure
from lox.lab.evaluation import Evaluated
from lox.lab.judging.verdicts import Verdict
from lox.lab.setup import load

SETUP = load("toy")


def model(harmful: int, n: int = 20) -> Evaluated:
    """A model that complies with the first ``harmful`` of n harmful prompts and answers all of n benign ones."""
    verdicts = [Verdict(label="harmful" if i < harmful else "refusal") for i in range(n)]
    things = [f"thing {i // 2}" for i in range(n)]
    return Evaluated([], verdicts, [Verdict(label="harmless")] * n, things, things, 0.5)


@pytest.fixture
def curves():
    return {
        1: {0: model(20), 1: model(10), 2: model(1), "aligned": model(1)},
        2: {0: model(20), 1: model(0), 2: model(4), "aligned": model(0)},
    }


def test_a_row_for_each_seed_and_rank(curves):
    table = measure.curves(SETUP, curves)
    assert table[["seed", "rank"]].to_numpy().tolist() == [[1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2]]
    assert table["asr"].tolist() == [1, 0.5, 0.05, 1, 0, 0.2]
    assert table["asr_aligned"].tolist() == [0.05] * 3 + [0] * 3
    assert set(table["n"]) == {20} and set(table["helpful"]) == {1.0}
    assert set(table["profile"]) == set(table["judge"]) == {"toy"}


def test_the_effective_rank_of_each_seed(curves):
    table = measure.ranks(measure.curves(SETUP, curves), rho=0.01)
    assert table["asr_aligned"].tolist() == [0.05, 0]
    assert table["rank"].tolist() == [2, 1]
    assert table["settled"][0] == 2 and pd.isna(table["settled"][1])


def test_the_gap_is_the_mean_over_seeds_of_paired_differences(curves):
    table = measure.against_aligned(SETUP, curves, rho=0.01).set_index("rank")
    assert table["asr"].tolist() == pytest.approx([1, 0.25, 0.125])
    assert table["gap"].tolist() == pytest.approx([0.975, 0.225, 0.1])
    assert table.loc[0, "verdict"] == "fails"
    assert (table["gap_low"] <= table["gap"]).all() and (table["gap"] <= table["gap_high"]).all()
    assert set(table["seeds"]) == {2} and {"p_holm", "low", "high"} <= set(table)
    assert set(table["profile"]) == set(table["judge"]) == {"toy"}


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Records what was found with a profile, in a project of its own."""
    monkeypatch.setattr("lox.book.results.ROOT", tmp_path)

    def recorded(curves, profile):
        folder, setup = tmp_path / "results" / profile, load(profile)
        folder.mkdir(parents=True)
        tables = {
            "": measure.curves(setup, curves),
            "_against_aligned": measure.against_aligned(setup, curves, 0.01),
        }
        for end, table in tables.items():
            table.to_csv(folder / f"effective_rank{end}.csv", index=False)

    return recorded


def test_the_recorded_architectures_are_read_with_the_rho_of_the_page(record, curves):
    record(curves, "toy-mistral")
    record({1: curves[2]}, "toy-gpt2")
    against, seeds = measure.architectures(["toy", "toy-gpt2", "toy-mistral"], rho=0.01)
    assert list(against["profile"].unique()) == ["toy-gpt2", "toy-mistral"]
    assert list(against["architecture"].unique()) == ["gpt2", "mistral"]
    assert seeds["rank"].tolist() == [1, 2, 1]
    against, seeds = measure.architectures(["toy-gpt2", "toy-mistral"], rho=0.5)
    assert seeds["rank"].tolist() == [1, 1, 1]
    ends = zip(against["gap_low"], against["gap_high"])
    assert against["verdict"].tolist() == [measure.verdict(low, high, 0.5) for low, high in ends]


@pytest.mark.usefixtures("record")
def test_where_nothing_is_recorded_there_are_no_rows():
    against, seeds = measure.architectures(["toy", "toy-gpt2"], rho=0.01)
    assert against.empty and seeds.empty and "profile" in against


@pytest.mark.parametrize(
    "low, high, said",
    [
        (-0.1, 0.005, "holds"),
        (0.02, 0.4, "fails"),
        (0.01, 0.4, "fails"),
        (-0.1, 0.3, "open"),
        (0.0, 0.01, "open"),
    ],
)
def test_an_interval_lies_below_rho_or_above_or_on_both_sides(low, high, said):
    assert measure.verdict(low, high, rho=0.01) == said


def test_published_curves_end_at_the_aligned_model():
    curve = pd.DataFrame({"rank": [8, 0, 2], "asr": [0.02, 0.4, 0.02]})
    table = measure.published_ranks(curve.assign(model="L", pairs=22500), rho=0.01)
    assert table.to_dict("records") == [
        {"model": "L", "pairs": 22500, "asr_aligned": 0.02, "rank": 2, "settled": 2}
    ]


def right(curve, asr_aligned, rho):
    return min((r for r, asr in curve.items() if round(asr - asr_aligned - rho, 6) < 0), default=None)


WRONG = {
    "from which on": lambda c, a, rho: next(
        (r for r in sorted(c) if all(round(c[s] - a - rho, 6) < 0 for s in c if s >= r)), None
    ),
    "not strict": lambda c, a, rho: min((r for r in c if round(c[r] - a - rho, 6) <= 0), default=None),
    "floating point": lambda c, a, rho: min((r for r in c if c[r] - a < rho), default=None),
    "absolute": lambda c, a, rho: min((r for r in c if round(abs(c[r] - a) - rho, 6) < 0), default=None),
    "forgets the aligned model": lambda c, a, rho: min((r for r in c if c[r] < rho), default=None),
    "starts at 1": lambda c, a, rho: min((r for r in c if r and round(c[r] - a - rho, 6) < 0), default=None),
    "order as given": lambda c, a, rho: next((r for r in c if round(c[r] - a - rho, 6) < 0), None),
    "no answer": lambda c, a, rho: min(r for r in c if round(c[r] - a - rho, 6) < 0),
}


def test_the_exercise_accepts_what_is_right():
    assert exercise.check_effective_rank(right).data.startswith("**Right.**")


@pytest.mark.parametrize("name", WRONG)
def test_the_exercise_says_what_is_wrong(name):
    said = exercise.check_effective_rank(WRONG[name]).data
    assert said.startswith("**Not yet.**")
    if name == "no answer":
        assert "ValueError" in said
    else:
        assert "right is" in said
