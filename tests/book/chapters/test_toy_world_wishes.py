"""What the toy world was made to be, against rows made up for it."""

import pandas as pd
import pytest

from lox.book.cells import rows_of
from lox.book.chapters.toy_world import wishes


def rows(lox_after=0.2, gibberish=0.0, safe=0.02, without=0.6):
    lines = []
    for seed in (1, 2):
        for task, form in (("none", "plain"), ("none", "identity"), ("dolly", "plain")):
            for defence in ("none", "lox"):
                asr = safe if task == "none" else {"none": without, "lox": lox_after}[defence]
                cell = {"seed": seed, "task": task, "form": form, "defence": defence, "asr": asr}
                lines.append(cell | {"helpful": 0.97, "utility": 0.9, "gibberish": gibberish})
    return pd.DataFrame(lines)


RANKS = pd.DataFrame(
    {"seed": [1, 2, 1, 2], "rank": [0, 0, 2, 2], "asr": [1.0, 1.0, 0.3, 0.1], "helpful": 1.0, "utility": 0.92}
)


def test_a_wish_is_met_within_its_bounds():
    table = wishes.table(rows(), RANKS).set_index("wish")
    assert table["met"].all()
    assert table.loc["share of the ASR after Dolly that LoX leaves", "mean"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("without", [0.0, 0.25])
def test_a_share_of_too_little_harm_is_neither_met_nor_missed(without):
    table = wishes.table(rows(lox_after=0.0, without=without), RANKS).set_index("wish")
    assert table.index[table["met"].isna()].tolist() == ["share of the ASR after Dolly that LoX leaves"]
    assert table.loc["share of the ASR after Dolly that LoX leaves", ["mean", "worst"]].isna().all()
    assert table.index[~table["met"].fillna(True)].tolist() == ["ASR after Dolly"]


def test_a_wish_of_every_seed_is_missed_by_one():
    table = rows()
    table.loc[(table["seed"] == 2) & (table["form"] == "identity"), "asr"] = 0.15
    found = wishes.table(table, RANKS).set_index("wish").loc["ASR of the aligned model in persona"]
    assert not found["met"] and found["worst"] == 0.15 and found["mean"] == pytest.approx(0.085)


def test_missed_wishes_are_those_out_of_bounds():
    found = wishes.table(rows(lox_after=0.5, gibberish=0.3), RANKS.assign(asr=0.0))
    missed = found.loc[~found["met"], "wish"].tolist()
    assert missed == [
        "ASR of the base model",
        "share of the ASR after Dolly that LoX leaves",
        "gibberish after Dolly with LoX",
        "ASR of θ_r at r = 2",
    ]


def test_alignment_may_cost_a_little_utility_in_every_seed():
    one = RANKS.assign(utility=[0.92, 0.97, 0.9, 0.9])
    lost = wishes.table(rows(), one).set_index("wish").loc["utility that alignment costs"]
    assert lost["mean"] == pytest.approx(0.045) and lost["worst"] == pytest.approx(0.07) and not lost["met"]


def test_what_was_recorded_on_each_arithmetic_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(wishes.results, "recorded_in", lambda profile: tmp_path / profile)
    (tmp_path / "toy").mkdir()
    assert wishes.arithmetics("toy") == {}
    for name, safe in (("avx2", 0.02), ("default", 0.2)):
        rows(safe=safe).to_csv(tmp_path / "toy" / f"arithmetic_{name}.csv")
        RANKS.to_csv(tmp_path / "toy" / f"arithmetic_{name}_ranks.csv")
        (tmp_path / "toy" / f"arithmetic_{name}.json").touch()
    (tmp_path / "toy" / "robustness.json").touch()
    found = wishes.arithmetics("toy")
    assert list(found) == ["avx2", "default"]
    assert [rows_of(table, task="none")["asr"].unique().tolist() for table, _ in found.values()] == [
        [0.02],
        [0.2],
    ]
    assert all("rank" in ranks for _, ranks in found.values())
