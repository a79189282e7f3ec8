"""One run kept epoch by epoch, on the smoke profile: nothing here is a claim about safety."""

import pytest
import torch

from lox.lab import persistence, stages
from lox.lab.setup import read_weights


def equal(first, second) -> bool:
    a, b = read_weights(first), read_weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("defence", ["none", "lox"])
def test_the_last_epoch_is_the_model_of_an_ordinary_run(setup, defence):
    lr = setup.attack_settings("dolly").lr
    folders = persistence.epoch_folders(setup, 1, "dolly", defence, epochs=2, lr=lr)
    assert len(folders) == 3
    assert folders[0] == setup.defended(1, defence)
    assert equal(folders[2], setup.folder("attacked", seed=1, task="dolly", defence=defence, epochs=2))


def test_every_epoch_is_another_model_that_can_be_evaluated(setup):
    folders = persistence.epoch_folders(setup, 1, "dolly", epochs=2, lr=3e-4)
    assert not any(equal(a, b) for a, b in zip(folders, folders[1:]))
    assert all(
        setup.evaluate(folder, "dolly").asr.n == setup.profile.evaluation.harmful for folder in folders
    )


def test_a_run_is_made_once_and_named_by_what_determines_it(setup):
    def last(**which):
        settings = {"seed": 1, "task": "dolly", "epochs": 1, "lr": 3e-4} | which
        return persistence.epoch_folders(setup, **settings)[-1]

    made = last()
    seconds = stages.record(made.parent)["seconds"]
    assert last() == made
    assert stages.record(made.parent)["seconds"] == seconds
    others = [
        last(seed=2),
        last(task="gsm8k"),
        last(epochs=2),
        last(lr=1e-4),
        last(share=0.5),
        last(defence="lox"),
    ]
    assert len({made.parent, *(folder.parent for folder in others)}) == 7


def test_a_share_takes_that_part_of_the_examples(setup):
    made = persistence.epoch_folders(setup, 1, "dolly", epochs=1, lr=3e-4, share=0.5)[-1]
    used = stages.record(made.parent)["recipe"]["settings"]["examples"]
    assert used == setup.attack_settings("dolly").examples // 2


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_that_is_no_part_is_refused(setup, share):
    with pytest.raises(ValueError, match="share is a part of the examples"):
        persistence.epoch_folders(setup, 1, "dolly", epochs=1, lr=3e-4, share=share)
