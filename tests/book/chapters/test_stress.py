"""The causal test on the smoke profile: which weights are evaluated, not what they say; tables by hand."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from lox.book.chapters.stress import causal, measure, parts
from lox.extrapolation import remove_safety_part
from lox.lab import rows as lab_rows
from lox.lab.evaluation import evaluate


@pytest.fixture(scope="module")
def stress(setup):
    return measure.Stress(setup, setup.model(1, "dolly", "lox"), 6)


def weights(stress, variant):
    subspace, part = variant
    return measure.with_part(*stress.folders, subspace=subspace, part=part, k=6, seed=1)


@pytest.fixture(scope="module")
def start(stress):
    return stress.setup.weights(stress.model.start)


@pytest.fixture(scope="module")
def whole(stress):
    return stress.setup.weights(stress.model)


def test_the_parts_are_those_of_the_fine_tuned_model(stress, start, whole):
    for subspace in measure.SUBSPACES:
        inside, outside = weights(stress, (subspace, "inside")), weights(stress, (subspace, "outside"))
        for name in start:
            both = inside[name] + outside[name] - start[name]
            torch.testing.assert_close(both, whole[name], atol=1e-5, rtol=0)


def test_the_safety_subspace_is_that_of_the_alignment_not_of_lox(stress, start):
    base, aligned = (stress.setup.weights(m) for m in (stress.model.base, stress.model.aligned))
    safety = parts.bases("top", {name: aligned[name] - base[name] for name in base}, 6)
    moved = {name: w - start[name] for name, w in weights(stress, measure.INSIDE).items()}
    for name, Q in safety.items():
        torch.testing.assert_close(Q @ (Q.mT @ moved[name]), moved[name], atol=1e-5, rtol=0)


def test_leaving_the_inside_out_agrees_with_removal_on_the_layers_matrices(setup):
    """``remove_safety_part`` is the defence; the outside is the same where both act."""
    model = setup.model(1, "dolly")
    outside = weights(measure.Stress(setup, model, 6), measure.OUTSIDE)
    removed = remove_safety_part(*map(setup.weights, (model.base, model.aligned, model)), k=6)
    for name in parts.split_names(outside):
        torch.testing.assert_close(outside[name], removed[name], atol=1e-5, rtol=0)


def test_split_and_unsplit_weights_add_up_to_the_whole(stress, start, whole):
    split, unsplit = weights(stress, measure.SPLIT_ONLY), weights(stress, ("all", "unsplit only"))
    for name in start:
        torch.testing.assert_close(split[name] + unsplit[name] - start[name], whole[name], atol=1e-5, rtol=0)
    outside, layers = weights(stress, measure.OUTSIDE), weights(stress, measure.SPLIT_OUTSIDE)
    names = set(parts.split_names(start))
    assert all(torch.equal(layers[n], (outside if n in names else start)[n]) for n in start)


def test_the_undefended_update_can_be_put_on_the_lox_model(stress, start):
    plain = stress.model.undefended
    before, after = stress.setup.weights(plain.start), stress.setup.weights(plain)
    for name, weight in weights(stress, measure.TRANSPLANT).items():
        torch.testing.assert_close(weight - start[name], after[name] - before[name], atol=1e-5, rtol=0)


def test_geometry_has_a_row_for_each_subspace_and_matrix(stress, start):
    table = stress.geometry()
    names = parts.split_names(start)
    assert len(table) == len(measure.SUBSPACES) * len(names)
    assert table["share"].between(0, 1).all() and table["counteraction"].between(-1, 1).all()
    own, safety = (table[table.subspace == s].set_index("name")["share"] for s in ("own", "safety"))
    assert (own >= safety - 1e-4).all()  # no k-dimensional subspace holds more than the top k of ΔW_ft
    assert table[table.subspace == "safety"]["overlap"].to_list() == pytest.approx([1] * len(names), abs=1e-4)
    assert len(measure.geometry([stress])) == len(measure.SUBSPACES)


def test_the_whole_says_what_the_fine_tuned_model_says(stress):
    def replies(evaluated):
        return [r["reply"] for r in evaluated.replies]

    assert replies(stress.evaluate(measure.WHOLE)) == replies(evaluate(stress.setup, stress.model))
    assert len(replies(stress.evaluate(measure.TRANSPLANT))) == len(replies(stress.evaluate(measure.NOTHING)))


def test_an_unknown_variant_is_refused(stress):
    with pytest.raises(ValueError, match="no variant .'safety', 'half'.: they are"):
        stress.evaluate(("safety", "half"))


# --- tables by hand: two tasks, two seeds, four prompts --------------------------------------------------

HARMFUL = {measure.WHOLE: 4, measure.OUTSIDE: 1, measure.NOTHING: 0}  # of the four prompts, after "dolly"
THINGS = ["a", "b", "c", "d"]


@pytest.fixture
def harmful():
    """After "gsm8k" nothing is harmful; after "dolly" what ``HARMFUL`` says, else two of four."""
    table = {}
    for variant in measure.VARIANTS:
        counts = {"gsm8k": 0, "dolly": HARMFUL.get(variant, 2)}
        for task, count in counts.items():
            table[task, variant] = np.array([[1.0] * count + [0.0] * (4 - count)] * 2)
        table[causal.EVERY_TASK, variant] = (table["gsm8k", variant] + table["dolly", variant]) / 2
    return table


def test_means_over_seeds_of_every_variant(harmful):
    means = causal.variant_means(harmful, THINGS).set_index(["task", "subspace", "part"])["asr"]
    assert means["dolly", "safety", "outside"] == 0.25 and means["all", "safety", "outside"] == 0.125


def test_contrasts_are_corrected_within_their_family(harmful, monkeypatch):
    families = []
    monkeypatch.setattr(lab_rows, "holm", lambda p: families.append(len(p)) or list(p))
    table = causal.contrasts(harmful, THINGS, "none")
    contrasts = len(causal.CONTRASTS["none"])
    assert len(table) == 3 * contrasts
    assert sorted(families)[-1] == contrasts and families.count(2) >= contrasts
    one = causal.contrast(table, measure.WHOLE, measure.OUTSIDE).set_index("task")
    assert one.loc["dolly", "difference"] == 0.75


def test_share_of_the_damage_is_of_the_damage(harmful):
    table = causal.contrasts(harmful, THINGS, "none").assign(low=lambda t: t["difference"])
    table["high"] = table["low"]
    shares = causal.damage(table.assign(p_holm=0.01)).set_index("task")
    assert shares.loc["dolly", "share"] == pytest.approx((1 - 0.25) / (1 - 0))
    assert shares.loc["all", "share"] == pytest.approx((0.5 - 0.125) / (0.5 - 0))
    assert math.isnan(shares.loc["gsm8k", "share"])  # the ASR is the same: there is no damage
    assert list(shares.filter(regex="^(damage|gone)_difference$").loc["dolly"]) == [1, 0.75]


def test_a_damage_that_only_its_interval_establishes_has_no_share(harmful):
    table = causal.contrasts(harmful, THINGS, "none").assign(low=0.1, high=1.0)
    table["p_holm"] = table["task"].map({"dolly": 0.01, "gsm8k": 0.01, "all": 0.2})
    shares = causal.damage(table).set_index("task")["share"]
    assert shares["dolly"] == 0.75 and math.isnan(shares["all"])


def test_ranks_are_compared_where_there_are_ranks():
    tasks = ["gsm8k", "alpaca", "dolly", "identity"]
    geometry = pd.DataFrame(
        {
            "seed": 1,
            "task": t,
            "defence": "none",
            "subspace": "safety",
            "share": i,
            "counteraction": 0,
            "undone": -i,
        }
        for i, t in enumerate(tasks)
    )
    asr = {
        measure.NOTHING: [0.1] * 4,
        measure.WHOLE: [0.1, 0.2, 0.3, 0.4],
        measure.OUTSIDE: [0.1, 0.1, 0.2, 0.3],
    }
    table = pd.DataFrame(
        {"seed": 1, "task": task, "defence": "none", "subspace": s, "part": p, "asr": rate}
        for (s, p), rates in asr.items()
        for task, rate in zip(tasks, rates)
    )
    found = causal.rank_correlations(geometry, table).set_index(["geometry", "effect"])
    assert found.loc[("share", "damage"), "correlation"] == pytest.approx(1)
    assert found.loc[("undone", "damage"), "correlation"] == pytest.approx(-1)
    gone = "share of the damage that is gone"
    assert found.loc[("share", gone), "correlation"] == pytest.approx(-1)  # 1, 1/2, 1/3 of the damage
    assert found.loc["share", "tasks"].to_dict() == {"damage": 4, gone: 3}
    two = table[table["task"] != "identity"]  # of three tasks, one without damage
    few = causal.rank_correlations(geometry, two).set_index("effect").loc[gone]
    assert few["correlation"].isna().all() and set(few["tasks"]) == {2}
    assert math.isnan(found.loc[("counteraction", "damage"), "correlation"])


@pytest.mark.parametrize(("damage", "tasks"), [(0.04, 3), (0.06, 4)])
def test_a_damage_of_a_few_replies_has_no_share_to_rank(damage, tasks):
    asr = pd.DataFrame(
        {measure.NOTHING: 0.0, measure.WHOLE: [damage, 0.2, 0.4, 0.6], measure.OUTSIDE: 0.0},
        index=pd.Index(["gsm8k", "alpaca", "dolly", "identity"], name="task"),
    )
    table = asr.melt(ignore_index=False, var_name=["subspace", "part"], value_name="asr").reset_index()
    head = {"seed": 1, "defence": "none"}
    geometry = pd.DataFrame({"task": asr.index, "subspace": "safety"} | head)
    geometry = geometry.assign(share=[1, 2, 3, 4], counteraction=0, undone=0)
    found = causal.rank_correlations(geometry, table.assign(**head)).set_index(["geometry", "effect"])[
        "tasks"
    ]
    assert found["share", "share of the damage that is gone"] == tasks and found["share", "damage"] == 4


def test_rates_without_and_with_lox_stand_beside_each_other():
    table = pd.DataFrame({"seed": 1, "task": "dolly", "defence": ["none", "lox"], "asr": [0.8, 0.2]})
    found = causal.without_and_with(table, ["seed", "task"])
    assert found.to_dict("records") == [{"seed": 1, "task": "dolly", "with": 0.2, "without": 0.8}]
