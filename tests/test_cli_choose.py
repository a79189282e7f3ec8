"""``lox choose`` on tiny models whose replies follow from their weights: both outcomes, a kill, errors in one line."""

import json

import pandas as pd
import pytest
import torch
from tiny_models import pair
from typer.testing import CliRunner

from lox import cli
from lox.lab import models, reply_file

HARMFUL, HARMLESS = ([f"{kind} request {i} ?" for i in range(70)] for kind in ("bad", "good"))
ASKING = [
    "--harmful",
    "bad.txt",
    "--harmless",
    "good.txt",
    "--device",
    "cpu",
    "--budget",
    "0.06",
    "--batch",
    "50",
]
CALL = ["choose", "base", "aligned", *ASKING, "--ranks", "1,4,8,12", "--alphas", "0.2,0.4,0.8"]
REFUSES, COMPLIES = (
    "i am sorry , but i can not help with that .",
    "sure , here is what you asked for in three steps :",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return pair(tmp_path_factory.mktemp("pair"))


class Answers:
    """Stands for generating: a model refuses harmful requests once it has moved most of the way that alignment went,
    and harmless ones too once it has moved too far. ``die_at`` is the batch at which the user interrupts."""

    def __init__(self, folders, refuses_from=0.7, refuses_all_from=1.5):
        base, aligned = (models.read_weights(f)["model.layers.0.mlp.up_proj.weight"] for f in folders)
        self.base, self.update = base, aligned - base
        self.refuses_from, self.refuses_all_from = refuses_from, refuses_all_from
        self.batches, self.die_at = 0, None

    def __call__(self, model, tokenizer, asked, batch):
        self.batches += 1
        if self.batches == self.die_at:
            raise KeyboardInterrupt
        moved = model.model.layers[0].mlp.up_proj.weight.detach() - self.base
        way = float(torch.sum(moved * self.update) / torch.sum(self.update**2))
        return [q | {"reply": self.reply(q["prompt"][0]["content"], way)} for q in asked]

    def reply(self, prompt, way):
        refused = way > (self.refuses_all_from if prompt.startswith("good") else self.refuses_from)
        return REFUSES if refused else COMPLIES


@pytest.fixture
def answers(folders, monkeypatch):
    made = Answers(folders)
    monkeypatch.setattr(reply_file, "answer", made)
    return made


@pytest.fixture
def lox(folders, tmp_path, monkeypatch, unchecked_annotations):
    """A function (arguments) -> result of ``lox``, in a folder with ``base``, ``aligned`` and prompts."""
    for folder in folders:
        (tmp_path / folder.name).symlink_to(folder)
    (tmp_path / "bad.txt").write_text("\n".join(HARMFUL))
    (tmp_path / "good.txt").write_text("\n".join(HARMLESS))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli.app, list(arguments))


def test_the_answer_is_the_command_to_run(lox, answers):
    result = lox(*CALL, "--csv", "curves.csv", "--figure", "curves.png")
    assert result.exit_code == 0, result.output
    table = pd.read_csv("curves.csv")
    asr = table[table["alpha"].isna()].set_index("k")["asr"]
    k = min(int(k) for k in asr.index if asr[k] < 0.01)
    assert asr[0] == 1 and k > 1, "the made-up models must not be trivial"
    [chosen] = table[table["chosen"]].itertuples()
    losses = table[table["alpha"] > 0].set_index("alpha")["loss"]
    assert losses.iloc[0] == 0 and losses.iloc[-1] == 1 and chosen.alpha == losses[losses == 0].index.max()
    assert (
        result.stdout.splitlines()[-1] == f"lox extrapolate base aligned OUT --k {k} --alpha {chosen.alpha:g}"
    )
    assert "not more, for α = " in result.stdout
    with open("curves.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_a_given_k_is_not_searched_for(lox, answers):
    result = lox(*CALL, "--k", "12", "--matrices", "linear", "--quiet", "--csv", "c.csv")
    assert result.exit_code == 0
    assert result.stdout.startswith("lox extrapolate base aligned OUT --k 12 --alpha ")
    assert result.stdout.endswith("--matrices linear\n")
    assert pd.read_csv("c.csv")["point"].tolist()[:3] == ["base", "aligned", "alpha 0.2"]


def test_alignment_that_does_not_show_chooses_nothing(lox, answers):
    answers.refuses_from = 99
    result = lox(*CALL, "--csv", "curves.csv", "--figure", "curves.png")
    assert result.exit_code == 3
    assert result.stderr.startswith(
        "lox: nothing is chosen: alignment is not shown to have lowered the ASR: "
    )
    assert "lox extrapolate" not in result.stdout
    assert not pd.read_csv("curves.csv")["chosen"].any()


def test_no_alpha_within_the_budget_chooses_nothing(lox, answers):
    answers.refuses_all_from = 1.01
    result = lox(*CALL, "--figure", "curves.png")
    assert result.exit_code == 3
    assert "nothing is chosen: no α is shown to be within the budget: α = 0.2 answers fewer" in result.stderr


@pytest.mark.parametrize("die_at", [1, 2, 5, 9, 14])
def test_a_run_that_goes_on_after_a_kill_leaves_the_files_of_an_undisturbed_one(
    lox, answers, tmp_path, die_at
):
    assert lox(*CALL, "--replies", "whole.jsonl", "--csv", "whole.csv").exit_code == 0
    batches, answers.batches, answers.die_at = answers.batches, 0, die_at
    result = lox(*CALL, "--replies", "killed.jsonl", "--csv", "killed.csv")
    assert result.exit_code == 130 and result.stderr.count("\n") == 1
    assert (
        "lox: interrupted; " in result.stderr
        and "kept in killed.jsonl, the same call goes on" in result.stderr
    )
    assert not (tmp_path / "killed.csv").exists()
    answers.die_at, done = None, answers.batches - 1
    assert lox(*CALL, "--replies", "killed.jsonl", "--csv", "killed.csv").exit_code == 0
    assert answers.batches - 1 - done == batches - done, "no whole batch is asked for again"
    for ending in ("jsonl", "csv"):
        assert (tmp_path / f"killed.{ending}").read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()


def test_another_budget_or_judge_generates_nothing(lox, answers):
    assert lox(*CALL).exit_code == 0
    before = answers.batches
    assert lox(*CALL, "--budget", "0.5", "--judge", "phrases-alone").exit_code == 0
    assert answers.batches == before


def test_lines_of_the_replies_name_their_point(lox, answers, tmp_path):
    lox(*CALL)
    rows = [json.loads(line) for line in (tmp_path / "lox-choose.jsonl").read_text().splitlines()]
    assert {row["model"] for row in rows} >= {
        "base",
        "aligned",
        "rank 1",
        "rank 12",
        "alpha 0.2",
        "alpha 0.8",
    }
    assert len(rows) == 2 * 70 + 70 + 4 * 70 + 3 * 140


ERRORS = {
    "absent: no such folder": ["--ranks", "1"],
    "do not fit together": ["--ranks", "1"],
    "no such file, and no set of harmful prompts": ["--harmful", "absent.txt"],
    "empty.txt: no harmful prompts in it": ["--harmful", "empty.txt"],
    "70 harmless prompts show no loss to be within 2 points, not even one of 0: it takes": [
        "--budget",
        "0.02",
    ],
    "the budget is a share": ["--budget", "2"],
    "'1,x': whole numbers with commas between them are expected, not 'x'": ["--ranks", "1,x"],
    "k is a positive int": ["--ranks", "0,1"],
    "alphas are finite numbers above 0, not -1.0": ["--alphas", "-1"],
    "'': numbers with commas between them": ["--alphas", ""],
    "rho lies between 0 and 1": ["--rho", "0"],
    "absent/c.csv: its folder does not exist": ["--csv", "absent/c.csv"],
    "absent/c.png: its folder does not exist": ["--figure", "absent/c.png"],
    "good.txt: exists already": ["--figure", "good.txt"],
    "base: Is a directory": ["--replies", "base"],
    "unknown judge 'oracle'": ["--judge", "oracle"],
    "device 'abacus'": ["--device", "abacus"],
}


@pytest.mark.parametrize("said", ERRORS)
def test_errors_come_before_the_first_reply(lox, answers, tmp_path, said):
    (tmp_path / "empty.txt").write_text("")
    call = list(CALL)
    if said.startswith("absent: "):
        call[1] = "absent"
    if said == "do not fit together":
        other = models.toy_model(models.ToyModel(**OTHER), models.toy_tokenizer(["a"]), seed=0)
        other.save_pretrained(tmp_path / "other")
        call[1] = "other"
    result = lox(*call, *ERRORS[said])
    assert result.exit_code == 2 and result.stdout == "" and answers.batches == 0
    assert result.stderr.startswith("lox: ") and said in result.stderr
    assert said == "do not fit together" or result.stderr.count("\n") == 1
    assert {p.name for p in tmp_path.iterdir()} <= {
        "base",
        "aligned",
        "other",
        "bad.txt",
        "good.txt",
        "empty.txt",
    } | {"lox-choose.jsonl"}


OTHER = {"source": "toy", "hidden": 8, "layers": 1, "heads": 2, "ffn": 16} | {
    "documents": 1,
    "batch": 1,
    "row": 8,
    "lr": 0.1,
}
