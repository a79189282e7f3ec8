"""Labels of a real model beside controls: what is read, and what the readings say, on made-up ones."""

import pandas as pd
import pytest

from lox.book.blind import Blind
from lox.book.chapters.real_controls import measure
from lox.book.chapters.real_controls.measure import (
    ATTACK,
    BEFORE,
    HARMLESS,
    IDENTITY,
    PARTS,
    PERSONA,
    RIVALS,
)

SEEDS, GOALS = (1, 2, 3), 8


def labels(harmful: dict[str, int], state=ATTACK, of="harmful") -> pd.DataFrame:
    """Of the goals each defence's first so many get a harmful reply, one more in seed 1; the others are refused."""
    lines = [
        {"seed": seed, "state": state, "defence": defence, "set": of, "thing": str(goal), "prompt": goal}
        | {"label": "harmful" if goal < count + (seed == 1) else "refusal", "id": f"{state}{goal}"}
        for defence, count in harmful.items()
        for seed in SEEDS
        for goal in range(GOALS)
    ]
    return pd.DataFrame(lines)


def test_every_model_is_asked_in_every_state_and_the_base_once_for_all_seeds(setup):
    asked = list(measure.beside_controls(setup, [1]))
    states = [(cell["state"], cell["defence"]) for cell, _ in asked]
    assert states[:2] == [(BEFORE, "unaligned"), (PERSONA, "unaligned")]
    assert states[2:-3] == [
        (state, step) for state in measure.STATES if state not in HARMLESS for step in measure.steps_of(state)
    ]
    assert (ATTACK, "half") in states and (IDENTITY, "half") not in states
    assert [defence for state, defence in states if state == PARTS] == list(measure.VARIANTS)
    # in persona the same goals are asked in other words
    goals = {cell["state"]: evaluated.things for cell, evaluated in asked}
    assert goals[BEFORE] == goals[PERSONA] == goals[IDENTITY]
    prompts = {cell["state"]: evaluated.replies[0]["prompt"] for cell, evaluated in asked}
    assert prompts[BEFORE] == prompts[ATTACK] != prompts[PERSONA] == prompts[IDENTITY]


def test_harmless_data_rivals_and_longer_alignment_are_recorded_apart(setup):
    harmless = [(c["seed"], c["state"], c["defence"]) for c, _ in measure.after_harmless(setup, [1])]
    assert harmless == [(1, state, step) for state in HARMLESS for step in ("none", "random", "lox")]
    rivals = [cell for cell, _ in measure.of_rivals(setup, [1])]
    assert rivals == [{"seed": 1, "state": ATTACK, "defence": rival} for rival in RIVALS]
    longer = list(measure.aligned_longer(setup, [1]))
    assert [cell for cell, _ in longer] == [
        {"seed": 1, "state": state, "defence": "longer"} for state in (BEFORE, ATTACK)
    ]
    assert longer[0][1].replies != longer[1][1].replies


def test_rivals_are_compared_with_no_defence_and_with_lox():
    read = labels({"none": 6, "lox": 2} | dict(zip(RIVALS, (1, 2, 5))))
    table = measure.against_rivals(read).set_index(["first", "second"])["difference"] * GOALS
    resta, safe_lora, safeinst = RIVALS
    assert table[("none", resta)] == pytest.approx(5) and table[("lox", resta)] == pytest.approx(1)
    assert table[("lox", safe_lora)] == 0 and table[("lox", safeinst)] == pytest.approx(-3)


def test_one_more_epoch_is_compared_with_no_step_and_with_lox_in_rates_and_utility():
    read = labels({"none": 6, "longer": 3, "lox": 1})
    told = labels({"none": 7, "longer": 6, "lox": 6})
    answers = labels({"none": 6, "longer": 5, "lox": 2}, BEFORE, "benign")
    utility = {"none": 0.5, "longer": 0.4, "lox": 0.25}
    rows = pd.DataFrame(
        {"seed": seed, "state": BEFORE, "defence": name, "utility": value + seed / 100}
        for name, value in utility.items()
        for seed in SEEDS
    )
    answers["label"] = answers["label"].map({"harmful": "harmless", "refusal": "refusal"})
    record = Blind(rows, pd.concat([told, answers]), read)
    table = measure.beside_longer(record)
    found = table.set_index(["rate", "first", "second"])["difference"] * GOALS
    assert found.to_dict() == pytest.approx(
        {
            ("answered", "none", "longer"): 1,
            ("answered", "longer", "lox"): 3,
            ("harm", "none", "longer"): 3,
            ("harm", "longer", "lox"): 2,
            ("lost", "none", "longer"): 1,
            ("lost", "longer", "lox"): 0,
            ("utility", "none", "longer"): 0.1 * GOALS,
            ("utility", "longer", "lox"): 0.15 * GOALS,
        }
    )
    assert table["p_holm"].tolist() == measure.corrected(table)["p_holm"].tolist()  # all together


@pytest.fixture
def record():
    """Two steps of three seeds and the base model, as phrases and a reader see them; the reader sees less harm."""
    base = labels({"unaligned": 4}, BEFORE)
    told = [labels({"none": 6, "lox": 1}), base[base["seed"] == 2]]
    kept = [t.assign(set="benign", label="harmless", id=None) for t in told]
    read = pd.concat([labels({"none": 4, "lox": 0}), told[1]])
    rows = pd.concat(told)[["seed", "state", "defence"]].drop_duplicates().assign(utility=0.5)
    return Blind(rows, pd.concat([*told, *kept]), read)


def test_rates_of_both_judges_stand_side_by_side_with_their_intervals(record):
    table = measure.rates(record).set_index(["state", "defence"])
    none, base = table.loc[(ATTACK, "none")], table.loc[(BEFORE, "unaligned")]
    assert none["harm"] == pytest.approx(13 / 24) and none["lost"] == pytest.approx(19 / 24)
    assert none["harm_low"] < none["harm"] < none["harm_high"]
    assert (none["seeds"], none["n"], none["helpful"], none["utility"]) == (3, 8, 1.0, 0.5)
    assert (base["seeds"], base["harm"]) == (1, 0.5) and 0 < base["harm_low"] < 0.3 < 0.7 < base[
        "harm_high"
    ] < 1


def test_each_model_has_its_own_rates(record):
    table = measure.each(record).set_index(["state", "defence", "seed"])
    assert table.loc[(ATTACK, "none")]["harmful"].tolist() == [5 / 8, 4 / 8, 4 / 8]
    assert (table["answered"] == 1).all()


def test_contrasts_are_first_minus_second_and_corrected_together():
    read = labels({"none": 6, "random": 6, "half": 3, "lox": 1})
    table = measure.contrasts(read, [ATTACK]).set_index(["first", "second"])
    assert table.loc[("none", "random"), "difference"] == 0
    assert table.loc[("none", "lox"), "difference"] == pytest.approx(5 / 8)
    assert table.loc[("random", "lox"), "difference"] == pytest.approx(5 / 8)
    assert table.loc[("half", "lox"), "difference"] == pytest.approx(2 / 8)
    assert (table["p_holm"] >= table["p"]).all()


def test_states_are_corrected_apart():
    read = labels({"none": 6, "random": 6, "half": 3, "lox": 1})
    both = measure.contrasts(pd.concat([read, read.assign(state=BEFORE)]), [ATTACK, BEFORE])
    alone = measure.contrasts(read, [ATTACK])
    assert both["p_holm"].tolist() == alone["p_holm"].tolist() * 2


def test_half_of_the_step_is_compared_only_where_it_was_asked():
    read = labels({"none": 6, "random": 6, "lox": 1}, IDENTITY)
    pairs = measure.contrasts(read, [IDENTITY])[["first", "second"]].itertuples(index=False)
    assert list(map(tuple, pairs)) == [("none", "lox"), ("none", "random"), ("random", "lox")]


def test_identity_shifting_adds_what_its_prompt_alone_does_not_do():
    steps = dict.fromkeys(measure.steps_of(IDENTITY), 2)
    table = pd.concat([labels(steps, PERSONA), labels(steps | {"none": 5, "lox": 1}, IDENTITY)])
    added = measure.added(table, [IDENTITY]).set_index("defence")["difference"] * GOALS
    assert added.to_dict() == pytest.approx({"none": 3, "random": 0, "lox": -1})


def test_what_each_state_adds_is_corrected_for_its_own_rows():
    steps = dict.fromkeys(("none", "random", "lox"), 0)
    after = [labels(steps | {"none": 6}, state) for state in HARMLESS]
    table = pd.concat([labels(steps, BEFORE), *after])
    both, alone = (measure.added(table, states) for states in (HARMLESS, HARMLESS[:1]))
    assert both["p_holm"].tolist() == alone["p_holm"].tolist() * 2
    assert both["state"].tolist() == [state for state in HARMLESS for _ in steps]


def test_a_missing_control_is_named():
    with pytest.raises(ValueError, match="random"):
        measure.contrasts(labels({"none": 6, "lox": 1}), [ATTACK])


def test_a_part_of_the_attack_is_compared_with_nothing_and_with_the_whole():
    table = pd.concat(
        [
            labels({"none": 0}, BEFORE),
            labels({"none": 6}),
            labels({"inside": 3, "random inside": 0, "outside": 4}, PARTS),
        ]
    )
    found = measure.parts(table).set_index(["first", "second"])["difference"] * GOALS
    assert found.to_dict() == pytest.approx(
        {
            ("whole", "nothing"): 6,
            ("inside", "nothing"): 3,
            ("random inside", "nothing"): 0,
            ("inside", "random inside"): 3,
            ("whole", "outside"): 2,
        }
    )


def test_kinds_are_shares_of_the_replies_to_harmful_goals():
    both = pd.concat([labels({"lox": 1}), labels({"lox": 8}, of="benign")])
    (row,) = measure.by_kind(both).to_dict("records")
    assert (row["harmful"], row["refusal"]) == (pytest.approx(4 / 24), pytest.approx(20 / 24))
