"""``lox extrapolate`` and ``lox energy``: output, files, exit codes, one line for each error."""

import pandas as pd
import pytest
from tiny_checkpoints import aligned_from, load, save, weights
from typer.testing import CliRunner

from lox import cli


@pytest.fixture
def lox(tmp_path, monkeypatch, unchecked_annotations):
    """A function (arguments) -> result of ``lox``, in a folder with checkpoints ``base`` and ``aligned``."""
    save(tmp_path / "base", weights(0))
    save(tmp_path / "aligned", aligned_from(weights(0)))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli.app, list(arguments))


def test_extrapolate(lox, tmp_path):
    result = lox("extrapolate", "base", "aligned", "out", "--k", "2", "--report", "report.csv")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("out: 12 of 12 matrices changed, R_align 0.")
    assert set(load(tmp_path / "out")) == set(weights(0))
    report = pd.read_csv(tmp_path / "report.csv")
    assert len(report) == 12 and (report["k"] == 2).all() and report["error"].notna().all()


def test_full_rank(lox, tmp_path):
    assert lox("extrapolate", "base", "aligned", "out", "--k", "full", "--report", "r.csv").exit_code == 0
    assert pd.read_csv(tmp_path / "r.csv")["r_align"].tolist() == pytest.approx([1.0] * 12)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(lox, tmp_path):
    result = lox("extrapolate", "base", "aligned", "out", "--dry-run")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "read",
        "change",
        "copy",
        "write",
        "free",
        "memory",
    ]
    assert "12 matrices" in result.stdout
    assert {p.name for p in tmp_path.iterdir()} == {"base", "aligned"}


def test_energy(lox, tmp_path):
    lox("extrapolate", "base", "aligned", "out")
    result = lox("energy", "base", "aligned", "out", "--k", "2", "--csv", "energy.csv")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["kind", "matrices", "r_align", "r_ft", "ratio"] and lines[-1][0] == "all"
    table = pd.read_csv(tmp_path / "energy.csv")
    assert float(lines[-1][4]) == pytest.approx(table["ratio"].mean(), abs=1e-4)


@pytest.mark.parametrize(
    "command", [["extrapolate", "base", "aligned", "out"], ["energy", "base", "aligned"]]
)
def test_quiet(lox, command):
    result = lox(*command, "--quiet")
    assert result.exit_code == 0 and result.output == ""


def test_no_bar_where_nobody_watches(lox, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a notebook
    assert lox("extrapolate", "base", "aligned", "out").stderr == ""


ERRORS = {
    "no such folder": ["extrapolate", "absent", "aligned", "out"],
    "exists already": ["extrapolate", "base", "aligned", "base"],
    "its folder does not exist": ["extrapolate", "base", "aligned", "out", "--report", "absent/report.csv"],
    "device 'abacus'": ["extrapolate", "base", "aligned", "out", "--device", "abacus"],
    "finite number": ["extrapolate", "base", "aligned", "out", "--alpha", "nan"],
    "small k": ["extrapolate", "base", "aligned", "out", "--adapter", "--k", "full"],
    "not a folder of a model": ["energy", "base", "empty"],
}


@pytest.mark.parametrize("said", ERRORS)
def test_errors_are_one_line_and_exit_code_2(lox, tmp_path, said):
    (tmp_path / "empty").mkdir()
    result = lox(*ERRORS[said])
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("lox: ") and result.stderr.count("\n") == 1
    assert said.replace("not a folder of a model", "model.safetensors") in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("k", ["0", "-1", "six", "1.5"])
def test_a_bad_k(lox, k):
    result = lox("energy", "base", "aligned", "--k", k)
    assert result.exit_code == 2 and result.stderr.startswith("lox: k is a positive int")


def test_misfits_are_reported_a_line_each(lox, tmp_path):
    save(tmp_path / "other", {n: t for n, t in weights(0).items() if "norm" not in n})
    result = lox("extrapolate", "base", "other", "out")
    assert result.exit_code == 2
    missing = {f"{name}: missing in aligned" for name in weights(0) if "norm" in name}
    assert set(result.stderr.splitlines()[1:]) == missing


def test_a_bug_is_not_dressed_up(lox, monkeypatch):
    def broken(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr("lox.checkpoints.energy.energy_table", broken)
    result = lox("energy", "base", "aligned")
    assert result.exit_code == 1 and isinstance(result.exception, KeyError)


def test_help_has_groups_and_examples(lox):
    result = lox("extrapolate", "--help")
    assert result.exit_code == 0
    for expected in ("Method", "Running", "Examples", "BASE", "ALIGNED", "OUT", "--dry-run", "--adapter"):
        assert expected in result.stdout
