"""The description of a model: resolved once, and everything about it follows."""

import pytest

from lox.lab import evaluation, stages
from lox.lab import setup as lab
from lox.lab.model import Model


@pytest.fixture
def names(monkeypatch, tmp_path):
    """The smoke experiment whose stages are named and not made."""
    monkeypatch.setenv("LOX_STAGES", str(tmp_path))

    def named(kind, recipe, build, code):
        made_from = {"kind": kind, "recipe": recipe, "code": stages.code_fingerprint(*code)}
        return tmp_path / kind / stages.content_hash(made_from)

    monkeypatch.setattr(stages, "stage", named)
    return lab.load("smoke")


def test_what_is_not_given_is_the_profiles(names):
    settings, lox = names.profile.attacks["gsm8k"], names.profile.lox
    model = names.model(3, "gsm8k", "lox")
    assert model == Model(
        3, names.profile.alignment.examples, "lox", lox.k, lox.alpha, "gsm8k",
        settings.examples, settings.lr, settings.schedule, settings.epochs,
    )  # fmt: skip
    assert names.folder(model) == names.folder(names.model(3, "gsm8k", "lox", k=lox.k, lr=settings.lr))


def test_its_ancestors(names):
    model = names.model(3, "gsm8k", "lox")
    assert model.base == Model(3, 0)
    assert model.aligned == names.model(3)
    assert model.start == names.model(3, defence="lox")
    assert names.model(3, "gsm8k", "safeinst").start == names.model(3)
    assert model.undefended == names.model(3, "gsm8k")


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 2}, {"task": "dolly"}, {"defence": "none"}, {"defence": "random"}, {"defence": "full-rank"},
        {"k": 2}, {"alpha": 0.25}, {"pairs": 16}, {"lr": 1e-5}, {"epochs": 2}, {"examples": 8}, {"schedule": "linear"},
    ],
)  # fmt: skip
def test_every_part_of_the_description_is_in_the_name(names, other):
    given = {"seed": 1, "task": "gsm8k", "defence": "lox"}
    assert names.folder(names.model(**given)) != names.folder(names.model(**given | other))


def test_each_seed_has_its_own_base_on_the_toy(names):
    assert names.folder(names.model(1).base) != names.folder(names.model(2).base)


def test_what_the_data_are_made_with_is_in_the_name(names, monkeypatch):
    model = names.model(1, "gsm8k", "safeinst")
    before = names.folder(model)
    monkeypatch.setattr(lab, "SAFEINST_SHARE", 0.5)
    assert lab.Setup(names.profile).folder(model) != before


def test_the_judge_is_in_no_models_name(names):
    judged = lab.load("smoke", judge="phrases-alone")
    model = names.model(1, "gsm8k")
    assert names.folder(model) == judged.folder(model)


def test_a_kept_course_is_another_stage_than_the_run_without(names):
    model = names.model(1, "gsm8k", epochs=4)
    course = names.course(model, [0, 1, 4])
    assert list(course) == [0, 1, 4]
    assert course[0] == names.folder(model.start)
    assert course[1].parent == course[4].parent != names.folder(model)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "gsm"}, "unknown task 'gsm': the tasks of smoke are gsm8k"),
        ({"task": "gsm8k", "defence": "safelora"}, "unknown defence 'safelora': the defences are none, lox"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(names, given, message):
    with pytest.raises(ValueError, match=message):
        names.model(1, **given)


def test_a_defence_that_acts_afterwards_has_no_folder(names):
    model = names.model(1, "gsm8k", "removal")
    with pytest.raises(ValueError, match="removal acts on weights after fine-tuning"):
        names.folder(model)
    where = evaluation.located(names, model)
    assert where.function is evaluation.without_safety_part
    assert where.folders[0] == names.folder(names.model(1, "gsm8k"))
