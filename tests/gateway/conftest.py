"""Fixtures of the tests of edge and router together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servicekit.testing import BrokerProcess, kafka_broker


@pytest.fixture(scope="session")
def broker() -> Iterator[BrokerProcess]:
    """A broker that is never stopped."""
    with kafka_broker() as broker:
        yield broker
