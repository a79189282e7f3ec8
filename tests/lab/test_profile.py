import pytest

from lox.lab import profile


def test_every_profile_is_valid():
    for name in profile.names():
        loaded = profile.load(name)
        assert loaded.name == name
        assert not set(loaded.selection_seeds) & set(loaded.seeds)


def test_reported_profiles_have_three_seeds():
    assert len(profile.load("toy").seeds) >= 3


def test_smoke_is_the_toy_profile_made_short():
    smoke, toy = profile.load("smoke"), profile.load("toy")
    assert smoke.model.documents < toy.model.documents
    assert smoke.model.hidden == toy.model.hidden
    assert set(smoke.attacks) == set(toy.attacks)


def test_an_unknown_profile_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown profile 'tyo': the profiles are .*toy"):
        profile.load("tyo")


def test_a_bad_field_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "FOLDER", tmp_path)
    source = (profile.Path(profile.__file__).parent / "profiles" / "toy.yaml").read_text()
    (tmp_path / "toy.yaml").write_text(source)
    (tmp_path / "bad.yaml").write_text("extends: toy\nalignment: {epochs: 0}\n")
    with pytest.raises(ValueError, match=r"profile bad: alignment\.epochs: Input should be greater than 0"):
        profile.load("bad")
    (tmp_path / "odd.yaml").write_text("extends: toy\nalignment: {epoch: 1}\n")
    with pytest.raises(ValueError, match=r"profile odd: alignment\.epoch: Extra inputs are not permitted"):
        profile.load("odd")


def test_rho_lies_between_0_and_1(tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "FOLDER", tmp_path)
    source = (profile.Path(profile.__file__).parent / "profiles" / "toy.yaml").read_text()
    (tmp_path / "bad.yaml").write_text(source + "lox: {rho: 1.0}\n")
    with pytest.raises(ValueError, match=r"profile bad: lox\.rho: Input should be less than 1"):
        profile.load("bad")


def test_the_steps_of_a_run_are_whole_batches_of_every_epoch():
    run = profile.Training(examples=10, epochs=2, lr=1e-3, batch=4, accumulation=2, max_length=8)
    assert [run.steps(n) for n in (1, 8, 9, 16)] == [2, 2, 4, 4]
