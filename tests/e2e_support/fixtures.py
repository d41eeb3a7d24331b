"""The whole of Turnpike as processes, once for all tests that need it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e_support.collector import Collector, collecting
from e2e_support.stack import Stack, running_stack


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stack]:
    state_dir: Path = tmp_path_factory.mktemp("stack") / "state"
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    with running_stack(state_dir, "--probe-interval", "1s", environment=environment) as running:
        yield running
