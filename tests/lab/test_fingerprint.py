"""A result's code: what can change it changes its name, and nothing else does."""

import gc
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from lox import paths
from lox.lab import attackers, evaluation, fingerprint, stages

DOCUMENTS = "lox.lab.worlds.toy.ToyWorld.pretraining_documents"


@pytest.fixture(scope="module")
def stage_code(setup):
    """What stages themselves say that they are made by: kind -> names, each kind's stage made or found once."""
    said, stage = {}, stages.stage

    def remembered(kind, recipe, build, code):
        said[kind] = [f"{c.__module__}.{c.__qualname__}" for c in code]
        return stage(kind, recipe, build, code)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "stage", remembered)
        aligned = setup.model(1)
        for model in (aligned.base, aligned, setup.model(1, defence="lox"), setup.model(1, defence="random")):
            setup.folder(model)
        evaluation.evaluate(setup, aligned)
        attackers.prefilled(setup, setup.folder(aligned), "sure")
        for kind, made in {
            "attacked": lambda: setup.folder(setup.model(1, "gsm8k")),
            "proximal": lambda: setup.folder(setup.model(1, "gsm8k", "proximal")),
            "truncated": lambda: evaluation.rank_curve(setup, 1, [1]),
            "removal": lambda: evaluation.evaluate(setup, setup.model(1, "gsm8k", "removal")),
        }.items():
            made()
            said[kind] = said["attacked" if kind in ("attacked", "proximal") else "replies"]
        return said


@pytest.fixture
def changed(tmp_path):
    """A function (file, old, new, name) -> whether the change in a copy of the package changes that name's code."""

    def change(file: str, old: str, new: str, *names: str) -> bool:
        copy = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}" / "lox"
        shutil.copytree(paths.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        source = (copy / file).read_text()
        assert old in source, f"{file} no longer holds {old!r}: the test has nothing to change"
        (copy / file).write_text(source.replace(old, new))
        return fingerprint.definitions(list(names), copy) != fingerprint.definitions(list(names))

    return change


@pytest.mark.parametrize(
    ("kind", "file", "old", "new"),
    [
        ("base", "lab/training.py", "weight_decay=0.01", "weight_decay=0.1"),
        ("base", "lab/architectures.py", '"tie_word_embeddings": False', '"tie_word_embeddings": True'),
        ("base", "lab/models.py", "{% if add_generation_prompt %} assistant :", "{% if add_generation_prompt %} :"),
        ("base", "lab/worlds/toy.py", "kind < 0.70", "kind < 0.60"),
        ("base", "lab/worlds/toy.py", "return sorted(words)", "return sorted(words, reverse=True)"),
        ("base", "lab/worlds/toy_problems.py", "FOLDS = 5", "FOLDS = 4"),
        ("aligned", "lab/training.py", '"max_grad_norm": 2.0', '"max_grad_norm": 1.0'),
        ("attacked", "lab/training.py", '"max_grad_norm": 2.0', '"max_grad_norm": 1.0'),
        ("attacked", "lab/callbacks.py", "state.global_step in self.steps", "state.global_step in ()"),
        ("proximal", "lab/callbacks.py", "self.strength * (", "self.strength + ("),
        ("lox", "subspace.py", "TOLERANCE = 1e-4", "TOLERANCE = 1e-2"),
        ("lox", "extrapolation.py", "start.to(subspace.U.dtype) + scale", "start.to(subspace.U.dtype) - scale"),
        ("lox", "checkpoints/pair.py", "first = 1 if kind(name)", "first = 0 if kind(name)"),
        ("lox", "checkpoints/shards.py", "S=alpha * subspace.S", "S=2 * alpha * subspace.S"),
        ("lox", "checkpoints/plan.py", "difference(base, aligned)", "difference(aligned, base)"),
        ("random", "lab/controls.py", "torch.linalg.qr(", "torch.linalg.svd("),
        ("replies", "lab/replies.py", "do_sample=False", "do_sample=True"),
        ("replies", "lab/replies.py", '"left", model.device', '"right", model.device'),
        ("replies", "lab/replies.py", "network.to(torch.bfloat16)", "network.to(torch.float16)"),
        ("begun", "lab/replies.py", "network.to(torch.bfloat16)", "network.to(torch.float16)"),
        ("begun", "lab/attackers.py", "asked[-1].isspace()", "asked[-1].isdigit()"),
        ("truncated", "extrapolation.py", "start.to(subspace.U.dtype) + scale", "start.to(subspace.U.dtype) - scale"),
        ("truncated", "subspace.py", "TOLERANCE = 1e-4", "TOLERANCE = 1e-2"),
        ("truncated", "lab/models.py", "sorted(folder.glob", "list(folder.glob"),
        ("truncated", "lab/models.py", "parameter.copy_(weights[name])", "parameter.copy_(2 * weights[name])"),
        ("removal", "lab/replies.py", "do_sample=False", "do_sample=True"),
    ],
)  # fmt: skip
def test_what_makes_a_stage_is_part_of_its_name(stage_code, changed, kind, file, old, new):
    assert changed(file, old, new, *stage_code[kind])


def test_a_subspace_fine_tuning_names_its_projection(changed):
    assert changed(
        "lab/callbacks.py", "start + projected", "start - projected", "lox.lab.finetuning.restricted"
    )


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("book/figures.py", "C0", "C5"),
        ("checkpoints/card.py", "the linear layers", "linear layers"),
        ("checkpoints/adapter.py", "rows.append(row)", "rows.insert(0, row)"),
        ("book/cells.py", "PAPER_PROMPTS = 100", "PAPER_PROMPTS = 101"),
        ("lab/judging/verdicts.py", 'return "gibberish"', 'return "unparsed"'),
        ("lab/evaluated.py", "The share of benign prompts that are answered.", "Another docstring."),
        ("subspace.py", 'delta: Float[Tensor, "*b m n"], k: Rank, *, seed', "delta, k, *, seed"),
        ("lab/worlds/toy.py", "def solves(", "def solves_it("),
    ],
)
def test_what_only_shows_or_judges_is_in_no_stages_name(stage_code, changed, file, old, new):
    assert not changed(file, old, new, *{name for names in stage_code.values() for name in names})


def test_definitions_are_followed_through_modules_re_exports_and_methods():
    used = fingerprint.used_by_source("import lox\nfrom lox.lab import setup\nlox.r_align\nsetup.load")
    assert {"lox.energy.r_align", "lox.subspace._krylov_svd", "lox.lab.training.align"} <= set(used)
    assert not [name for name in used if name.startswith("lox.book")]


def test_of_a_method_its_own_class_counts_only_as_far_as_it_uses_it():
    used = fingerprint.definitions([DOCUMENTS])
    assert "lox.lab.worlds.toy.ToyWorld._document" in used
    assert "lox.lab.worlds.toy.ToyWorld.preferences" not in used


def test_a_name_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="lox.energy.r_aligned is not defined"):
        fingerprint.definitions(["lox.energy.r_aligned"])


@pytest.fixture
def busy_collector():
    """Garbage is collected all the time, and lets other threads go on meanwhile."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()

    def pause(*_):
        sum(range(50))

    gc.callbacks.append(pause)
    gc.set_threshold(20, 1, 1)
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)
    gc.callbacks.remove(pause)


@pytest.mark.usefixtures("busy_collector")
def test_threads_parse_at_once():
    source = paths.PACKAGE.joinpath("lab", "fingerprint.py").read_text()
    with ThreadPoolExecutor(4) as pool:
        parsed = list(pool.map(fingerprint.parse, [source] * 120))
    assert len(parsed) == 120
