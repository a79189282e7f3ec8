"""Prompts from files of every form, from named sets, and what is wrong with a file in one line."""

import json

import pytest

from lox.lab import prompts

pytestmark = pytest.mark.usefixtures("unchecked_annotations")


def questions_in(source, kind="harmful", limit=None):
    return prompts.questions(kind, str(source), new_tokens=5, limit=limit)


def texts(questions):
    return [q["prompt"][-1]["content"] for q in questions]


def test_a_prompt_a_line(tmp_path):
    file = tmp_path / "requests.txt"
    file.write_text("\ufeffhow ?\n\n  why ? \n", encoding="utf-8")
    first, second = questions_in(file)
    assert first == {
        "set": "harmful",
        "prompt": [{"role": "user", "content": "how ?"}],
        "thing": "how ?",
        "tokens": 5,
    }
    assert texts([second]) == ["why ?"]
    assert texts(questions_in(file, limit=1)) == ["how ?"]


def test_a_column_of_a_csv_file(tmp_path):
    file = tmp_path / "requests.csv"
    file.write_text('id,goal,thing\n1,"how, exactly ?",bomb\n2,,\n3,"two\nlines",\n')
    first, second = questions_in(f"{file}:goal")
    assert (texts([first]), first["thing"]) == (["how, exactly ?"], "bomb")
    assert (texts([second]), second["thing"]) == (["two\nlines"], "two\nlines")
    with pytest.raises(
        ValueError, match=r"requests.csv: line 2: no column 'prompt'; .* id, goal, thing\. .*:COLUMN"
    ):
        questions_in(file)


def test_json_lines_hold_texts_or_messages(tmp_path):
    file = tmp_path / "requests.jsonl"
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "how ?"}]
    file.write_text(f'{json.dumps({"prompt": messages})}\n\n{{"prompt": "why ?"}}\n')
    first, second = questions_in(file, "harmless")
    assert first["prompt"] == messages and first["set"] == second["set"] == "benign"
    assert texts([second]) == ["why ?"]


def test_problems_have_solutions(tmp_path):
    file = tmp_path / "problems.csv"
    file.write_text("prompt,solution\n1 + 1 ?,2\n")
    [problem] = questions_in(file, "utility")
    assert problem["reply"] == "2" and "tokens" not in problem


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "\n \n", "a.txt: no harmful prompts in it"),
        ("a.csv", "", "a.csv: no harmful prompts in it"),
        ("a.jsonl", '{"prompt": "x"}\n{"prompt', "a.jsonl: line 2: no valid JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl: line 1: a JSON object is expected"),
        ("a.jsonl", '{"prompt": 7}\n', "a.jsonl: line 1: neither a text nor a list of messages"),
        (
            "a.jsonl",
            '{"prompt": [{"text": "x"}]}\n',
            "a.jsonl: line 1: neither a text nor a list of messages",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=said) as error:
        questions_in(tmp_path / name)
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="a.txt: .*utf-8"):
        questions_in(tmp_path / "a.txt")


def test_neither_a_file_nor_a_set():
    with pytest.raises(FileNotFoundError, match=r"absent: no such file, and no set .* \(advbench, toy\)"):
        questions_in("absent")


def test_the_toys_sets_know_what_prompts_are_about():
    harmful, harmless = questions_in("toy", limit=130), questions_in("toy", "harmless")
    assert len(harmful) == 130 and len(harmless) == 512
    assert len({q["thing"] for q in harmful}) == 64
    assert {q["set"] for q in prompts.questions_of("toy", "toy", "toy", new_tokens=5)} == {
        "harmful",
        "benign",
        "utility",
    }
