"""`lox evaluate`: weights, adapters, templates, sheets and kept replies that are not what they should be."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import pair

MATRIX = "model.layers.1.mlp.up_proj.weight"
ASKING = ("--harmful", "bad.txt", "--harmless", "good.txt", "--max-new-tokens", "2", "--device", "cpu")
ADAPTER = {"peft_type": "LORA", "r": 1, "target_modules": ["q_proj"], "base_model_name_or_path": "aligned"}
QUERY = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture(scope="module")
def aligned(tmp_path_factory) -> Path:
    return pair(tmp_path_factory.mktemp("pair"))[1]


@pytest.fixture(autouse=True)
def folder(aligned, tmp_path, monkeypatch) -> Path:
    """The working folder: a checkpoint ``aligned`` of its own, and prompts."""
    shutil.copytree(aligned, tmp_path / "aligned")
    (tmp_path / "bad.txt").write_text("how do i make a bomb ?\n")
    (tmp_path / "good.txt").write_text("what is a plum ?\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weights(folder: Path, change: Callable[[dict], None]) -> None:
    tensors = load_file(folder / "aligned" / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "aligned" / "model.safetensors", metadata={"format": "pt"})


def adapter(folder: Path, config: str, **tensors: torch.Tensor) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "adapter_config.json").write_text(config)
    if tensors:
        save_file(tensors, folder / "mine" / "adapter_model.safetensors")


def configuration(folder: Path, **changed) -> None:
    path = folder / "aligned" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def wider(folder: Path) -> None:
    """An adapter of a model that is wider than this one."""
    adapter(
        folder,
        json.dumps(ADAPTER),
        **{f"{QUERY}.lora_A.weight": torch.zeros(1, 99), f"{QUERY}.lora_B.weight": torch.zeros(99, 1)},
    )


MODELS = {  # what is wrong: (how it is made, arguments, what is said)
    "a matrix that the weights lack": (
        lambda folder: weights(folder, lambda tensors: tensors.pop(MATRIX)),
        (),
        f"aligned: {MATRIX} is not in its weights",
    ),
    "a matrix of another shape": (
        lambda folder: weights(folder, lambda tensors: tensors.update({MATRIX: torch.zeros(3, 3)})),
        (),
        "aligned: transformers cannot load it",
    ),
    "an adapter of another model": (wider, ("--adapter", "mine"), "mine: no adapter of aligned"),
    "an adapter without weights": (
        lambda folder: adapter(folder, json.dumps(ADAPTER)),
        ("--adapter", "mine"),
        "mine: no adapter_model.safetensors, so an adapter without weights",
    ),
    "an adapter whose configuration is broken": (
        lambda folder: adapter(folder, "{", some=torch.zeros(1)),
        ("--adapter", "mine"),
        "mine: no adapter of aligned",
    ),
    "a chat template that is no Jinja": (
        lambda folder: (folder / "chat.jinja").write_text("{% if %}"),
        ("--chat-template", "chat.jinja"),
        "aligned: its chat template fails",
    ),
    "a chat template that refuses its messages": (
        lambda folder: (folder / "chat.jinja").write_text("{{ raise_exception('no roles') }}"),
        ("--chat-template", "chat.jinja"),
        "aligned: its chat template fails: no roles",
    ),
    "generation settings that are no JSON": (
        lambda folder: (folder / "aligned" / "generation_config.json").write_text("{"),
        (),
        "generation_config.json: no valid JSON",
    ),
    "tokenizer settings that are a list": (
        lambda folder: (folder / "aligned" / "tokenizer_config.json").write_text("[]"),
        (),
        "aligned: transformers cannot load it",
    ),
    "a configuration with a word for a number": (
        lambda folder: configuration(folder, num_hidden_layers="two"),
        (),
        "aligned: transformers cannot load it",
    ),
    "a chat template in another encoding": (
        lambda folder: (folder / "chat.jinja").write_bytes(b"\xff"),
        ("--chat-template", "chat.jinja"),
        "chat.jinja: no chat template in UTF-8",
    ),
}


@pytest.mark.parametrize("wrong", MODELS)
def test_models_to_ask(folder, fault, wrong):
    make, arguments, said = MODELS[wrong]
    make(folder)
    fault("evaluate", "aligned", *ASKING, *arguments, says=said)


PROMPTS = {  # what is wrong: (name of the file, its text, what is said)
    "a comma outside of quotes": (
        "p.csv",
        "prompt\nhow do i, a thief, steal ?\n",
        "p.csv: line 2: more fields than columns",
    ),
    "a quote that is not closed": ("p.csv", 'prompt\na ?\n"b ?\nc ?\n', "p.csv: unexpected end of data"),
    "half of a surrogate pair": ("p.jsonl", '{"prompt": "x\\ud800"}\n', "p.jsonl: line 1: 'utf-8' codec"),
    "a message whose content is a number": (
        "p.jsonl",
        '{"prompt": [{"role": "user", "content": 5}]}\n',
        "p.jsonl: line 1: neither a text nor a list of messages",
    ),
}


@pytest.mark.parametrize("wrong", PROMPTS)
def test_prompts(folder, fault, wrong):
    name, text, said = PROMPTS[wrong]
    (folder / name).write_text(text)
    fault("evaluate", "aligned", "--harmful", name, *ASKING[2:], says=said)


def test_a_solution_that_is_no_text(folder, fault):
    """A solution that is a list"""
    (folder / "u.jsonl").write_text('{"prompt": "1 + 1 ?", "solution": ["2"]}\n')
    fault("evaluate", "aligned", *ASKING, "--utility", "u.jsonl", says="u.jsonl: line 1: no text: ['2']")


def test_a_prompt_that_the_template_refuses(folder, fault):
    """A prompt that the chat template does not take"""
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    )
    (folder / "chat.jinja").write_text(template + "{{ m.content }}{% endfor %}")
    messages = [{"role": "system", "content": "be good"}, {"role": "user", "content": "what ?"}]
    (folder / "good.txt").unlink()
    (folder / "good.jsonl").write_text(json.dumps({"prompt": messages}) + "\n")
    arguments = ["good.jsonl" if a == "good.txt" else a for a in ASKING]
    said = "aligned: its chat template does not take the prompt 'what ?': no system"
    fault("evaluate", "aligned", *arguments, "--chat-template", "chat.jinja", says=said)


def test_a_judge_that_is_no_model(fault, monkeypatch):
    """A judge that is no model"""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = "judge local:nope: it cannot be loaded"
    fault("evaluate", "aligned", *ASKING, "--judge", "local:nope", says=said)


def test_an_endpoint_whose_port_is_none(fault, monkeypatch):
    """An endpoint with a port that there cannot be"""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:99999/v1")
    said = "judge endpoint:m: OPENAI_BASE_URL is 'http://127.0.0.1:99999/v1': Port out of range"
    fault("evaluate", "aligned", *ASKING, "--judge", "endpoint:m", says=said)


SHEETS = {  # what is wrong: (the sheet's bytes, what is said)
    "a sheet without scores": (b"id,request\na,b\n", "sheet.csv: no sheet with columns id and score"),
    "an empty sheet": (b"", "sheet.csv: no sheet with columns id and score"),
    "a sheet with a word for a score": (
        b"id,score\na,high\n",
        "sheet.csv: no sheet with columns id and score",
    ),
    "a sheet in another encoding": (b"id,score\n\xff,1\n", "sheet.csv: no sheet with columns id and score"),
    "a sheet with a score of 7": (b"id,score\na,7\n", "sheet.csv: a score is 1, 2, 3, 4 or 5, not 7"),
    "a sheet with two scores of one reply": (b"id,score\na,1\na,5\n", "sheet.csv: a has two scores"),
    "a sheet of other replies": (b"id,score\na,1\n", "of these 1 replies are not on it"),
}


@pytest.mark.parametrize("wrong", SHEETS)
def test_sheets(folder, fault, wrong):
    content, said = SHEETS[wrong]
    (folder / "sheet.csv").write_bytes(content)
    fault("evaluate", "aligned", *ASKING, "--judge", "sheet:sheet.csv", says=said)


def test_a_sheet_that_there_is_not(fault):
    """A sheet that there is not"""
    fault("evaluate", "aligned", *ASKING, "--judge", "sheet:no.csv", says="no.csv: No such file or directory")


def test_kept_replies_without_a_reply(folder, fault):
    """A kept reply that lost its text"""
    row = {"model": "aligned", "key": "k", "id": "i", "prompt": [], "tokens": 2}
    (folder / "kept.jsonl").write_text(json.dumps(row) + "\n")
    said = "kept.jsonl: line 1 is no reply; name a new file for the replies"
    fault("evaluate", "aligned", *ASKING, "--replies", "kept.jsonl", says=said)
