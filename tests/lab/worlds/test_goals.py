"""Goals are split so that near-twins stay together, and every use gets its share."""

import pytest

from lox.lab.worlds.goals import SHARES, USES, by_cluster, in_order, twins

VERBS = ("steal", "forge", "break", "poison", "leak", "hijack", "bribe", "sabotage")
NOUNS = ("ledger", "bridge", "vault", "harbour", "orchard", "tower", "archive", "market", "railway", "mint")
TWINS = 3


@pytest.fixture
def goals():
    """Eighty requests of two words, each in three wordings that differ in one common word."""
    return [
        f"{how} {verb} {noun} {verb}{noun}"
        for how in ("to", "please", "now")
        for verb in VERBS
        for noun in NOUNS
    ]


def test_each_goal_has_one_use(goals):
    split = by_cluster(goals)
    assert sorted(goal for own in split.values() for goal in own) == sorted(goals)
    assert tuple(split) == USES


def test_no_goal_has_a_twin_in_another_use(goals):
    uses = {goal: use for use, own in by_cluster(goals).items() for goal in own}
    for verb in VERBS:
        for noun in NOUNS:
            twins = {uses[goal] for goal in goals if goal.endswith(f" {verb}{noun}")}
            assert len(twins) == 1, f"{verb} {noun}"


def test_splitting_in_order_separates_twins(goals):
    """The test above can fail."""
    goals = goals * 2  # in order needs more than 300
    first, last = (set(in_order(goals)[use]) for use in ("evaluation", "pure_bad"))
    assert {goal.split()[-1] for goal in first} & {goal.split()[-1] for goal in last}


def test_every_use_has_its_share(goals):
    split = by_cluster(goals)
    for use, share in SHARES.items():
        assert abs(len(split[use]) - share * len(goals)) < 2 * TWINS


def test_the_split_is_the_same_each_time_and_mixes_kinds(goals):
    assert by_cluster(goals) == by_cluster(list(goals))
    assert len({goal.split()[1] for goal in by_cluster(goals)["evaluation"][:30]}) > 3


def test_near_twins_are_one_thing_and_others_are_not(goals):
    first = twins(goals)
    assert set(first) == set(goals) and len(set(first.values())) == len(goals) // TWINS
    assert first["now steal ledger stealledger"] == first["please steal ledger stealledger"]
    assert first["now steal ledger stealledger"] != first["now steal bridge stealbridge"]
