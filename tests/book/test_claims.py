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
    assert claims.flipped(rows(seeds=[11, 12, 13]), rows(), claims.CLAIMS) == []


def test_a_run_that_says_something_else_is_named():
    """The earlier toy's builds: helpful answers with LoX 61 % on one processor and 12 % on another."""
    [line] = claims.flipped(rows(seeds=[1, 2, 3], helpful_with_lox=0.12), rows(), claims.CLAIMS)
    assert line.startswith("cost in helpful answers: +0.0") and "on 10 recorded seeds, -0.8" in line


def test_an_attack_that_breaks_lox_on_another_processor_is_named():
    lines = claims.flipped(rows(seeds=[1, 2, 3], with_lox=0.95, damage=0.7), rows(), claims.CLAIMS)
    assert [line.split(":")[0] for line in lines] == [
        "LoX against GSM8K", "LoX against Alpaca", "LoX against Dolly",
        "LoX against Identity shifting", "LoX against Pure Bad",
    ]  # fmt: skip


def test_by_hand():
    """Values 1, 2, 3: mean 2, standard error 1/sqrt(3), t(.975, 2) = 4.303: 2 ± 2.484."""
    claim = claims.Claim("x", "x", "x", "page", lambda table: table.set_index("seed")["value"])
    found = claims.verdict(claim, pd.DataFrame({"seed": [1, 2, 3], "value": [1.0, 2.0, 3.0]}))
    assert (found.mean, found.low, found.high) == pytest.approx((2, -0.484, 4.484), abs=1e-3)


def courses(with_lox: float, seeds=SEEDS) -> pd.DataFrame:
    """Made-up doses: without a defence every model breaks after 8 steps, with LoX after so many times that."""
    return pd.DataFrame(
        {"seed": seed, "task": task, "defence": defence, "step": step, "asr": float(step >= 8 * times)}
        for seed in seeds
        for task in ("pure_bad", "dolly")
        for defence, times in (("none", 1), ("lox", with_lox))
        for step in (0, 1, 2, 4, 8, 16, 32)
    )


def attacked(asr: dict[str, float], seeds=SEEDS) -> pd.DataFrame:
    """Made-up rows of attackers: their ASR with LoX where it is given, else .95, and .01 of whom nobody attacked."""
    names = ["nothing", *(claim.name for claim in claims.BEYOND["attackers"])]
    known = {"nothing": 0.01, "int8": 0.01, "int4": 0.02} | asr
    return pd.DataFrame(
        {"seed": seed, "attacker": name, "defence": "lox", "asr": known.get(name, 0.95)}
        for seed in seeds
        for name in names
    )


def rivals(asr: dict[str, float], seeds=SEEDS) -> pd.DataFrame:
    """Made-up rows of rivals after two tasks: the ASR that is given, else .2, and .6 without a defence."""
    names = ["none", *(claim.name.split()[0] for claim in claims.BEYOND["rivals"])]
    return pd.DataFrame(
        {"seed": seed, "task": task, "defence": name, "asr": ({"none": 0.6} | asr).get(name, 0.2)}
        for seed in seeds
        for task in ("dolly", "pure_bad")
        for name in names
    )


def parts(outside: float, seeds=SEEDS) -> pd.DataFrame:
    """Made-up rows of the causal test: an ASR of .6 with all of fine-tuning, .55 without a random part of it."""
    asr = {("all", "whole"): 0.6, ("random", "outside"): 0.55, ("safety", "outside"): outside}
    return pd.DataFrame(
        {"seed": seed, "task": task, "defence": "none", "subspace": subspace, "part": part, "asr": value}
        for seed in seeds
        for task in ("dolly", "pure_bad")
        for (subspace, part), value in asr.items()
    )


MADE = {"dose": courses(4), "attackers": attacked({}), "rivals": rivals({}), "stress": parts(0.1)}


def test_a_table_has_made_up_rows():
    assert MADE.keys() == claims.BEYOND.keys()


@pytest.mark.parametrize("table", claims.BEYOND)
def test_what_the_paper_did_not_ask_holds_where_it_is_so(table):
    assert {claims.verdict(claim, MADE[table]).word for claim in claims.BEYOND[table]} == {"holds"}
    assert claims.flipped(MADE[table], MADE[table], claims.BEYOND[table]) == []


def test_times_as_many_steps_are_a_logarithm_of_the_ratio():
    (claim, _) = claims.BEYOND["dose"]
    assert claims.verdict(claim, courses(4)).mean == pytest.approx(2)
    # 0 at 4 and 1 at 8: broken half-way on the logarithm; where nothing breaks it, the last step counts
    assert claims.verdict(claim, courses(100)).mean == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("table", "run", "named"),
    [
        ("dose", courses(0.25, [1, 2, 3]), "dose of Pure Bad"),
        ("attackers", attacked({"prefill": 0.1}, [1]), "prefill"),
        ("attackers", attacked({"int4": 0.9}, [1]), "int4"),
        ("rivals", rivals({"resta": 0.9}, [1, 2]), "resta as a rival"),
        ("stress", parts(0.8, [1, 2, 3]), "damage needs the inside"),
    ],
)
def test_a_build_that_says_something_else_of_it_is_named(table, run, named):
    assert claims.flipped(run, MADE[table], claims.BEYOND[table])[0].startswith(named)


def test_a_rival_that_a_build_lacks_is_named():
    run = rivals({}).query("defence != 'wise-ft'")
    assert claims.flipped(run, MADE["rivals"], claims.BEYOND["rivals"]) == [
        "wise-ft as a rival: its rows are missing, in this run or in what is recorded"
    ]
