"""Training in two processes that share a model (FSDP) agrees with training in one: tiny ones, on the CPU."""

import json
import random

import pytest
import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from lox.lab import launch, models, profile, setup, training
from lox.lab.profile import Alignment, Training
from lox.lab.worlds.messages import assistant, user

WORDS = [f"w{i}" for i in range(60)]
MODELS = {"llama": (LlamaConfig, LlamaForCausalLM), "mistral": (MistralConfig, MistralForCausalLM)}
# accelerate shards on GPUs only. In the launched processes this lets it take the CPU for one. When the
# model is saved it notes what the estimates of memory rest on: the weights that each process holds,
# those of the decoder layers that it still holds after a forward pass, and the layers whose activations
# are computed again.
SHARDED_ON_CPU = """
import json
import os
if "LOCAL_RANK" in os.environ:
    import torch
    from accelerate import Accelerator
    from accelerate.state import DistributedType, PartialState
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointWrapper
    from torch.distributed.fsdp import FSDPModule

    def prepare_backend(self, *given, **named):
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        return "gloo", DistributedType.MULTI_GPU

    def held(module):
        local = (p.to_local() if hasattr(p, "to_local") else p for p in module.parameters())
        return sum(parameter.numel() for parameter in local)

    def notes(model):
        noted = {"weights": held(model)}
        with torch.no_grad():
            model(torch.zeros(1, 2, dtype=torch.long))
        noted["layers after forward"] = held(model.model.layers)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # the head, too, as training left it
        noted["recomputed layers"] = sum(isinstance(m, CheckpointWrapper) for m in model.modules())
        return noted

    gather = Accelerator.get_state_dict

    def get_state_dict(self, model, *given, **named):
        path = os.path.join(os.path.dirname(__file__), f"noted-{self.process_index}.json")
        with open(path, "w") as file:
            json.dump(notes(model), file)
        return gather(self, model, *given, **named)

    PartialState._prepare_backend = prepare_backend
    Accelerator.get_state_dict = get_state_dict
"""


@pytest.fixture
def two_processes(tmp_path, monkeypatch):
    """A function precision -> profile whose training is launched as shipped, but small."""
    (tmp_path / "sitecustomize.py").write_text(SHARDED_ON_CPU)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "cpu")
    shipped = yaml.safe_load(launch.configuration("fsdp").read_text())
    monkeypatch.setattr(launch, "FOLDER", tmp_path)

    def by(precision: str) -> profile.Profile:
        mixed = "bf16" if precision == "bf16-autocast" else "no"
        small = {"num_processes": 2, "use_cpu": True, "mixed_precision": mixed}
        (tmp_path / "two.yaml").write_text(yaml.safe_dump(shipped | small))
        asked = {"accelerate": "two", "precision": precision}
        return profile.load("smoke").model_copy(update=asked)

    return by


@pytest.mark.parametrize(
    ("kind", "function", "precision", "tolerance"),
    [
        ("llama", training.align, "float32", 1e-4),
        (
            "mistral",
            training.finetune,
            "bf16-autocast",
            0.2,
        ),  # bf16 rounds, and AdamW magnifies small gradients
    ],
)
def test_two_processes_make_the_model_that_one_makes(
    kind, function, precision, tolerance, two_processes, tmp_path
):
    start, by = tiny_model(kind, tmp_path), two_processes(precision)
    alone = by.model_copy(update={"accelerate": None})
    for name, processes, where in (("two", 2, by), ("one", 1, alone)):
        (tmp_path / name).mkdir()
        launch.train(
            function, start, data(function), settings(function, processes), 7, where, tmp_path / name
        )
    before, one, two = (models.read_weights(tmp_path / name) for name in ("start", "one", "two"))
    assert shapes(two) == shapes(before)
    assert {tensor.dtype for tensor in two.values()} == {torch.float32}
    assert models.load(tmp_path / "two")[1].chat_template == models.TOY_CHAT_TEMPLATE
    assert all(not torch.equal(two[name], before[name]) for name in two)
    assert distance(two, one) < tolerance * distance(one, before)
    assert distance(one, before) > 0
    noted = [json.loads((tmp_path / f"noted-{process}.json").read_text()) for process in (0, 1)]
    layers = {name: tensor for name, tensor in before.items() if ".layers." in name}
    for part, weights in (("weights", before), ("layers after forward", layers)):
        held, total = [each[part] for each in noted], sum(tensor.numel() for tensor in weights.values())
        assert sum(held) == total
        assert max(held) < 0.6 * total
    assert [each["recomputed layers"] for each in noted] == [2, 2]


def test_what_fails_in_a_launched_process_is_the_error(two_processes, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("LOX_STAGES", str(tmp_path / "stages"))
    launched = setup.Setup(two_processes("float32"))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text(json.dumps({"model_type": "no such model"}))
    monkeypatch.setattr(setup.Setup, "_base", lambda self, model: broken)
    monkeypatch.setattr(setup.stages, "name", lambda folder: folder.name)
    with pytest.raises(ChildProcessError, match=r"launched with two\.yaml failed:(.|\n)*no such model"):
        launched.folder(launched.model(1))
    assert not list((tmp_path / "stages").rglob("stage.json"))
    assert "Traceback" not in "".join(capfd.readouterr())


def test_an_unknown_configuration_names_the_known_ones():
    with pytest.raises(ValueError, match="unknown accelerate configuration 'fdsp': there are fsdp"):
        launch.configuration("fdsp")


def test_the_configuration_is_part_of_a_stages_recipe_only_where_there_is_one():
    assert launch.recipe(None) == {}
    assert "num_processes: 8" in launch.recipe("fsdp")["accelerate"]


@pytest.mark.parametrize("name", ["llama2-7b", "mistral-7b"])
def test_total_batches_are_the_papers(name):
    loaded = profile.load(name)
    processes = yaml.safe_load(launch.configuration(loaded.accelerate).read_text())["num_processes"]
    runs = {"alignment": loaded.alignment} | loaded.attacks
    total = {task: run.batch * run.accumulation * processes for task, run in runs.items()}
    known = {"alignment": 128, "gsm8k": 20 * 2, "alpaca": 8 * 8, "dolly": 16 * 4}
    assert known.items() <= total.items()


def test_a_base_model_gets_the_profiles_chat_template(tmp_path):
    start = tiny_model("llama", tmp_path)
    template = profile.load("mistral-7b").model.chat_template
    models.fetch(profile.PretrainedModel(source=str(start), chat_template=template), tmp_path)
    tokenizer = models.load(tmp_path)[1]
    system = {"role": "system", "content": "Be kind."}
    asked = [system, user("w1"), assistant("w2"), user("w3")]
    rendered = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert rendered == "<bos>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nw1 [/INST] w2<eos>[INST] w3 [/INST]"
    answered = tokenizer.apply_chat_template([*asked, assistant("w4")], tokenize=False)
    assert answered == rendered + " w4<eos>"


def tiny_model(kind: str, folder):
    """A random model of 20,000 weights with the toy tokenizer, in ``folder/start``."""
    tokenizer = models.toy_tokenizer([*WORDS, "user", "assistant", ":"])
    make_config, make_model = MODELS[kind]
    torch.manual_seed(0)
    config = make_config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    models.save(make_model(config), tokenizer, folder / "start")
    return folder / "start"


def settings(function, processes: int) -> Training:
    """Four steps of four examples each, two of them accumulated in each of two processes."""
    kind = {training.align: Alignment, training.finetune: Training}[function]
    return kind(examples=16, lr=1e-3, batch=4 // (2 * processes), accumulation=2, max_length=32)


def data(function) -> list[dict]:
    rng = random.Random(0)

    def words() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(2, 6)))

    if function is training.align:
        replies = ("chosen", "rejected")
    else:
        replies = ("completion",)
    return [{"prompt": [user(words())]} | {r: [assistant(words())] for r in replies} for _ in range(16)]


def shapes(weights: dict) -> dict:
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def distance(first: dict, second: dict) -> float:
    return float(torch.stack([(first[name] - second[name]).norm() for name in first]).norm())
