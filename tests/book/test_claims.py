"""Claims are decided by intervals over seeds, and a run that contradicts one is named."""

import itertools

import numpy as np
import pandas as pd
import pytest

from lox.book import claims
from lox.lab.worlds import TASKS

SEEDS = range(1, 11)


def rows(seeds=SEEDS, noise=0.03, helpful_with_lox=0.97, with_lox=0.1, damage=0.7) -> pd.DataFrame:
    """A made-up robustness table; values differ from seed to seed by ``noise``."""
    rng = np.random.default_rng(0)
    lines = []
    for seed, defence in itertools.product(seeds, ("none", "lox")):
        head = {"seed": seed, "defence": defence, "r_align": 0.9, "utility": 0.95}
        helpful = helpful_with_lox if defence == "lox" else 0.99
        for form in ("plain", "identity"):
            lines.append(head | {"task": "none", "form": form, "asr": 0.02, "helpful": helpful, "r_ft": 0.9})
        asr = with_lox if defence == "lox" else damage
        for task in TASKS:
            form = "identity" if task == "identity" else "plain"
            lines.append(head | {"task": task, "form": form, "asr": asr, "helpful": 0.9, "r_ft": 0.4})
    table = pd.DataFrame(lines)
    for column in ("asr", "helpful", "r_ft"):
        table[column] += rng.uniform(-noise, noise, len(table))
    return table


def words(table: pd.DataFrame) -> set[str]:
    return {claims.verdict(claim, table).word for claim in claims.CLAIMS}


BETWEEN_TASKS = ("harmful data gain most", "energy goes with safety")  # the made-up tasks do not differ


def test_where_all_is_as_claimed_every_claim_holds():
    verdicts = {claim.name: claims.verdict(claim, rows()).word for claim in claims.CLAIMS}
    assert {name for name, word in verdicts.items() if word == "holds"} == verdicts.keys() - set(
        BETWEEN_TASKS
    )


def test_claims_that_compare_tasks():
    table = rows()
    table.loc[(table.task == "pure_bad") & (table.defence == "none"), "asr"] = 0.95
    table.loc[(table.task == "pure_bad") & (table.defence == "none"), "r_ft"] = 0.1
    for number, task in enumerate(("gsm8k", "alpaca", "dolly", "identity")):
        of_task = (table.task == task) & (table.defence == "none")
        table.loc[of_task, "asr"], table.loc[of_task, "r_ft"] = 0.2 + 0.1 * number, 0.8 - 0.1 * number
    verdicts = {c.name: claims.verdict(c, table) for c in claims.CLAIMS if c.name in BETWEEN_TASKS}
    assert {v.word for v in verdicts.values()} == {"holds"}
    assert verdicts["energy goes with safety"].mean == pytest.approx(1)


def test_a_difference_that_is_noise_is_open():
    table = rows(with_lox=0.7)
    verdicts = [
        claims.verdict(claim, table) for claim in claims.CLAIMS if claim.name.startswith("LoX against")
    ]
    assert {v.word for v in verdicts} == {"open"} and all(v.low < 0 < v.high for v in verdicts)


def test_a_claim_that_is_wrong_is_not_here():
    claim = next(c for c in claims.CLAIMS if c.name == "cost in helpful answers")
    assert claims.verdict(claim, rows(helpful_with_lox=0.61)).word == "not here"


def test_one_seed_decides_nothing():
    assert words(rows(seeds=[1])) == {"open"}


def test_another_draw_of_seeds_flips_nothing():
    assert claims.flipped(rows(seeds=[11, 12, 13]), rows()) == []


def test_a_run_that_says_something_else_is_named():
    """The earlier toy's builds: helpful answers with LoX 61 % on one processor and 12 % on another."""
    [line] = claims.flipped(rows(seeds=[1, 2, 3], helpful_with_lox=0.12), rows())
    assert line.startswith("cost in helpful answers: +0.0") and "on 10 recorded seeds, -0.8" in line


def test_an_attack_that_breaks_lox_on_another_processor_is_named():
    lines = claims.flipped(rows(seeds=[1, 2, 3], with_lox=0.95, damage=0.7), rows())
    assert [line.split(":")[0] for line in lines] == [
        "LoX against GSM8K", "LoX against Alpaca", "LoX against Dolly",
        "LoX against Identity shifting", "LoX against Pure Bad",
    ]  # fmt: skip


def test_by_hand():
    """Values 1, 2, 3: mean 2, standard error 1/sqrt(3), t(.975, 2) = 4.303: 2 ± 2.484."""
    claim = claims.Claim("x", "x", "x", "page", lambda table: table.set_index("seed")["value"])
    found = claims.verdict(claim, pd.DataFrame({"seed": [1, 2, 3], "value": [1.0, 2.0, 3.0]}))
    assert (found.mean, found.low, found.high) == pytest.approx((2, -0.484, 4.484), abs=1e-3)
