"""The defence for TamperBench against a stub of what it takes from the bench.

The stub keeps the bench's rules as they stand in criticalml-uw/TamperBench, commits 9f9b1ee (defense.py), a3bf26e
(registry.py) and 0dd9da2 (defense_trial_manager.py): configurations come from dictionaries, a missing or an
unknown key is an error, paths become Paths, and the registry maps a name to a configuration and a defence.
"""

import importlib.util
import json
import sys
from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

import pytest
import torch
import yaml
from tiny_checkpoints import aligned_from, load, save, weights

from lox.checkpoints.extrapolate import extrapolate_checkpoint

FOLDER = Path(__file__).parents[2] / "integrations" / "tamperbench"
COMMAND = str(Path(sys.executable).with_name("lox"))
ORCHESTRATION = {"model_config", "defense_evals", "post_attack_evals", "attacks"}  # the bench strips them
H = TypeVar("H")


@dataclass
class AlignmentDefenseConfig:
    input_checkpoint_path: Path
    output_checkpoint_path: Path

    def __post_init__(self):
        self.input_checkpoint_path = Path(self.input_checkpoint_path)
        self.output_checkpoint_path = Path(self.output_checkpoint_path)

    @classmethod
    def from_dict(cls, data: dict):
        known = {field.name: field for field in fields(cls) if field.init}
        needed = {name for name, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
        if missing := needed - data.keys():
            raise ValueError(f"missing: {missing}")
        if unknown := data.keys() - known.keys():
            raise ValueError(f"unknown: {unknown}")
        return cls(**data)


class AlignmentDefense(ABC, Generic[H]):
    def __init__(self, defense_config: H):
        self.defense_config = defense_config

    @abstractmethod
    def run_defense(self) -> Path: ...


@pytest.fixture
def registry(monkeypatch) -> dict:
    """The bench's registry after the defence was imported as the bench imports it."""
    registered: dict = {}

    def register_defense(name, config):
        return lambda defense: registered.setdefault(name, (config, defense))[1]

    contents = {
        "defenses.defense": {
            "AlignmentDefense": AlignmentDefense,
            "AlignmentDefenseConfig": AlignmentDefenseConfig,
        },
        "defenses.registry": {"register_defense": register_defense},
        "utils.names": {"DefenseName": Enum("DefenseName", {"LOX": "lox"}, type=str)},
    }
    for name, content in contents.items():
        module = ModuleType(f"tamperbench.whitebox.{name}")
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = importlib.util.spec_from_file_location("tamperbench.whitebox.defenses.lox.lox", FOLDER / "lox.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec.loader.exec_module(module)
    return registered


def trial(registry, entry: dict, aligned: Path, out: Path) -> Path:
    """What the bench does with an entry of the grid: strip, fill in, build, run."""
    config = {key: value for key, value in entry.items() if key not in ORCHESTRATION}
    config |= {"input_checkpoint_path": aligned, "output_checkpoint_path": out}
    config_class, defense_class = registry["lox"]
    return defense_class(defense_config=config_class.from_dict(config)).run_defense()


@pytest.fixture
def entry(tmp_path) -> dict:
    """The grid's first entry for checkpoints ``base`` and ``aligned`` that are there."""
    save(tmp_path / "base", weights(0))
    save(tmp_path / "aligned", aligned_from(weights(0)))
    grid = yaml.safe_load((FOLDER / "grid.yaml").read_text())
    return grid["base"] | {"base_checkpoint_path": str(tmp_path / "base"), "command": COMMAND}


def test_an_entry_of_the_grid_gives_the_checkpoint_that_lox_writes(registry, entry, tmp_path):
    out = trial(registry, entry, tmp_path / "aligned", tmp_path / "trial_0" / "defended_model")
    assert out == tmp_path / "trial_0" / "defended_model" and (out / "config.json").exists()
    extrapolate_checkpoint(tmp_path / "base", tmp_path / "aligned", tmp_path / "expected", k=6, alpha=1.25)
    written, expected = load(out), load(tmp_path / "expected")
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], expected[name]) for name in expected)


def test_the_control_is_the_aligned_model(registry, entry, tmp_path):
    grid = yaml.safe_load((FOLDER / "grid.yaml").read_text())
    entry |= {"alpha": grid["none"]["alpha"]}
    written = load(trial(registry, entry, tmp_path / "aligned", tmp_path / "out"))
    assert all(torch.equal(written[name], tensor) for name, tensor in load(tmp_path / "aligned").items())


def test_what_lox_refuses_is_the_error(registry, entry, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(RuntimeError, match="lox extrapolate ended with 2: lox: .*out: exists already"):
        trial(registry, entry, tmp_path / "aligned", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_the_base_model_has_no_default(registry, entry, tmp_path):
    del entry["base_checkpoint_path"]
    with pytest.raises(ValueError, match="base_checkpoint_path"):
        trial(registry, entry, tmp_path / "aligned", tmp_path / "out")


def test_every_entry_has_what_the_bench_asks_for_and_nothing_that_it_refuses(registry):
    config_class, _ = registry["lox"]
    own = {field.name for field in fields(config_class)} - {"input_checkpoint_path", "output_checkpoint_path"}
    for name, entry in yaml.safe_load((FOLDER / "grid.yaml").read_text()).items():
        assert entry.keys() - own == ORCHESTRATION, name
    sweep = yaml.safe_load((FOLDER / "single_objective_sweep.yaml").read_text())
    assert sweep.keys() == ORCHESTRATION | {"sweep", "capability_guards"}
    assert sweep["sweep"].keys() <= own
    assert sweep["capability_guards"].keys() <= set(sweep["defense_evals"])


def test_settings_are_the_papers_by_default(registry):
    config_class, _ = registry["lox"]
    config = config_class(Path("aligned"), Path("out"), "base")
    assert json.dumps([config.k, config.alpha, config.matrices]) == '[6, 1.25, "all"]'
