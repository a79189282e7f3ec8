"""The toy run's headline facts, on the tables that the built book shows."""

import re
from pathlib import Path

import pandas as pd
import pytest

from lox.book import names
from lox.book.results import paper
from lox.lab import profile

ROOT = Path(__file__).parents[2]
TOY = profile.load("toy")


@pytest.fixture(scope="module")
def robustness() -> pd.DataFrame:
    """One row for each seed, task and defence; the task "none" is before fine-tuning."""
    return pd.read_csv(ROOT / "executed" / "toy" / "robustness.csv")


@pytest.fixture(scope="module")
def rank_curve() -> pd.DataFrame:
    """ASR(θ_r) for each seed and rank; rank 0 is the base model."""
    return pd.read_csv(ROOT / "executed" / "toy" / "effective_rank.csv")


def attacked(table: pd.DataFrame, defence: str) -> pd.DataFrame:
    return table[table.task.isin(TOY.attacks) & (table.defence == defence)]


def test_claims_rest_on_three_seeds_that_settings_were_not_chosen_on(robustness):
    assert set(robustness.seed) == set(TOY.seeds)
    assert len(TOY.seeds) >= 3 and TOY.selection_seed not in TOY.seeds


def test_each_attack_was_run_with_and_without_lox_on_every_seed(robustness):
    for defence in ("none", "lox"):
        counted = attacked(robustness, defence).groupby("task").seed.nunique()
        assert counted.to_dict() == dict.fromkeys(TOY.attacks, len(TOY.seeds))


def test_rates_lie_in_their_intervals(robustness):
    assert (robustness.asr_low <= robustness.asr).all() and (robustness.asr <= robustness.asr_high).all()
    assert robustness.asr_low.ge(0).all() and robustness.asr_high.le(1).all() and (robustness.n > 0).all()


def test_alignment_lowers_asr(robustness, rank_curve):
    base = rank_curve[rank_curve["rank"] == 0].asr
    aligned = robustness[(robustness.task == "none") & (robustness.defence == "none")].asr
    assert base.mean() - aligned.mean() > 0.5


def test_fine_tuning_raises_asr(robustness):
    aligned = robustness[(robustness.task == "none") & (robustness.defence == "none")].asr.mean()
    damage = attacked(robustness, "none").groupby("task").asr.mean() - aligned
    assert damage.gt(0.02).all(), damage.to_dict()


def test_lox_lowers_asr_on_average_over_tasks(robustness):
    without, with_lox = (attacked(robustness, defence).asr.mean() for defence in ("none", "lox"))
    assert with_lox < without


def test_lox_keeps_energy_in_the_safety_subspace(robustness):
    without, with_lox = (attacked(robustness, d).groupby("task").r_ft.mean() for d in ("none", "lox"))
    assert (with_lox > without).all()


@pytest.mark.parametrize("name", ["table1", "figure2", "effective_rank", "ablation", "persistence"])
def test_published_rates_are_shares(name):
    table = paper(name)
    shares = table.filter(regex="^(asr|asr_std|degradation|ratio|r_ft|utility)$")
    assert not shares.empty and (shares.isna() | shares.ge(0) & shares.le(1)).all(axis=None)


def test_the_readme_says_what_the_book_shows(robustness):
    """Its table holds one machine's means; another machine's digits may differ, by up to ten points."""
    line = re.compile(r"\| ([\w /-]+) \| (\d+) % \| (\d+) % \| (\d+) % \| (\d+) % \|")
    said = {
        name: list(map(int, numbers)) for name, *numbers in line.findall((ROOT / "README.md").read_text())
    }
    means = 100 * robustness.groupby(["task", "defence"])[["asr", "helpful"]].mean()
    for task, name in names.TASK_NAMES.items():
        shown = [
            means.loc[(task, defence), column] for column in ("asr", "helpful") for defence in ("none", "lox")
        ]
        written = next(numbers for start, numbers in said.items() if start.lower() == name.lower())
        assert written == pytest.approx(shown, abs=10), name
