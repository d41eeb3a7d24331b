"""Of what is said of one generation the highest rank counts, whenever it comes."""

from __future__ import annotations

import asyncpg

from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing import NewCustomer
from accounts.testing.books import check_books
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.topics import USAGE
from servicekit.kafka import TopicPartition
from servicekit.testing import RecordingTelemetry
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

PARTITION = TopicPartition(USAGE.name, 0)


async def test_a_generation_that_never_ended_costs_nothing_is_counted_once_and_gives_way_to_any_figures(
    new_customer: NewCustomer,
    identity: Identity,
    settlement: Settlement,
    telemetry: RecordingTelemetry,
    sql: asyncpg.Connection,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    final = usage_event(org_id, key_id, completion=7)
    estimate = usage_event(
        org_id, key_id, completion=5, rank=usage_pb.USAGE_RANK_EDGE_ESTIMATE, generation_id=final.generation_id
    )
    reaped = usage_event(org_id, key_id, rank=usage_pb.USAGE_RANK_REAPER, generation_id=final.generation_id)
    reaped.status = usage_pb.GENERATION_STATUS_FAILED
    for member in ("price", "usage", "attempts", "provider", "endpoint_id", "cost_nano_usd", "provider_cost_nano_usd"):
        reaped.ClearField(member)
    usage = []
    for offset, event in enumerate((reaped, reaped, estimate, reaped, final, estimate, reaped)):
        await settlement.handle("c1", PARTITION, usage_records([event], first=offset))
        usage.append((await identity.org(str(org_id))).usage)
    first, last = estimate.cost_nano_usd, final.cost_nano_usd
    assert usage == [0, 0, first, first, last, last, last]
    assert telemetry.metric("accounts.settlement.unreconciled") == 1
    assert await sql.fetchval("SELECT count(*) FROM ledger_entries WHERE reason = 'usage_correction'") == 4
    await check_books(sql)
