"""Two processes of ``accelerate launch`` that share a model (FSDP), on tiny random models and this CPU."""

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from lox import launch, models, profile
from lox.experiment import read_weights
from lox.profile import Alignment, Training
from lox.toy import ToyWorld

WORLD = ToyWorld()
SHARED = {"max_length": 64, "examples": 16, "lr": 1e-3, "schedule": "constant_with_warmup"}
DATA = {"align": WORLD.preferences(16, 0), "finetune": WORLD.examples("alpaca", 16, 0)}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The configuration of the 7B profiles, but for two processes, no GPU and float32."""
    folder = tmp_path_factory.mktemp("accelerate")
    settings = yaml.safe_load((launch.CONFIGURATIONS / "fsdp.yaml").read_text())
    settings |= {"num_processes": 2, "use_cpu": True, "mixed_precision": "no"}
    (folder / "two.yaml").write_text(yaml.safe_dump(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "CONFIGURATIONS", folder)
        yield "two"


def tiny_model(config, kind, folder):
    tokenizer = models.toy_tokenizer(WORLD.vocabulary)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = kind(config(vocab_size=len(tokenizer), num_key_value_heads=1, **shape, **ends))
    models.save(model, tokenizer, folder)
    return folder


@pytest.mark.parametrize(
    ("job", "settings", "config", "kind"),
    [
        ("finetune", Training, LlamaConfig, LlamaForCausalLM),
        ("align", Alignment, MistralConfig, MistralForCausalLM),
    ],
)
def test_two_processes_train_what_one_trains(two_processes, tmp_path, job, settings, config, kind):
    start = tiny_model(config, kind, tmp_path / "start")
    for accelerate, batch in ((two_processes, 4), (None, 8)):
        trained = tmp_path / str(accelerate)
        launch.train(
            job, accelerate, start, DATA[job], settings(batch=batch, **SHARED), 0, "float32", trained
        )
    before, shared, alone = (read_weights(tmp_path / name) for name in ("start", "two", "None"))
    assert {n: w.shape for n, w in shared.items()} == {n: w.shape for n, w in before.items()}
    for name, weight in shared.items():
        moved = (alone[name] - before[name]).norm()
        assert moved > 0
        # The same examples in the same steps; sums over two halves differ in rounding, which Adam's first
        # steps amplify where a gradient is nearly zero.
        assert (weight - alone[name]).norm() < 0.05 * moved, name


def test_a_job_that_fails_is_one_error_that_says_why(two_processes, tmp_path):
    with pytest.raises(ChildProcessError, match=r"(?s)training with accelerate \(two\) failed:.*nowhere"):
        launch.train(
            "finetune",
            two_processes,
            tmp_path / "nowhere",
            DATA["finetune"],
            Training(batch=4, **SHARED),
            0,
            "float32",
            tmp_path / "trained",
        )
    assert not (tmp_path / "trained").exists()


def test_an_unknown_configuration_is_refused_with_the_known_ones(two_processes, tmp_path):
    settings = Training(batch=4, **SHARED)
    with pytest.raises(ValueError, match="no configuration of accelerate 'three': there are two"):
        launch.train(
            "finetune", "three", tmp_path, DATA["finetune"], settings, 0, "float32", tmp_path / "out"
        )


@pytest.mark.parametrize("name", [n for n in profile.names() if profile.load(n).accelerate])
def test_profiles_name_configurations_that_are_there(name):
    assert (profile.FOLDER / "accelerate" / f"{profile.load(name).accelerate}.yaml").exists()
