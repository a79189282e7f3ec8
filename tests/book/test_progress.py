"""What is shown on the terminal while kernels make stages."""

import io

from rich.console import Console

from lox.book import progress


def test_whole_stages_are_counted_and_those_in_the_making_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LOX_STAGES", str(tmp_path))
    monkeypatch.setattr(progress, "SECONDS", 0.01)
    shown = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=shown, force_terminal=True))
    (tmp_path / "base" / "old").mkdir(parents=True)
    said = []
    monkeypatch.setattr("rich.status.Status.update", lambda self, text: said.append(text))
    with progress.stage_progress("lox run x"):
        for name in ("new", "new.lock", "next.unfinished"):
            (tmp_path / "aligned" / name).mkdir(parents=True)
        wanted = "lox run x: 1 stages made, in the making: aligned"
        for _ in range(1000):
            if wanted in said:
                break
            progress.threading.Event().wait(0.01)
    assert wanted in said


def test_without_any_stages_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("LOX_STAGES", str(tmp_path / "none"))
    assert progress._names() == set()
