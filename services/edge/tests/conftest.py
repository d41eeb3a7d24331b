"""Fixtures of the edge's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from edge.testing.stack import EdgeStack, Neighbours, OpenEdge, edge_stack
from servicekit.testing import BrokerProcess, kafka_broker

EXAMPLES = Path(__file__).parents[3] / "protos" / "examples"


@pytest.fixture(scope="session")
def broker() -> Iterator[BrokerProcess]:
    """A broker that is never stopped. What tests publish there has keys of its own."""
    with kafka_broker() as broker:
        yield broker


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    """Holds what a test opens until its end."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def around() -> Neighbours:
    """The services around the edge of this test."""
    return Neighbours()


@pytest.fixture
def open_edge(tmp_path: Path, broker: BrokerProcess, around: Neighbours, opened: AsyncExitStack) -> OpenEdge:
    """Runs an edge with special settings."""

    async def start(**sections: Any) -> EdgeStack:
        return await opened.enter_async_context(edge_stack(tmp_path / "state", broker.bootstrap, around, **sections))

    return start


@pytest.fixture
async def edge(open_edge: OpenEdge) -> EdgeStack:
    """A running edge."""
    return await open_edge()


@pytest.fixture
def examples() -> Path:
    """The folder of published example payloads."""
    return EXAMPLES
