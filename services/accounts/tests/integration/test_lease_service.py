"""Leases over gRPC, from many edges at the same time, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest

from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.lease_store import PostgresLeaseStore
from accounts.api import lease_service
from accounts.domain.lease_ports import LeaseStore
from accounts.lease_expiry import LeaseExpiry
from accounts.leases import Leases
from accounts.settlement import Settlement
from accounts.testing import CREDIT, NewCustomer
from accounts.testing.leases import TERMS, check_leases, held_accounts
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.money import PicoUsd, UnitPrice
from contracts.topics import USAGE
from servicekit.grpc_errors import error_info
from servicekit.kafka import TopicPartition
from servicekit.testing import ManualClock, RecordingTelemetry, run_servicer, running
from turnpike.accounts.v1 import lease_service_pb2 as messages
from turnpike.accounts.v1 import records_pb2
from turnpike.accounts.v1.lease_service_pb2_grpc import LeaseServiceStub, add_LeaseServiceServicer_to_server
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

USAGE_0 = TopicPartition(USAGE.name, 0)
MONEY = messages.LEASE_RESOURCE_MONEY
# Fifty dollars a million tokens: 20 of them are a thousandth of a dollar.
DEAR = UnitPrice("pv_dear", PicoUsd(0), PicoUsd(50_000_000), PicoUsd(0), PicoUsd(0), PicoUsd(0), PicoUsd(0))
TOKENS = 20
EDGES, IN_FLIGHT = 50, 20
HOLD = CREDIT // (EDGES * IN_FLIGHT)


@asynccontextmanager
async def serving(store: LeaseStore, telemetry: RecordingTelemetry | None = None) -> AsyncIterator[LeaseServiceStub]:
    """Leases as accounts has them, at a socket."""
    leases = Leases(store, (telemetry or RecordingTelemetry()).meter, transactions=2)

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_LeaseServiceServicer_to_server(lease_service.LeaseServicer(leases), server)
        return [lease_service.SERVICE_NAME]

    async with running(leases), run_servicer(register) as channel:
        yield LeaseServiceStub(channel)


@pytest.fixture
def lease_store(database: Database) -> PostgresLeaseStore:
    return PostgresLeaseStore(database, TERMS)


@pytest.fixture
async def stub(lease_store: PostgresLeaseStore, telemetry: RecordingTelemetry) -> AsyncIterator[LeaseServiceStub]:
    async with serving(lease_store, telemetry) as stub:
        yield stub


def acquiring(org_id: UUID, needed: int = 500, /, **members: object) -> messages.AcquireLeaseRequest:
    request = messages.AcquireLeaseRequest(
        borrower=messages.Borrower(edge_id="edge-1", edge_epoch=1),
        lease_id=str(uuid4()),
        org_id=str(org_id),
        resource=MONEY,
        needed=needed,
        wanted=needed,
    )
    for name, value in members.items():
        setattr(request, name, value)
    return request


def renewing(lease: messages.AcquireLeaseRequest, **amounts: int) -> messages.RenewLeaseRequest:
    request = messages.RenewLeaseRequest(borrower=lease.borrower, lease_id=lease.lease_id, org_id=lease.org_id)
    for name, amount in amounts.items():
        setattr(request, name, amount)
    return request


def releasing(lease: messages.AcquireLeaseRequest, spent: int, in_flight: int = 0) -> messages.ReleaseLeaseRequest:
    return messages.ReleaseLeaseRequest(
        borrower=lease.borrower, lease_id=lease.lease_id, org_id=lease.org_id, spent=spent, in_flight=in_flight
    )


async def refusal(call: Awaitable[object]) -> tuple[grpc.StatusCode, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    info = error_info(raised.value)
    assert info is not None
    return raised.value.code(), info.reason, info.metadata.get("param", "")


async def test_a_lease_is_lent_renewed_and_released(stub: LeaseServiceStub, new_customer: NewCustomer) -> None:
    org_id, _ = await new_customer()
    request = acquiring(org_id)
    answer = await stub.AcquireLease(request)
    assert (answer.granted, answer.is_scarce, answer.HasField("refusal")) == (500, True, False)
    assert answer.time_to_live.ToTimedelta() == TERMS.ttl
    renewed = await stub.RenewLease(renewing(request, needed=100, wanted=100, spent=50, returned=200))
    assert (renewed.granted, renewed.time_to_live.ToTimedelta()) == (600, TERMS.ttl)
    released = await stub.ReleaseLease(releasing(request, 50, 30))
    assert released.returned == 600 - 200 - 80
    assert await refusal(stub.RenewLease(renewing(request))) == (
        grpc.StatusCode.NOT_FOUND,
        "NOT_FOUND",
        "",
    )


async def test_a_refusal_names_the_account_and_what_is_left_there(
    stub: LeaseServiceStub, new_customer: NewCustomer
) -> None:
    org_id, key_id = await new_customer(limit=700)
    answer = await stub.AcquireLease(acquiring(org_id, 701, key_id=str(key_id)))
    assert answer == messages.AcquireLeaseResponse(
        is_scarce=True,
        refusal=messages.LeaseRefusal(
            reason=messages.LEASE_REFUSAL_REASON_EXHAUSTED,
            account=messages.LEASE_ACCOUNT_KIND_KEY,
            account_id=str(key_id),
            limit=700,
            available=700,
        ),
        edges=1,
    )
    answer = await stub.AcquireLease(acquiring(org_id, CREDIT + 1))
    assert answer.refusal == messages.LeaseRefusal(
        reason=messages.LEASE_REFUSAL_REASON_EXHAUSTED,
        account=messages.LEASE_ACCOUNT_KIND_ORG,
        account_id=str(org_id),
        available=CREDIT,
    )


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"lease_id": "x"}, "lease_id"),
        ({"org_id": ""}, "org_id"),
        ({"key_id": "x"}, "key_id"),
        ({"resource": 0}, "resource"),
        ({"resource": 2}, "limit"),
        ({"needed": 0}, "needed"),
        ({"needed": -5}, "needed"),
        ({"needed": 2**62, "wanted": 2**62}, "needed"),
        ({"wanted": 499}, "wanted"),
    ],
)
async def test_bad_input_names_its_field(
    members: dict[str, object], field: str, stub: LeaseServiceStub, new_customer: NewCustomer
) -> None:
    org_id, _ = await new_customer()
    expected = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", field)
    assert await refusal(stub.AcquireLease(acquiring(org_id, **members))) == expected


async def test_bad_borrowers_and_limits_name_their_field(stub: LeaseServiceStub, new_customer: NewCustomer) -> None:
    org_id, key_id = await new_customer()
    request = acquiring(org_id)
    request.borrower.edge_epoch = 0
    assert (await refusal(stub.AcquireLease(request)))[2] == "borrower.edge_epoch"
    request = acquiring(org_id)
    request.borrower.edge_id = "\0"
    assert (await refusal(stub.AcquireLease(request)))[2] == "borrower.edge_id"
    for owner, interval, named, wrong in (
        (0, records_pb2.RATE_INTERVAL_MINUTE, key_id, "limit.owner"),
        (messages.LIMIT_OWNER_KEY, 0, key_id, "limit.interval"),
        (messages.LIMIT_OWNER_KEY, records_pb2.RATE_INTERVAL_MINUTE, "", "key_id"),
    ):
        request = acquiring(org_id, key_id=str(named), resource=messages.LEASE_RESOURCE_REQUESTS)
        request.limit.owner = messages.LimitOwner.ValueType(owner)
        request.limit.interval = records_pb2.RateInterval.ValueType(interval)
        assert (await refusal(stub.AcquireLease(request)))[2] == wrong
    for name in ("spent", "in_flight", "returned", "needed"):
        assert (await refusal(stub.RenewLease(renewing(request, **{name: -1}))))[2] == name


async def test_an_older_process_of_an_edge_is_told_that_it_is_fenced(
    stub: LeaseServiceStub, new_customer: NewCustomer
) -> None:
    org_id, _ = await new_customer()
    young = acquiring(org_id)
    young.borrower.edge_epoch = 2
    await stub.AcquireLease(young)
    assert await refusal(stub.AcquireLease(acquiring(org_id))) == (grpc.StatusCode.FAILED_PRECONDITION, "FENCED", "")


async def test_calls_of_one_organisation_at_the_same_time_are_few_transactions(
    stub: LeaseServiceStub, new_customer: NewCustomer, telemetry: RecordingTelemetry, sql: asyncpg.Connection
) -> None:
    one, two = [(await new_customer())[0] for _ in range(2)]
    wrong = [stub.AcquireLease(acquiring(one, key_id=str(uuid4()))) for _ in range(3)]
    right = [stub.AcquireLease(acquiring(org_id)) for org_id in (one, two) for _ in range(100)]
    refused = [await refusal_code(call) for call in wrong]
    assert refused == [grpc.StatusCode.NOT_FOUND] * 3
    assert [answer.granted for answer in await asyncio.gather(*right)] == [500] * 200
    assert (await held_accounts(sql, one), await held_accounts(sql, two)) == ({"credit": 50_000}, {"credit": 50_000})
    assert telemetry.metric("accounts.lease.answers", {"call": "acquire", "outcome": "done"}) == 200
    transactions = await sql.fetchval("SELECT count(DISTINCT xmin::text) FROM leases")
    assert transactions <= 100, "together, although one after the other would do as well"


async def test_calls_of_many_organisations_go_together_and_wait_for_none_that_is_busy(
    stub: LeaseServiceStub, new_customer: NewCustomer, telemetry: RecordingTelemetry, sql: asyncpg.Connection
) -> None:
    busy, *free = [(await new_customer())[0] for _ in range(21)]
    async with sql.transaction():
        # Both transactions that there may be wait: what comes now goes together.
        await sql.execute("SELECT FROM orgs WHERE org_id = $1 FOR UPDATE", free[0])
        first = stub.AcquireLease(acquiring(free[0]))
        await sql.execute("SELECT FROM orgs WHERE org_id = $1 FOR UPDATE", free[1])
        second = stub.AcquireLease(acquiring(free[1]))
        while await sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < 2:  # noqa: ASYNC110 - another process's table
            await asyncio.sleep(0.01)
        nobodys = stub.AcquireLease(acquiring(uuid4()))
        others = [stub.AcquireLease(acquiring(org_id)) for org_id in (busy, *free[2:]) for _ in range(2)]
        held = asyncio.gather(first, second, *others)
        await asyncio.sleep(0)
    assert [answer.granted for answer in await held] == [500] * 40
    assert await refusal_code(nobodys) == grpc.StatusCode.NOT_FOUND
    assert await sql.fetchval("SELECT count(DISTINCT org_id) FROM leases") == 21
    groups = await sql.fetchval("SELECT count(DISTINCT acquired_at) FROM leases")
    assert groups < 21, "each organisation was a transaction of its own"
    async with sql.transaction():
        await sql.execute("SELECT FROM orgs WHERE org_id = $1 FOR UPDATE", busy)
        waits = stub.AcquireLease(acquiring(busy))
        # Of these some share a transaction with the one that is busy, and are answered while it is.
        answers = await asyncio.gather(*(stub.AcquireLease(acquiring(org_id)) for org_id in free))
        assert [answer.granted for answer in answers] == [500] * 20
    assert (await waits).granted == 500


async def test_a_call_that_nobody_waits_for_any_more_lends_nothing(
    lease_store: PostgresLeaseStore, new_customer: NewCustomer, sql: asyncpg.Connection
) -> None:
    org_id, _ = await new_customer()
    async with serving(lease_store) as stub, sql.transaction():
        # The first one waits for this lock, the second one for the first.
        await sql.execute("SELECT FROM orgs WHERE org_id = $1 FOR UPDATE", org_id)
        calls = [stub.AcquireLease(acquiring(org_id), timeout=1) for _ in range(2)]
        codes = [(await refusal_code(call)) for call in calls]
        assert codes == [grpc.StatusCode.DEADLINE_EXCEEDED] * 2
    assert await sql.fetchval("SELECT count(*) FROM leases") == 1, "the first was under way; its edge can ask again"


async def refusal_code(call: Awaitable[object]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code()


async def test_b12_leases_of_a_lost_edge_are_closed_and_what_came_back_is_counted(
    lease_store: PostgresLeaseStore,
    stub: LeaseServiceStub,
    new_customer: NewCustomer,
    telemetry: RecordingTelemetry,
    sql: asyncpg.Connection,
) -> None:
    org_id, _ = await new_customer()
    await stub.AcquireLease(acquiring(org_id))
    clock = ManualClock()
    expiry = LeaseExpiry(lease_store, clock, telemetry.meter, interval=timedelta(hours=1))
    await sql.execute("UPDATE leases SET closes_at = $1", clock.now() + timedelta(seconds=1))
    await expiry.look()
    assert await held_accounts(sql, org_id) == {"credit": 500}
    await clock.advance(1)
    async with running(expiry):
        while await held_accounts(sql, org_id):  # noqa: ASYNC110 - another process's table
            await asyncio.sleep(0.01)
    assert telemetry.metric("accounts.lease.expired") == 1
    assert telemetry.metric("accounts.lease.stranded") == 500
    assert telemetry.metric("accounts.lease.mismatches") == 0
    await sql.execute("UPDATE lease_accounts SET held = 1")
    await expiry.look()
    assert telemetry.metric("accounts.lease.mismatches") == 1


@asynccontextmanager
async def closing_connection(connection: asyncpg.Connection) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await connection.close()


@dataclass
class Fleet:
    """Fifty edges with twenty requests in flight each, on one dollar: what each request of theirs did."""

    stub: LeaseServiceStub
    org_id: UUID
    key_id: UUID
    usage_event: UsageEvents
    random: Random = field(default_factory=lambda: Random(5))
    ended: list[UsageEvent] = field(default_factory=list)
    everybody: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(EDGES * IN_FLIGHT))

    async def work(self, edge_id: str, *, at_first: bool = False) -> None:
        """Request after request, each on a hold of its own, until one is refused; the first ones all at the same time."""
        borrower = messages.Borrower(edge_id=edge_id, edge_epoch=1)
        while True:
            request = acquiring(self.org_id, HOLD, wanted=10 * HOLD)
            request.borrower.CopyFrom(borrower)
            answer = await self.stub.AcquireLease(request)
            if not answer.granted:
                assert not at_first, "B5: refused although a hold is there for each"
                assert answer.refusal.available < HOLD, "B5: refused although there was enough"
                return
            assert answer.granted == HOLD
            if at_first:
                await self.everybody.wait()
                at_first = False
            await asyncio.sleep(self.random.random() / 50)
            event = self.usage_event(
                self.org_id, self.key_id, prompt=0, completion=self.random.randint(0, TOKENS), price=DEAR
            )
            event.lease_id, event.hold_nano_usd = request.lease_id, HOLD
            self.ended.append(event)
            await self.stub.ReleaseLease(releasing(request, event.cost_nano_usd))


async def test_b05_fifty_edges_with_twenty_in_flight_do_not_overspend_a_dollar(
    stub: LeaseServiceStub,
    new_customer: NewCustomer,
    usage_event: UsageEvents,
    settlement: Settlement,
    telemetry: RecordingTelemetry,
    sql: asyncpg.Connection,
    dsn: str,
) -> None:
    org_id, key_id = await new_customer()
    fleet = Fleet(stub, org_id, key_id, usage_event)
    settled = 0
    watch = await asyncpg.connect(dsn)

    async def settle() -> None:
        nonlocal settled
        events = fleet.ended[settled : settled + 100]
        if events:
            await settlement.handle("c1", USAGE_0, usage_records(events, first=settled))
            settled += len(events)

    async def observe() -> None:
        left = await watch.fetchval(
            "SELECT balance_nano - (SELECT coalesce(sum(held), 0)::bigint FROM lease_accounts WHERE org_id = $1) "
            "FROM orgs WHERE org_id = $1",
            org_id,
        )
        assert left >= 0, "B5"

    async def again(step: object) -> None:
        while True:
            await step()  # type: ignore[operator]  # a coroutine function
            await asyncio.sleep(0.01)

    async with closing_connection(watch), asyncio.TaskGroup() as group:
        others = [group.create_task(again(settle)), group.create_task(again(observe))]
        # Fewer and fewer, because those who were refused are gone when what others had set aside comes back.
        for count in (1_000, 100, 10, 1):
            await asyncio.wait([group.create_task(fleet.work(f"edge-{number % 50}")) for number in range(count)])
        for other in others:
            other.cancel()
    while settled < len(fleet.ended):
        await settle()
    await check_leases(sql)
    assert len(fleet.ended) > EDGES * IN_FLIGHT, "what holds had left over was spent too"
    balance = await sql.fetchval("SELECT balance_nano FROM orgs WHERE org_id = $1", org_id)
    assert balance == CREDIT - sum(event.cost_nano_usd for event in fleet.ended)
    assert 0 <= balance < HOLD, "overspent nothing, and left no more than the last one was refused for"
    assert await held_accounts(sql, org_id) == {}
    assert await sql.fetchval("SELECT count(*) FROM leases WHERE closed_at IS NULL") == 0
