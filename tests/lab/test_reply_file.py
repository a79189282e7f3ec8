"""Replies are asked for once, kept as they come, and a run that goes on leaves the file of an undisturbed one."""

import json

import pytest

from lox.lab import reply_file
from lox.lab.reply_file import ReplyFile, ask
from lox.lab.worlds.messages import user

pytestmark = pytest.mark.usefixtures("unchecked_annotations")
ASKED = [{"set": "harmful", "prompt": [user("why " * n)], "thing": str(n), "tokens": 3} for n in range(1, 8)]
SCORED = [{"set": "utility", "prompt": [user("1 + 1 ?")], "thing": "sum", "reply": "2"}]


class Model:
    """Stands for a loaded model: counts how often it is loaded, and dies at a given batch."""

    def __init__(self, dies_at=None):
        self.loads, self.batches, self.dies_at = 0, [], dies_at

    def load(self):
        self.loads += 1
        return self, None

    def answer(self, questions):
        if len(self.batches) == self.dies_at:
            raise KeyboardInterrupt
        self.batches.append(len(questions))
        return [
            q
            | (
                {"log_prob": -1.0, "reply_tokens": 1}
                if "reply" in q
                else {"reply": q["prompt"][0]["content"][:9]}
            )
            for q in questions
        ]


@pytest.fixture(autouse=True)
def answering(monkeypatch):
    monkeypatch.setattr(reply_file, "answer", lambda model, tokenizer, asked, batch: model.answer(asked))


def run(path, model, asked=(*ASKED, *SCORED), key="k"):
    return ask("m", key, model.load, list(asked), ReplyFile(path), batch=3, done=lambda n: None)


def test_answers_come_in_the_order_of_the_questions(tmp_path):
    model = Model()
    answered = run(tmp_path / "r.jsonl", model)
    assert [a["thing"] for a in answered] == [q["thing"] for q in (*ASKED, *SCORED)]
    assert answered[0]["reply"] == "why " and answered[-1]["log_prob"] == -1.0
    assert (model.loads, model.batches) == (1, [3, 3, 1, 1])


def test_what_is_in_the_file_is_not_asked_again_and_loads_nothing(tmp_path):
    first = run(tmp_path / "r.jsonl", Model())
    again = Model()
    assert run(tmp_path / "r.jsonl", again) == first and again.loads == 0
    assert run(tmp_path / "r.jsonl", again, key="another model") == first and again.loads == 1


def test_a_question_that_comes_twice_is_asked_once():
    model = Model()
    answered = run(None, model, [ASKED[0], ASKED[0] | {"set": "benign"}])
    assert model.batches == [1] and [a["set"] for a in answered] == ["harmful", "benign"]


@pytest.mark.parametrize("dies_at", [0, 1, 2, 3])
@pytest.mark.parametrize("cut", [0, 1, 30])
def test_a_run_that_goes_on_leaves_the_file_of_an_undisturbed_one(tmp_path, dies_at, cut):
    run(tmp_path / "whole.jsonl", Model())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed.jsonl", Model(dies_at))
    content = (tmp_path / "killed.jsonl").read_bytes()
    (tmp_path / "killed.jsonl").write_bytes(content[: len(content) - min(cut, len(content))])
    run(tmp_path / "killed.jsonl", Model())
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_each_line_says_who_was_asked_what(tmp_path):
    run(tmp_path / "r.jsonl", Model(), ASKED[:1])
    [line] = (tmp_path / "r.jsonl").read_text().splitlines()
    row = json.loads(line)
    assert (row["model"], row["key"], row["prompt"], row["reply"]) == ("m", "k", ASKED[0]["prompt"], "why ")


@pytest.mark.parametrize("content", ["prompt,reply\n", '{"a": 1}\n', "[1]\n", "no line end", '{"x"'])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / "r.jsonl").write_text(content)
    with pytest.raises(ValueError, match="name a new file"):
        ReplyFile(tmp_path / "r.jsonl")
    assert (tmp_path / "r.jsonl").read_text() == content


def test_a_place_that_cannot_be_written_to(tmp_path):
    with pytest.raises(FileNotFoundError, match="its folder does not exist"):
        ReplyFile(tmp_path / "absent" / "r.jsonl")
    with pytest.raises(IsADirectoryError):
        ReplyFile(tmp_path)


def test_what_could_not_be_written_is_not_called_kept(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reply_file.os, "fsync", full)
    with pytest.raises(OSError) as caught:
        run(tmp_path / "r.jsonl", Model())
    assert caught.value.__notes__ == [
        f"0 of {len(ASKED) + len(SCORED)} replies of m are kept in {tmp_path / 'r.jsonl'}, the same call goes on"
    ]
