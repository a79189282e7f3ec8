"""What the tests of faults of checkpoints share."""

from pathlib import Path

import pytest
from tiny_checkpoints import aligned_from, save, weights


@pytest.fixture
def folder(tmp_path, monkeypatch, unchecked_annotations) -> Path:
    """A folder, the working one, with checkpoints ``base`` and ``aligned``, the latter of two shards."""
    save(tmp_path / "base", weights(0))
    save(tmp_path / "aligned", aligned_from(weights(0)), shards=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path
