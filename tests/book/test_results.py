"""Recorded tables: found by name, complete, and what the README says of them."""

import subprocess
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from lox import paths
from lox.book import blind, record, results
from lox.book.cells import rows_of, said_of
from lox.book.chapters.attackers import real as attackers
from lox.book.chapters.dose import measure as dose
from lox.book.chapters.real_controls import measure as controls
from lox.book.chapters.rivals import trials as rival_trials
from lox.book.chapters.robustness import measure as robustness
from lox.book.chapters.toy_world import wishes
from lox.lab import profile
from lox.lab.judging import sheet
from lox.lab.setup import Setup

RECORDED = "smollm2"


def test_an_unknown_table_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"no recorded table of profile smollm2 'robust': there are .*robustness"
    ):
        results.recorded(RECORDED, "robust")
    with pytest.raises(ValueError, match="no published numbers 'table2': there are ablation"):
        results.paper("table2")


@pytest.mark.parametrize("recorded", sorted(p.name for p in (paths.ROOT / "results").iterdir() if p.is_dir()))
def test_every_recorded_table_says_how_it_was_made(recorded):
    made = results.records(recorded)
    assert made["Command"].str.contains(r"lox run .* --profile |python -m lox\.book\.chapters\.").all()
    # the earlier record of doses is kept as it was made, when changed tables counted as changed code
    clean = ~made["Code"].str.contains("dirty|not under")
    assert clean.all() or recorded == "toy-earlier"
    assert (made["Computing"] != "0 min").all()
    named = {
        table
        for path in results.recorded_in(recorded).glob("*.json")
        for table in results.how_recorded(recorded, path.stem)["tables"]
    }
    kept = {path.name for path in results.recorded_in(recorded).glob("*.csv")}
    assert named <= kept and kept - named <= {"reader.csv", "second_reader.csv", "unaligned_reader.csv"}


def test_recorded_seeds_are_reported_ones_and_their_rates_lie_in_their_intervals():
    rows, settings = results.recorded(RECORDED, "robustness"), profile.load(RECORDED)
    assert set(rows["seed"]) == set(settings.seeds) and not set(settings.selection_seeds) & set(rows["seed"])
    assert (rows["asr_low"] <= rows["asr"]).all() and (rows["asr"] <= rows["asr_high"]).all()
    assert rows["judge"].unique().tolist() == [settings.evaluation.judge]


def test_all_judges_have_read_the_replies_of_the_recorded_rates():
    rates, rows = results.recorded(RECORDED, "judges"), results.recorded(RECORDED, "robustness")
    assert rates["judge"].nunique() > 1
    same = rates.merge(
        rows, on=["seed", "task", "defence", "judge"], suffixes=("_judged", ""), validate="1:1"
    )
    assert len(same) == len(rows)
    assert same["asr_judged"].tolist() == same["asr"].tolist()


def test_every_reply_that_the_second_reader_read_was_read_by_the_first():
    first, second = (
        sheet.scores(paths.ROOT / "results" / RECORDED / f"{name}.csv")
        for name in ("reader", "second_reader")
    )
    assert len(second) == 300 and set(second) <= set(first)


def test_a_page_says_how_many_base_models_it_did_not_train(setup, monkeypatch):
    trained, kept = ({"recipe": recipe, "seconds": 1.0} for recipe in ({"seed": 1}, {"kept": "0123"}))
    for used, said in (({"a": trained}, None), ({"a": trained, "b": kept}, "| 1 kept in `data/bases`")):
        monkeypatch.setattr(results.stages, "used", lambda used=used: used)
        assert results.facts(setup)["kept_bases"] == (said is not None)
        assert ("kept in" in results.provenance(setup).data) == (said is not None)
        assert said is None or said in results.provenance(setup).data


def test_a_table_without_rows_offers_no_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    some, none = pd.DataFrame({"a": [1]}), pd.DataFrame({"a": []})
    assert "[some.csv](some.csv) (1 rows)" in results.save(some, "some").data
    assert results.save(none, "none").data == "This run leaves nothing for the table none.csv."
    assert Path("none.csv").read_text() == "a\n"


@pytest.mark.parametrize(
    ("lox", "said"),
    [({"k": 3, "alpha": 0.5}, "k = 3, α = 0.5,"), ({"k": "full", "alpha": 1}, "k = full, α = 1,")],
)
def test_the_header_names_the_lox_of_the_profile(lox, said):
    smoke = profile.load("smoke")
    shown = results.header(Setup(smoke.model_copy(update={"lox": profile.Lox(**lox)}))).data
    assert f"| LoX | {said} unless a parameter of the page says otherwise |" in shown.splitlines()


def rows_of_models(**more):
    line = {"profile": "toy", "task": "dolly", "defence": "lox", "k": 6, "alpha": 1.25, "n": 8}
    return pd.DataFrame([line | more])


def alike(ours: pd.DataFrame, theirs: pd.DataFrame, monkeypatch):
    tables = {"chapter": theirs, "chapter_means": pd.DataFrame({"asr": [0.5]})}
    monkeypatch.setattr(results, "recorded", lambda profile, name: tables[name])
    names = {"rows": "chapter", "means": "chapter_means"}
    return results.recorded_alike(ours, names, ["task", "defence"], ["k", "alpha", "n", "lr"])


def test_a_record_counts_where_what_it_shares_with_a_run_has_the_same_settings(monkeypatch):
    other = rows_of_models(defence="random", n=100)  # not a model of the run
    kept = pd.concat([rows_of_models(k="6", alpha="1.250"), other])  # as a file may have them
    tables = alike(rows_of_models(), kept, monkeypatch)
    assert set(tables) == {"rows", "means"} and len(tables["rows"]) == 2
    for ours in (rows_of_models(k="full"), rows_of_models(n=4), rows_of_models(lr=0.1)):
        assert alike(ours, kept, monkeypatch) is None
    assert alike(rows_of_models(task="gsm8k"), kept, monkeypatch) is None  # nothing is shared


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_a_setting_without_a_value_is_the_same_in_a_run_and_in_a_file(nothing, monkeypatch):
    ours, theirs = rows_of_models(alpha=nothing), rows_of_models(alpha=float("nan"))
    assert alike(ours, theirs, monkeypatch) is not None
    assert alike(ours, rows_of_models(), monkeypatch) is None


def test_a_table_that_was_not_recorded_is_no_record():
    names = {"rows": "robustness", "means": "no_such_table"}
    assert results.recorded_alike(rows_of_models(), names, ["task"], ["k"]) is None


@pytest.mark.parametrize("name", controls.ASKED)
def test_a_record_beside_controls_is_whole(name):
    record, settings = blind.recorded("smollm2-controls", name), profile.load("smollm2-controls")
    made = results.how_recorded("smollm2-controls", name)
    assert made["seeds"] == sorted(set(record.rows["seed"])) == list(settings.seeds)
    assert "dirty" not in made["commit"] and made["profile"] == settings.name
    prompts = record.phrases.groupby(["seed", "state", "defence", "set"])["prompt"].nunique()
    assert set(prompts[:, :, :, "harmful"]) == {settings.evaluation.harmful}
    assert set(prompts[:, :, :, "benign"]) == {settings.evaluation.benign}
    steps = {state: len(controls.steps_of(state)) for state in controls.STATES}
    harmless = sum(steps[state] for state in controls.HARMLESS)
    each_seed, once = {
        "real_controls": (sum(steps.values()) - harmless + len(controls.VARIANTS), 2),
        "real_harmless": (harmless, 0),
        "real_longer": (len(controls.HALVED), 0),
        "real_rivals": (len(controls.RIVALS), 0),
    }[name]
    assert len(prompts) == 2 * len(record.rows) == 2 * (once + each_seed * len(settings.seeds))


@pytest.mark.parametrize("name", attackers.ASKED)
def test_the_attackers_of_a_real_model_are_whole(name):
    record, settings = blind.recorded("smollm2-controls", name), profile.load("smollm2-controls")
    made = results.how_recorded("smollm2-controls", name)
    seeds = sorted(set(record.rows["seed"]))
    assert made["seeds"] == seeds and set(seeds) <= set(settings.seeds) and len(seeds) >= 3
    assert "dirty" not in made["commit"] and made["profile"] == settings.name
    prompts = record.reader.groupby(["seed", "attacker", "defence"])["prompt"].nunique()
    assert set(prompts) == {settings.evaluation.harmful}
    assert len(prompts) == 2 * len(seeds) * len(attackers.ASKED[name])


def test_rivals_were_asked_at_the_strengths_that_the_rule_chose():
    trials = rival_trials.chosen(results.recorded("smollm2-controls", rival_trials.NAME))
    assert trials == {rival: strength for rival, strength in controls.RIVALS.items() if strength}
    chosen_on = results.how_recorded("smollm2-controls", rival_trials.NAME)["seeds"]
    assert chosen_on == list(profile.load("smollm2-controls").selection_seeds)


def test_the_doses_of_a_real_model_are_whole():
    record, settings = blind.recorded("smollm2-controls", dose.NAME), profile.load("smollm2-controls")
    made = results.how_recorded("smollm2-controls", dose.NAME)
    assert made["seeds"] == sorted(set(record.rows["seed"])) == list(settings.seeds)
    assert "dirty" not in made["commit"] and made["profile"] == settings.name
    courses = record.rows.groupby(["seed", "defence"])["step"].apply(list)
    assert len(courses) == 2 * len(settings.seeds) and len(set(map(tuple, courses))) == 1
    prompts = record.reader.groupby(["seed", "defence", "step"])["prompt"].nunique()
    assert set(prompts) == {settings.evaluation.harmful} and len(prompts) == len(record.rows)


def test_a_reader_has_read_what_was_recorded_beside_controls_and_nothing_else():
    first, second = (blind.scores("smollm2-controls", name) for name in (blind.READER, blind.SECOND_READER))
    recorded = [
        blind.recorded("smollm2-controls", name).phrases
        for name in (*controls.ASKED, dose.NAME, *attackers.ASKED)
    ]
    assert set(second) <= set(first) <= set(pd.concat(recorded)["id"])


def test_no_claim_flips_on_another_arithmetic():
    recorded, made = robustness.of_records("toy").rows, wishes.arithmetics("toy")
    assert set(made) >= {"default", "avx2"}
    for name, (rows, _) in made.items():
        how = results.how_recorded("toy", f"{wishes.ARITHMETIC}{name}")
        assert how["seeds"] == sorted(set(rows["seed"])) == list(profile.load("toy").seeds)
        assert not rows.empty
    assert wishes.flipped(made, recorded) == dict.fromkeys(made, [])


def test_no_base_model_is_in_both_records_that_are_taken_together():
    rows = robustness.of_records("toy").rows
    rates = rows.pivot(index="seed", columns=["task", "form", "defence"], values=["asr", "r_align", "r_ft"])
    assert len(rates) == 20 and not rates.duplicated().any()


@pytest.mark.parametrize(
    ("changed", "ending"),
    [(None, ""), ("results/toy/dose.csv", ""), ("lox/code.py", "-dirty"), ("new.py", "")],
)
def test_a_record_tells_changed_code_from_other_recorded_tables(tmp_path, monkeypatch, changed, ending):
    git = partial(subprocess.run, check=True, capture_output=True, text=True, cwd=tmp_path)
    for file in ("results/toy/dose.csv", "lox/code.py"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("before")
    git(["git", "init"])
    git(["git", "add", "."])
    git(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-m", "first"])
    if changed:
        (tmp_path / changed).write_text("after")
    monkeypatch.setattr(record.paths, "ROOT", tmp_path)
    head = git(["git", "rev-parse", "--short", "HEAD"]).stdout.strip()
    assert record._commit() == f"{head}{ending}"


def test_a_record_without_version_control_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(record.paths, "ROOT", tmp_path)
    assert record._commit() == "not under version control"


def test_the_readme_claims_no_more_than_was_recorded():
    record = controls.recorded("smollm2-controls")
    for labels, what in ((record.reader, "harmful"), (record.phrases, "answered")):
        found = rows_of(controls.against_rivals(labels, what), first="lox", second="resta").iloc[0]
        assert said_of(found, "more", "less", "not distinguished") == "not distinguished"
    price = rows_of(
        controls.contrasts(record.phrases, [controls.BEFORE], "answered"), first="none", second="lox"
    )
    assert price["difference"].item() > 0 and said_of(price.iloc[0], "fewer", "more", "open") == "open"
    longer, harm = (
        controls.beside_longer(record),
        controls.rates(record).set_index(["state", "defence"])["harm"],
    )
    said = {(d["rate"], d["first"]): said_of(d, "less", "more", "open") for _, d in longer.iterrows()}
    assert said.pop(("utility", "none")) == "less"
    assert {word for (rate, _), word in said.items() if rate != "utility"} == {"open"}
    assert harm[controls.ATTACK, "lox"] < harm[controls.ATTACK, "longer"] < harm[controls.ATTACK, "none"]
    kept = controls.rates(record).set_index(["state", "defence"])["helpful"]
    for state, rate in ((controls.ATTACK, harm), (controls.BEFORE, kept)):
        assert sorted(rate[state, step] for step in ("none", "half", "lox"))[1] == rate[state, "half"]
    random = dose.beside_random(results.recorded("toy", dose.NAME)).set_index("task")
    assert random.index[random["p_holm"] < 0.05].tolist() == ["pure_bad"]
    points = results.recorded("smollm2-controls", "choice")
    assert (points["alpha"] > 0).any() and not points["chosen"].any()
    costs = rows_of(robustness.costs(robustness.of_records("toy")), second="lox")
    before = rows_of(robustness.of_records("toy").rows, task="none", form="plain")
    utility = before.pivot(index="seed", columns="defence", values="utility")
    assert (utility["none"] - utility["lox"] > 0.5).sum() == 1
    said = {cost["what"]: said_of(cost, "costs", "gains", "open") for _, cost in costs.iterrows()}
    assert said == {"helpful": "costs", "utility": "open"}
    assert round(100 * rows_of(costs, what="helpful")["difference"].item()) == 1
