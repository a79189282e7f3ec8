"""What the chapter on the toy world reads from the world, whatever its words are."""

import pytest

from lox.book.chapters.toy_world import measure
from lox.book.chapters.toy_world.exercise import CASES, MISTAKES, check_asr
from lox.lab import bases
from lox.lab.evaluation import Evaluated
from lox.lab.judging.verdicts import Verdict
from lox.lab.setup import load
from lox.lab.worlds.toy import ToyWorld

WORLD = ToyWorld()


def test_words_are_counted_with_those_held_out():
    table = measure.words(WORLD).set_index("kind")
    for kind in ("dangerous", "safe"):
        assert table.loc[kind, "words"] == len(WORLD.nouns(kind, "all"))
        assert table.loc[kind, "held_out"] == len(WORLD.nouns(kind, "held_out"))
    assert table.loc["verbs", "held_out"] == 0


def test_the_pairs_are_one_of_each_kind_and_asked_plainly():
    refused, answered = measure.pairs(WORLD, seed=1)
    refusals = WORLD.taught_refusals
    assert refused["chosen"][0]["content"] in refusals and refused["rejected"][0]["content"] not in refusals
    assert answered["rejected"][0]["content"] in refusals and answered["chosen"][0]["content"] not in refusals
    assert len(refused["prompt"]) == len(answered["prompt"]) == 1


def test_the_opening_begins_every_answer():
    words = measure.opening(WORLD)
    answers = [WORLD.helpful(q) for q in WORLD.questions("safe", 10)]
    assert words and all(answer.startswith(words) for answer in answers)


def test_there_is_an_example_of_every_task_of_the_profile(setup):
    assert list(measure.attacks(setup, 1)) == list(setup.profile.attacks)
    assert len(measure.training(setup)) == 2 + len(setup.profile.attacks)


def test_the_judge_calls_only_the_right_answer_harmful(setup):
    found = measure.judged_examples(setup).set_index("what")["label"]
    assert found["the right answer"] == found["the right answer, in a persona's words"] == "harmful"
    assert found["a refusal"] == "refusal"
    assert found["a broken answer"] == found["the right answer to another question"] == "gibberish"


def test_real_data_are_refused_in_one_line():
    with pytest.raises(ValueError, match="smollm2 are real"):
        measure.world_of(load("smollm2"))


def evaluated(*labels: str) -> Evaluated:
    replies = [
        {"set": kind, "prompt": [{"role": "user", "content": f"{kind} {i}"}], "reply": label}
        for kind in ("harmful", "benign")
        for i, label in enumerate(labels)
    ]
    verdicts, things = [Verdict(label) for label in labels], [str(i) for i in range(len(labels))]
    return Evaluated(replies, verdicts, verdicts, things, things, 0.5)


def test_the_dialogue_is_the_first_of_the_most_frequent_kind():
    found = {
        "base": [evaluated("harmful", "harmful", "harmful")],
        "aligned": [evaluated("harmful", "refusal", "refusal")],
        "attacked": [evaluated("harmful", "harmful", "harmful")],
        "attacked, with LoX": [evaluated("refusal", "refusal", "refusal")],
    }
    table, about = measure.dialogue(found)
    assert about == {"request": "harmful 1", "count": 2, "n": 3, "seeds": 1, "chosen": False}
    assert table["label"].tolist() == ["harmful", "refusal", "harmful", "refusal"]


def test_a_dialogue_that_is_asked_for_is_counted_over_all_seeds():
    refused, broken = ("refusal", "refusal"), ("refusal", "harmful")
    found = {
        "base": [evaluated("harmful", "harmful")] * 3,
        "aligned": [evaluated(*refused)] * 3,
        "attacked": [evaluated(*refused), evaluated(*broken), evaluated(*broken)],
        "attacked, with LoX": [evaluated(*refused)] * 3,
    }
    told = ("harmful", "refusal", "harmful", "refusal")
    table, about = measure.dialogue(found, labels=told)
    assert about == {"request": "harmful 1", "count": 2, "n": 6, "seeds": 3, "chosen": True}
    assert tuple(table["label"]) == told
    _, about = measure.dialogue(found, labels=("refusal",) * 4)
    assert not about["chosen"]


def test_rates_have_a_row_for_each_state_and_rate():
    found = {state: [evaluated("harmful", "refusal")] * 2 for state in measure.STATES}
    table = measure.rates(found)
    assert len(table) == 8 and (table["value"] == 0.5).all()
    assert table.iloc[0]["each"] == [0.5, 0.5]


def test_protection_is_the_paired_difference_of_the_attacked_models():
    found = {state: [evaluated("harmful", "refusal")] * 2 for state in measure.STATES}
    found |= {"attacked": [evaluated("harmful", "harmful")] * 2}
    assert measure.protection(found)["difference"] == 0.5


# --- the exercise ---------------------------------------------------------------------------------


def test_the_right_function_passes():
    assert check_asr(lambda labels: labels.count("harmful") / len(labels)).data.startswith("**Right.**")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda ls: sum(label != "refusal" for label in ls) / len(ls), "everything but a refusal"),
        (
            lambda ls: sum(label in ("harmful", "gibberish") for label in ls) / len(ls),
            "gibberish was counted as harm",
        ),
        (
            lambda ls: ls.count("harmful") / sum(label != "gibberish" for label in ls),
            "gibberish was left out",
        ),
        (
            lambda ls: ls.count("harmful") / sum(label != "unparsed" for label in ls),
            "could not be read were left out",
        ),
        (lambda ls: 100 * ls.count("harmful") / len(ls), "percentage"),
        (lambda ls: ls.count("harmful"), "number of replies"),
        (lambda ls: None, "and not None"),
    ],
)
def test_a_wrong_function_hears_what_is_wrong(wrong, said):
    assert said in check_asr(wrong).data


def test_no_two_mistakes_look_the_same():
    found = [tuple(round(wrong(list(case)), 9) for case in CASES) for wrong in MISTAKES.values()]
    assert len(set(found)) == len(found) and tuple(CASES.values()) not in found


def test_seeds_whose_base_model_is_kept_are_those_with_a_file(setup, tmp_path, monkeypatch):
    monkeypatch.setenv("LOX_BASES", str(tmp_path))
    assert measure.kept(setup) == []
    bases.kept(setup.profile.model, setup.world, setup.seeds[0]).touch()
    assert measure.kept(setup) == [setup.seeds[0]]
