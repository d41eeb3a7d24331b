"""The command, and a whole stack for the session to use it against."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from turnpike_cli.testing import RunningStack, Turnpike


@pytest.fixture
def command(tmp_path: Path) -> Turnpike:
    return Turnpike(tmp_path)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    running = RunningStack(tmp_path_factory.mktemp("cli") / "state", "--port", "0", "--credit-usd", "2.5")
    try:
        running.wait_ready()
        yield running
        assert running.end(signal.SIGINT) == 0, running.output.read_text()
    finally:
        running.kill_if_running()
