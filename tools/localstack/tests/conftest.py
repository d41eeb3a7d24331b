"""A report that remembers, and the state directory of a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from localstack.state import StateDir
from localstack.testing import RecordingReport


@pytest.fixture
def report() -> RecordingReport:
    return RecordingReport()


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir.at(tmp_path / "state")
    made.make()
    return made
