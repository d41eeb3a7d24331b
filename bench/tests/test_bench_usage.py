"""The bench of usage: its events are the same every time and like real ones, and every page is asked and answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from contracts.ids import usage_event_id
from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.testing.engine import engine_path
from servicekit.clock import SystemClock
from turnpike_bench.usage import events, questions, run
from turnpike_bench.usage.__main__ import load

EVENTS, DAYS = 20_000, 8
_DIGEST = "SELECT count(), groupBitXor(cityHash64(*)) FROM (SELECT * EXCEPT ingested_at FROM usage_events)"


@pytest.fixture
async def log() -> AsyncIterator[ClickHouseUsageLog]:
    database = f"bench_{uuid4().hex}"
    admin = clickhouse_connect.get_client(dsn=f"chdb://{engine_path()}")
    admin.command(f"CREATE DATABASE {database}")  # house: built-sql - a name made here
    dsn = f"chdb://{engine_path()}?database={database}"
    opened = ClickHouseUsageLog(dsn, SystemClock(), CallLimits(), cluster=None, may_migrate=True)
    await opened.start()
    yield opened
    await opened.stop(timedelta(seconds=1))
    admin.command(f"DROP DATABASE {database}")  # house: built-sql - a name made here
    admin.close()


def usage(chunk: int = EVENTS) -> events.SyntheticUsage:
    return events.SyntheticUsage(EVENTS, events.midnight(datetime.now(UTC)), days=DAYS, chunk=chunk)


def _insert(made: events.SyntheticUsage, client: Client) -> list[int]:
    return list(made.insert(client))


async def test_events_are_the_same_in_any_chunks_and_name_themselves_as_the_edge_does(
    log: ClickHouseUsageLog,
) -> None:
    digests = []
    for chunk in (EVENTS, 7_001):
        made = usage(chunk)
        await log.calls.step(lambda client: client.command("TRUNCATE TABLE usage_events"))
        assert (await log.calls.step(partial(_insert, made)))[-1] == EVENTS
        digests.append(await log.calls.step(lambda client: client.query(_DIGEST).result_rows))
    assert digests[0] == digests[1]
    assert digests[0][0][0] == EVENTS
    rows = await log.calls.step(
        lambda client: client.query("SELECT event_id, generation_id, org_id FROM usage_events LIMIT 50").result_rows
    )
    for event_id, generation_id, _ in rows:
        assert str(event_id) == usage_event_id(generation_id)
    _, generation_id, org_id = rows[0]
    found = await log.find(org_id, generation_id)
    assert found is not None
    assert found.generation_id == generation_id


async def test_every_page_is_answered_and_tells_what_it_reads(log: ClickHouseUsageLog) -> None:
    await load(log, usage())
    asked = await questions.sample(log.calls)
    assert len(asked.orgs) >= 10
    for page in questions.pages(usage(), asked, log):
        result = await run.measure(log.calls, questions.Page(page.name, page.asks[:1]), 1)
        assert len(result.seconds) == 1
        # Costs of sessions are in the same parts as the names of their applications and models (decision 61).
        readings = 3 if page.name.startswith("costs of sessions") else 1
        assert 0 <= result.rows <= readings * result.rows_of, page.name
        assert page.name in run.table([result])
