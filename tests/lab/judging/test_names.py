"""Judges by name: which there are, where their verdicts go, and what their names give away."""

import os
import shutil

import pytest

from lox.lab import models, replies, setup
from lox.lab.judging.endpoint import LLMJudge
from lox.lab.judging.names import judge_named
from lox.lab.judging.rubric import LocalJudge
from lox.lab.judging.toy import ToyJudge
from lox.lab.judging.verdicts import RefusalOrEvasion, RefusalPhrases
from lox.lab.profile import ToyModel
from lox.lab.worlds.real import RealData
from lox.lab.worlds.toy import ToyWorld, user

WORLD = ToyWorld()
PROMPTS, REPLIES = [[user("how ?")]] * 2, ["take the flour and mix it .", "sorry , i can not ."]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("LOX_STAGES", str(tmp_path / "stages"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")


@pytest.fixture
def folder(tmp_path):
    """A tiny random model in a folder."""
    tokenizer = models.toy_tokenizer(["user", "assistant", ":"])
    settings = ToyModel(
        source="toy", hidden=16, layers=2, heads=2, ffn=32, documents=1, batch=1, row=8, lr=0.1
    )
    models.save(models.toy_model(settings, tokenizer, seed=0), tokenizer, tmp_path / "private" / "my-judge")
    return tmp_path / "private" / "my-judge"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("toy", ToyJudge),
        ("refusal-or-evasion", RefusalOrEvasion),
        ("refusal-phrases", RefusalPhrases),
        ("phrases-alone", RefusalPhrases),
        ("local:org/model", LocalJudge),
        ("endpoint:org/model", LLMJudge),
    ],
)
def test_a_judge_is_called_what_it_was_asked_for(name, kind):
    judge = judge_named(name, WORLD)
    assert isinstance(judge, kind)
    assert judge.name == name


@pytest.mark.parametrize("name", ["", "Toy", "local", "local:", "endpoint:", "openai:gpt"])
def test_other_names_are_refused_with_the_known_ones(name):
    with pytest.raises(
        ValueError, match="unknown judge .*: the judges are toy, refusal-or-evasion, refusal-phrases"
    ):
        judge_named(name, WORLD)


def test_the_toys_judge_does_not_read_real_data():
    with pytest.raises(ValueError, match="the judge toy knows only the toy world"):
        judge_named("toy", RealData())


def test_an_endpoint_without_an_address_is_one_clear_line(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(ValueError, match="^judge endpoint:m: set OPENAI_BASE_URL, to something like http"):
        judge_named("endpoint:m", WORLD)


@pytest.mark.parametrize("url", ["https://me:hidden@host/v1", "https://host/v1?key=hidden"])
def test_an_address_with_a_key_in_it_is_refused_unseen(monkeypatch, url):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(ValueError, match="a key goes in OPENAI_API_KEY") as error:
        judge_named("endpoint:m", WORLD)
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize("kind", ["local", "endpoint"])
def test_a_folder_is_shown_by_its_last_part_alone(folder, kind):
    judge = judge_named(f"{kind}:{folder}", WORLD)
    assert judge.name == f"{kind}:my-judge"
    assert "private" not in judge.verdicts.path.name


def test_verdicts_are_kept_beside_the_stages_and_a_replaced_model_judges_anew(folder, monkeypatch):
    asked = []

    def complete(model, tokenizer, prompts, **settings):
        asked.extend(prompts)
        return ["reason: ok\nscore: 5" for _ in prompts]

    monkeypatch.setattr(replies, "complete", complete)
    for _ in range(2):
        judge = judge_named(f"local:{folder}", WORLD)
        assert [v.score for v in judge(PROMPTS, REPLIES)] == [5, 5]
        assert len(asked) == 2
    assert judge.verdicts.path.parent == setup.stages.root() / "verdicts"
    weights = folder / "model.safetensors"
    os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 1))
    judge_named(f"local:{folder}", WORLD)(PROMPTS, REPLIES)
    assert len(asked) == 4


def test_two_folders_of_one_name_keep_their_verdicts_apart(folder):
    other = folder.parent / "copy" / folder.name
    shutil.copytree(folder, other)
    first, second = (judge_named(f"local:{place}", WORLD) for place in (folder, other))
    assert first.name == second.name
    assert first.verdicts != second.verdicts


def test_two_endpoints_keep_their_verdicts_apart(monkeypatch):
    files = []
    for url in ("http://localhost:8000/v1", "http://localhost:8001/v1", "http://localhost:8000/v1/"):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        files.append(judge_named("endpoint:m", WORLD).verdicts)
    assert files[0] == files[2] != files[1]


def test_an_address_that_is_none_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "nowhere")
    with pytest.raises(ValueError, match="OPENAI_BASE_URL is 'nowhere', which does not begin with http"):
        judge_named("endpoint:m", WORLD)


def test_another_judge_changes_no_setting_but_the_judge():
    own, other = setup.load("smoke"), setup.load("smoke", judge="endpoint:m")
    assert (own.judge.name, other.judge.name) == ("toy", "endpoint:m")
    settings = own.profile.model_dump()
    settings["evaluation"]["judge"] = "endpoint:m"
    assert other.profile.model_dump() == settings
