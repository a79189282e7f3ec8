"""Base models that the project keeps, on the smoke profile, and the toy's own."""

import pytest
import torch

from lox.lab import bases, setup, stages


def kept_base(setup, seed):
    return bases.kept(setup.profile.model, setup.world, seed)


def trained_base(setup, seed):
    return bases.trained(setup.profile.model, setup.world, seed)


@pytest.fixture
def kept_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LOX_BASES", str(tmp_path))
    return tmp_path


@pytest.fixture
def kept(setup, kept_folder):
    """The smoke profile's first seed, kept; the setup is asked before and after."""
    file = kept_base(setup, 1)
    bases.keep(setup.folder(setup.model(1).base), file)
    return file


def test_the_reported_seeds_of_the_toy_are_kept_as_they_would_be_trained_now():
    """Where this fails, what determines a base model has changed: ``python -m lox.lab.keep`` makes them anew."""
    toy = setup.load("toy")
    files = [kept_base(toy, seed) for seed in toy.seeds]
    assert [file.name for file in files if not file.exists()] == []
    assert sorted(file.name for file in bases.root().iterdir()) == sorted(file.name for file in files)
    assert all(file.stat().st_size < 2_000_000 for file in files)


def test_without_a_kept_one_the_base_model_is_trained(setup, kept_folder):
    assert setup.folder(setup.model(1).base) == trained_base(setup, 1)


def test_a_kept_one_is_used_instead_of_training(setup, kept):
    base, trained = setup.model(1).base, trained_base(setup, 1)
    folder = setup.folder(base)
    assert folder != trained and "kept" in stages.record(folder)["recipe"]
    rounded = {name: w.half().to(torch.float32) for name, w in bases.models.read_weights(trained).items()}
    torch.testing.assert_close(setup.weights(base), rounded, rtol=0, atol=0)
    assert (folder / "tokenizer.json").read_text() == (trained / "tokenizer.json").read_text()
    assert setup.folder(setup.model(2).base) == trained_base(setup, 2)  # of which none is kept


def test_one_that_was_made_otherwise_is_not_used(setup, kept, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(bases, "PRETRAINING", (bases.keep,))
        assert kept_base(setup, 1).parent == kept.parent and kept_base(setup, 1) != kept
    other = setup.profile.model.model_copy(update={"lr": 1e-5})
    changed = type(setup)(setup.profile.model_copy(update={"model": other}))
    assert kept_base(changed, 1) != kept and not kept_base(changed, 1).exists()


def test_another_kept_file_is_another_model(setup, kept):
    before = setup.folder(setup.model(1).base)
    bases.keep(trained_base(setup, 2), kept)
    assert setup.folder(setup.model(1).base) != before


def test_a_damaged_one_is_named(setup, kept):
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(
        ValueError, match=rf"{kept.name}: damaged \(.*\); without it the base model is trained"
    ):
        setup.folder(setup.model(1).base)
