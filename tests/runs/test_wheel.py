"""An installed wheel, used from another folder, where there is nothing but what it asks for."""

import os
import subprocess
import sys
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from peft import PeftModel
from test_packaging import ROOT, requirements
from tiny_checkpoints import aligned_from, load, save, weights
from transformers import LlamaConfig, LlamaForCausalLM


def closure(wanted: list[Requirement]) -> set[str]:
    """The names of all distributions that ``wanted`` bring in, as they are installed here."""
    names, waiting = set(), [(r.name, tuple(r.extras)) for r in wanted]
    while waiting:
        name, extras = waiting.pop()
        names.add(canonicalize_name(name))
        for line in metadata.requires(name) or []:
            needed = Requirement(line)
            marker = needed.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in (*extras, "")):
                continue
            if canonicalize_name(needed.name) not in names:
                waiting.append((needed.name, tuple(needed.extras)))
    return names


def environment(folder: Path, wheel: Path, groups: list[str]) -> Path:
    """An environment of what ``groups`` ask for, linked from this one, with the wheel; its ``bin`` folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for name in closure([r for group in groups for r in requirements(group)]):
        distribution = metadata.distribution(name)
        for top in {path.parts[0] for path in distribution.files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(distribution.locate_file(top))
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, ROOT], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def core(tmp_path_factory, wheel) -> Path:
    return environment(tmp_path_factory.mktemp("core"), wheel, ["core"])


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder outside the project with checkpoints ``base`` and ``aligned``."""
    save(tmp_path / "base", weights(0))
    save(tmp_path / "aligned", aligned_from(weights(0)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LOX_"))}
    return subprocess.run([program, *arguments], cwd=folder, env=kept, capture_output=True, text=True)


def test_the_core_extrapolates_and_measures(core, elsewhere):
    run = call(core / "lox", "extrapolate", "base", "aligned", "out", "--report", "r.csv", folder=elsewhere)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("out: 12 of 12 matrices changed") and (elsewhere / "r.csv").exists()
    assert set(load(elsewhere / "out")) == set(weights(0))
    run = call(core / "lox", "energy", "base", "aligned", "out", folder=elsewhere)
    assert run.returncode == 0 and run.stdout.splitlines()[-1].split()[0] == "all"


def test_the_core_holds_little(core):
    [packages] = core.parent.glob("lib/python*/site-packages")
    there = {path.name for path in packages.iterdir()}
    assert not there & {
        "transformers",
        "peft",
        "datasets",
        "trl",
        "scipy",
        "matplotlib",
        "papermill",
        "sphinx",
    }


@pytest.mark.parametrize(
    "command",
    [["run", "robustness"], ["book"], ["evaluate", "aligned"], ["choose", "base", "aligned"]],
    ids="`lox {0[0]}` outside a checkout".format,
)
def test_what_needs_a_checkout_says_so_in_one_line(core, elsewhere, fault, command):
    said = ("experiments and book need a checkout of the project", "pip install 'lox-book[book]'")
    fault(run=partial(call, core / "lox", *command, folder=elsewhere), says=said)


def test_a_checkout_without_its_packages(core, elsewhere, fault):
    """`lox run` in a checkout, without the packages of the book"""
    said = ("the book needs", "which is not installed: pip install 'lox-book[book]'")
    fault(run=partial(call, core / "python", "-c", NAMED, str(ROOT), folder=elsewhere), says=said)


NAMED = """
import os, sys
os.environ["LOX_PROJECT"] = sys.argv.pop()
from lox.cli import app
app(["run", "robustness"])
"""


def test_an_adapter_without_its_extra(core, elsewhere, fault):
    """`lox extrapolate --adapter` without the packages of adapters"""
    arguments = ["extrapolate", "base", "aligned", "out", "--adapter"]
    said = ("lox: an adapter needs", "pip install 'lox-book[adapter]'")
    fault(run=partial(call, core / "lox", *arguments, folder=elsewhere), says=said)


def test_an_adapter_with_its_extra(tmp_path, wheel):
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, tie_word_embeddings=False))
    model.save_pretrained(tmp_path / "base")
    model.model.layers[0].mlp.up_proj.weight.data.mul_(1.1)
    model.save_pretrained(tmp_path / "aligned")
    bin = environment(tmp_path / "environment", wheel, ["core", "adapter"])
    run = call(bin / "lox", "extrapolate", "base", "aligned", "out", "--adapter", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    PeftModel.from_pretrained(model, tmp_path / "out")


# --- what is imported ------------------------------------------------------------------------------------

HEAVY = "torch transformers peft pandas numpy datasets matplotlib scipy huggingface_hub trl sphinx".split()
HEAVY += ["transformers.modeling_utils", "transformers.trainer"]  # most of what transformers costs


@pytest.mark.parametrize(
    "code, allowed",
    [
        ("import lox; dir(lox), lox.__version__", ""),
        ("from lox.cli import app; app(['--help'], standalone_mode=False)", ""),
        ("from lox.cli import app; app(['extrapolate', '--help'], standalone_mode=False)", ""),
        ("import lox; lox.effective_rank, lox.extrapolate, lox.r_align", "torch numpy"),
        ("import lox.checkpoints.extrapolate, lox.checkpoints.energy", "torch numpy pandas"),
        ("import lox.book.run", "numpy"),
        ("import lox.lab.setup", "torch numpy pandas scipy transformers huggingface_hub"),
    ],
)
def test_nothing_is_imported_before_it_is_needed(code, allowed):
    code += f"\nimport sys\nprint('imported', *({set(HEAVY)} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(run.stdout.splitlines()[-1].split()) - {"imported"} <= set(allowed.split())


def test_the_function_keeps_its_name_when_the_module_of_that_name_is_imported():
    code = (
        "from lox.effective_rank import read_curve; import lox.energy, lox; "
        "from lox import effective_rank; assert callable(lox.effective_rank) and callable(effective_rank); "
        "assert lox.energy.r_align is lox.r_align; assert set(lox.__all__) <= set(dir(lox))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
