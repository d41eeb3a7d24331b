"""Leases of accounts as a process that is killed in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest

from accounts.testing import CREDIT, NewCustomer
from accounts.testing.books import check_books
from accounts.testing.leases import check_leases, held_accounts
from accounts.testing.process import accounts_process, environment
from accounts.testing.usage_events import UsageEvents
from contracts.topics import USAGE
from servicekit.clock import SystemClock
from servicekit.kafka import RecordSink
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess, kafka_broker, running
from servicekit.testing.service_process import ServiceProcess, eventually
from turnpike.accounts.v1 import lease_service_pb2 as messages
from turnpike.accounts.v1.lease_service_pb2_grpc import LeaseServiceStub

PEPPER = "a pepper of at least thirty-two bytes"
CALLS = 200


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with kafka_broker() as started:
        yield started


@asynccontextmanager
async def accounts(folder: Path, dsn: str, broker: BrokerProcess) -> AsyncIterator[ServiceProcess]:
    variables = environment(dsn, broker.bootstrap, PEPPER, ACCOUNTS_LEASES_INTERVAL="100ms")
    async with accounts_process(folder, variables) as process:
        await eventually(lambda: asyncio.to_thread(lambda: process.port), "it answers calls")
        yield process


def acquiring(org_id: UUID) -> messages.AcquireLeaseRequest:
    return messages.AcquireLeaseRequest(
        borrower=messages.Borrower(edge_id="edge-1", edge_epoch=1),
        lease_id=str(uuid4()),
        org_id=str(org_id),
        resource=messages.LEASE_RESOURCE_MONEY,
        needed=500,
        wanted=500,
    )


async def test_a_kill_in_the_middle_loses_no_lease_and_lends_none_twice(
    tmp_path: Path,
    dsn: str,
    sql: asyncpg.Connection,
    broker: BrokerProcess,
    new_customer: NewCustomer,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    requests = [acquiring(org_id) for _ in range(CALLS)]

    async def borrow(stub: LeaseServiceStub, request: messages.AcquireLeaseRequest) -> int:
        answer: messages.AcquireLeaseResponse = await stub.AcquireLease(request, timeout=30)
        return answer.granted

    async with accounts(tmp_path, dsn, broker) as process:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
            stub = LeaseServiceStub(channel)
            assert await borrow(stub, requests[0]) == 500

            async def attempt(request: messages.AcquireLeaseRequest) -> int | None:
                try:
                    return await borrow(stub, request)
                except grpc.aio.AioRpcError:
                    return None

            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(attempt(request)) for request in requests]
                await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                process.process.kill()
                await process.end()
    assert {call.result() for call in calls} <= {500, None}
    await check_leases(sql)
    async with accounts(tmp_path, dsn, broker) as process:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
            # As an edge does that has no answer: the same calls again.
            repeated = await asyncio.gather(*(borrow(LeaseServiceStub(channel), request) for request in requests))
        assert repeated == [500] * CALLS
        assert await held_accounts(sql, org_id) == {"credit": 500 * CALLS}
        event = usage_event(org_id, key_id, prompt=1, completion=1)
        event.lease_id, event.hold_nano_usd = requests[0].lease_id, 500
        sink = RecordSink(KafkaSettings(brokers=broker.bootstrap), SystemClock(), "test")
        async with running(sink):
            await sink.send(USAGE.name, key=str(org_id).encode(), value=event.SerializeToString(), headers={})

        async def is_settled() -> bool:
            return bool(await sql.fetchval("SELECT count(*) FROM settled_events"))

        await eventually(is_settled, "the event is settled")
        assert event.cost_nano_usd == 400
        assert await held_accounts(sql, org_id) == {"credit": 500 * CALLS - 400}
        # Nobody renews them, and their time is over.
        await sql.execute("UPDATE leases SET closes_at = now()")

        async def is_free() -> bool:
            return not await held_accounts(sql, org_id)

        await eventually(is_free, "what was stranded has come back")
        assert await sql.fetchval("SELECT balance_nano FROM orgs WHERE org_id = $1", org_id) == CREDIT - 400
        assert await process.stop() == 0
    await check_leases(sql)
    await check_books(sql)
