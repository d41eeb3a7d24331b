"""Fixtures of the tests of edge, router and metering together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from uuid import uuid4

import clickhouse_connect
import pytest
import pytest_asyncio

from edge.settings import MeteringSettings
from edge.testing.stack import Neighbours, edge_stack
from gateway_support.metering import metering_stack
from gateway_support.usage import Filled, seeded_events
from metering.domain.rollups import Rollup
from metering.testing.engine import engine_path
from servicekit.clock import SystemClock
from servicekit.testing import BrokerProcess, kafka_broker
from turnpike.usage.v1 import usage_event_pb2 as usage_pb


@pytest.fixture(scope="session")
def broker() -> Iterator[BrokerProcess]:
    """A broker that is never stopped."""
    with kafka_broker() as broker:
        yield broker


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory, broker: BrokerProcess) -> AsyncIterator[Filled]:
    """Made once for all tests, none of which changes what another one counts."""
    folder = tmp_path_factory.mktemp("usage")
    name = f"usage_{uuid4().hex}"
    client = clickhouse_connect.get_client(dsn=f"chdb://{engine_path()}")
    client.command(f"CREATE DATABASE {name}")
    async with metering_stack(f"chdb://{engine_path()}?database={name}", SystemClock()) as metering:
        settings = MeteringSettings(target=metering.target)
        async with edge_stack(folder / "edge", broker.bootstrap, Neighbours(), metering=settings) as edge:
            events, now = [], datetime.now(UTC)
            for event in seeded_events(now):
                copy = usage_pb.UsageEvent()
                copy.CopyFrom(event)
                if event.org_id == "org-a":
                    copy.org_id = edge.org.org_id
                    if event.key_id == "org-a-key-0":
                        copy.key_id = edge.key_record.key_id
                events.append(copy)
            await metering.insert(events, Rollup.USAGE_DAYS, Rollup.PAGE_DAYS, Rollup.ENDPOINT_MINUTES)
            yield Filled(edge, metering, events, now)
    client.command(f"DROP DATABASE {name} SYNC")
    client.close()
