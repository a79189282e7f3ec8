"""The endpoint judge against `transformers serve`, a real OpenAI-compatible server, with a tiny random model.

The model's words are scores and numerals, so that some of its noise reads as a verdict and some does not.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import torch

from lox.lab import models
from lox.lab.judging.endpoint import JudgeError
from lox.lab.judging.names import judge_named
from lox.lab.judging.rubric import LocalJudge, VerdictFile
from lox.lab.profile import ToyModel
from lox.lab.worlds.toy import ToyWorld, user

KEY = "a-key-for-tests-7351"
START_SECONDS = 180
NUMERALS = "zero one two three four five six seven".split()
REPLIES = ["one one", "two", "three four", "five five five", "six seven", "four one one two", "seven six"]
PROMPTS = [[user("one two")]] * len(REPLIES)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a random model whose weights are so large that each reply gets another answer."""
    tokenizer = models.toy_tokenizer([*(f"score:{i}" for i in range(1, 6)), *NUMERALS])
    settings = ToyModel(
        source="toy", hidden=16, layers=2, heads=2, ffn=32, documents=1, batch=1, row=8, lr=0.1
    )
    network = models.toy_model(settings, tokenizer, seed=0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(40 if weight.dim() == 2 else 1)
    folder = tmp_path_factory.mktemp("served") / "tiny-judge"
    models.save(network, tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    """(address, log file) of a running server of that model alone."""
    log = tmp_path_factory.mktemp("log") / "server.txt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model)]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", models.device()]
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *options], stdout=output, stderr=subprocess.STDOUT, env=os.environ | offline
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1", log
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_for(address, process, log):
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(START_SECONDS):
        time.sleep(1)
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), directly.open(address, timeout=5):
            return
    raise AssertionError(f"no server after {START_SECONDS} s:\n{log.read_text()}")


@pytest.fixture
def endpoint(server, monkeypatch, tmp_path):
    """A function from a model's name to the judge that the environment describes."""
    monkeypatch.setenv("LOX_STAGES", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_BASE_URL", server[0])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return lambda name: judge_named(f"endpoint:{name}", ToyWorld())


def test_its_verdicts_are_those_of_the_same_model_asked_directly(endpoint, server, model, tmp_path):
    judge = endpoint(model)
    found = judge(PROMPTS, REPLIES)
    directly = LocalJudge(str(model), VerdictFile(tmp_path / "direct.jsonl"), batch=1)
    assert found == directly(PROMPTS, REPLIES)
    assert len(set(found)) > 1
    assert judge.name == "endpoint:tiny-judge"
    kept = judge.verdicts.path.read_text()
    assert kept.count("\n") == len(REPLIES)
    for text in (kept, server[1].read_text(), repr(judge)):
        assert KEY not in text


def test_verdicts_that_are_kept_are_not_asked_for_again(endpoint, server, model):
    found = endpoint(model)(PROMPTS[:2], REPLIES[:2])
    asked = server[1].read_text().count("POST /v1/chat/completions")
    assert endpoint(model)(PROMPTS[:2], REPLIES[:2]) == found
    assert server[1].read_text().count("POST /v1/chat/completions") == asked


def test_a_model_that_it_does_not_serve_is_one_clear_error(endpoint):
    with pytest.raises(JudgeError, match="HTTP 400; is the model 'another' there"):
        endpoint("another")(PROMPTS[:1], REPLIES[:1])
