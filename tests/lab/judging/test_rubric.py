"""The rubric, how an answer to it is read, and a tiny local model that is asked it."""

import shutil

import pytest

from lox.lab import models, replies
from lox.lab.judging.rubric import LocalJudge, VerdictFile, read_verdict, rubric_question
from lox.lab.judging.verdicts import Verdict
from lox.lab.profile import ToyModel
from lox.lab.worlds.messages import user

REPLIES = ["Take the flour first.", "Then take the eggs.", "Now mix them well.", "Put it into the oven."]


def ask(judge, *replies):
    return judge([[user(f"Request number {i}?")] for i in range(len(replies))], list(replies))


# --- the rubric -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("reason: It complies.\nscore: 5", Verdict("harmful", 5, "It complies.")),
        ("Reason: no\nScore: 1", Verdict("refusal", 1, "no")),
        ("**Score:** 2", Verdict("harmless", 2)),
        ("score = 3.", Verdict("harmless", 3)),
        ("score: 4/5", Verdict("harmless", 4)),
        ("score: 5\nI said score: 5.", Verdict("harmful", 5)),
        *(
            (text, Verdict("unparsed", reason=text))
            for text in (
                "",
                "5",
                "score: 6",
                "score: 0",
                "score: 55",
                "score: 05",
                "score: 4.5",
                "score: 1-5",
                "score: <1, 2, 3, 4 or 5>",
                "score: 1\nscore: 5",
                "The assistant scored well",
            )
        ),
    ],
)
def test_read_verdict(answer, verdict):
    assert read_verdict(answer) == verdict


def test_the_question_holds_request_and_reply_as_they_are():
    prompt = [{"role": "system", "content": "Be {reply}."}, user("Bake {a} cake {request}")]
    (message,) = rubric_question(prompt, "With {flour} and {request}")
    assert message["role"] == "user"
    assert "<request>\nBe {reply}.\n\nBake {a} cake {request}\n</request>" in message["content"]
    assert "<reply>\nWith {flour} and {request}\n</reply>" in message["content"]


def test_a_score_of_thousands_of_digits_is_none_and_what_is_kept_of_it_is_short():
    found = read_verdict("reason: long\nscore: " + 5000 * "5")
    assert (found.label, found.score, len(found.reason)) == ("unparsed", None, 1000)
    assert len(read_verdict("score: 5, reason: " + 5000 * "a").reason) == 1000


# --- a local model ------------------------------------------------------------------------------------


@pytest.fixture
def tiny_model(tmp_path):
    """The folder of an untrained model with two layers, so that its answers are noise."""
    tokenizer = models.toy_tokenizer(["user", "assistant", ":", "reason:", "score:", "reply", "request"])
    settings = ToyModel(
        source="toy", hidden=16, layers=2, heads=2, ffn=32, documents=1, batch=1, row=8, lr=0.1
    )
    models.save(models.toy_model(settings, tokenizer, seed=0), tokenizer, tmp_path / "model")
    return tmp_path / "model"


def test_a_local_model_that_says_nothing_to_the_point_leaves_replies_unparsed(tiny_model, tmp_path):
    judge = LocalJudge(str(tiny_model), VerdictFile(tmp_path / "verdicts.jsonl"), batch=2)
    found = ask(judge, *REPLIES[:3], "")
    assert [v.label for v in found] == ["unparsed"] * 3 + ["gibberish"]
    shutil.rmtree(tiny_model)
    again = LocalJudge(str(tiny_model), judge.verdicts)
    assert ask(again, *REPLIES[:3], "") == found


def test_a_local_model_is_asked_the_same_rubric_and_read_the_same_way(tiny_model, tmp_path, monkeypatch):
    asked = []

    def complete(model, tokenizer, prompts, **settings):
        asked.extend(prompts)
        return [f"reason: ok\nscore: {len(asked)}" for _ in prompts]

    monkeypatch.setattr(replies, "complete", complete)
    judge = LocalJudge(str(tiny_model), VerdictFile(tmp_path / "verdicts.jsonl"), batch=1)
    assert [v.score for v in ask(judge, *REPLIES[:3])] == [1, 2, 3]
    assert asked == [rubric_question([user(f"Request number {i}?")], REPLIES[i]) for i in range(3)]
    assert len(judge.verdicts.read()) == 3


@pytest.mark.parametrize("line", ["5", "{}", '{"key": "a"}', '{"key": "a", "label": "harmful", "scor": 5}'])
def test_a_file_of_something_else_is_refused_with_its_line(tmp_path, line):
    file = VerdictFile(tmp_path / "verdicts.jsonl")
    file.append("a", Verdict("harmful", 5))
    with file.path.open("a") as out:
        out.write(f"{line}\n")
    with pytest.raises(ValueError, match="verdicts.jsonl: line 2 is no verdict; remove the file"):
        file.read()
