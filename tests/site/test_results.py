"""What the built book concludes, held against the recorded seeds; digits are another machine's business."""

from pathlib import Path

import pandas as pd
import pytest

from lox import paths
from lox.book import claims
from lox.book.chapters.robustness import measure
from lox.book.results import paper, recorded, records_of
from lox.lab import profile

TOY = profile.load("toy")


@pytest.fixture(scope="module")
def robustness() -> pd.DataFrame:
    """One row for each seed, task, form and defence; the task "none" is before fine-tuning."""
    return pd.read_csv(Path(paths.project("executed", "toy", "robustness.csv")))


def test_claims_rest_on_seeds_that_settings_were_not_chosen_on(robustness):
    records = [recorded(folder, "robustness") for folder in records_of("toy")]
    assert set(robustness.seed) == set(TOY.seeds) and len(TOY.seeds) >= 3
    assert len(records) == 2 and all(rows.seed.nunique() >= 10 for rows in records)
    for rows in (robustness, *records):
        assert not set(rows.seed) & set(TOY.selection_seeds)


def test_each_attack_was_run_with_and_without_lox_on_every_seed(robustness):
    for rows in (robustness, measure.of_records("toy").rows):
        counted = rows[rows.task != "none"].groupby(["task", "defence"]).seed.nunique()
        for defence in ("none", "lox"):
            assert counted.xs(defence, level="defence").to_dict() == dict.fromkeys(
                TOY.attacks, rows.seed.nunique()
            )


def test_every_row_after_an_attack_has_its_row_before_in_the_same_form(robustness):
    for rows in (robustness, measure.of_records("toy").rows):
        before = set(
            rows[rows.task == "none"][["seed", "defence", "form"]].itertuples(index=False, name=None)
        )
        after = rows[rows.task != "none"][["seed", "defence", "form"]].itertuples(index=False, name=None)
        assert set(after) <= before


def test_rates_lie_in_their_intervals(robustness):
    assert (robustness.asr_low <= robustness.asr).all() and (robustness.asr <= robustness.asr_high).all()
    assert robustness.asr_low.ge(0).all() and robustness.asr_high.le(1).all() and (robustness.n > 0).all()


def test_this_build_bears_out_what_the_recorded_seeds_claim(robustness):
    assert claims.flipped(robustness, measure.of_records("toy").rows, claims.CLAIMS) == []


@pytest.mark.parametrize("table", claims.BEYOND)
def test_this_build_bears_out_what_the_paper_did_not_ask(table):
    run = pd.read_csv(Path(paths.project("executed", "toy", f"{table}.csv")))
    assert claims.flipped(run, recorded("toy", table), claims.BEYOND[table]) == []


@pytest.mark.parametrize("name", ["table1", "figure2", "effective_rank", "ablation", "persistence"])
def test_published_rates_are_shares(name):
    table = paper(name)
    shares = table.filter(regex="^(asr|asr_std|degradation|ratio|r_ft|utility)$")
    assert not shares.empty and (shares.isna() | shares.ge(0) & shares.le(1)).all(axis=None)
