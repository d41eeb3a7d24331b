"""Accounts as a process, between a real PostgreSQL and a broker that is a process too."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import aiohttp
import asyncpg
import grpc
import pytest

from accounts.domain.accounts import KeyKind
from accounts.failpoints import POINTS
from accounts.identity import Identity
from accounts.testing import NewCustomer
from accounts.testing.books import check_books
from accounts.testing.process import accounts_process, environment, read_topic
from accounts.testing.usage_events import UsageEvents
from contracts import api_keys
from contracts.topics import KEYS, ORGS, USAGE
from servicekit.clock import SystemClock
from servicekit.kafka import BusUnavailableError, RecordSink
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess, kafka_broker, running
from servicekit.testing.service_process import ServiceProcess, eventually
from turnpike.accounts.v1 import org_service_pb2
from turnpike.accounts.v1.key_service_pb2 import KeyMove, MoveKeysRequest
from turnpike.accounts.v1.key_service_pb2_grpc import KeyServiceStub
from turnpike.accounts.v1.org_service_pb2_grpc import OrgServiceStub
from turnpike.accounts.v1.records_pb2 import KeyRecord, OrgRecord
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

PEPPER = "a pepper of at least thirty-two bytes"


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with kafka_broker() as started:
        yield started


@asynccontextmanager
async def producer(bootstrap: str) -> AsyncIterator[RecordSink]:
    sink = RecordSink(KafkaSettings(brokers=bootstrap), SystemClock(), "test")
    async with running(sink):
        yield sink


async def send(sink: RecordSink, *, key: bytes, value: bytes) -> None:
    """Send a record as routers do: again, until it is acknowledged."""
    for _ in range(200):
        try:
            await sink.send(USAGE.name, key=key, value=value, headers={})
        except BusUnavailableError:
            await asyncio.sleep(0.1)
        else:
            return
    raise AssertionError("the broker takes nothing")


async def produce(sink: RecordSink, events: Sequence[UsageEvent | bytes]) -> None:
    async with asyncio.TaskGroup() as group:
        for number, event in enumerate(events):
            # Several keys, so that the events are spread over the partitions.
            value = event.SerializeToString() if isinstance(event, UsageEvent) else event
            group.create_task(send(sink, key=b"org-%d" % (number % 5), value=value))


async def is_settled(sql: asyncpg.Connection, count: int) -> bool:
    """Whether so many events are settled and nothing waits to be published."""
    settled = await sql.fetchval("SELECT count(*) FROM settled_events")
    waiting = await sql.fetchval("SELECT count(*) FROM outbox")
    published = await sql.fetchval("SELECT count(*) FROM publication")
    return bool(settled == count and waiting == 0 and published)


async def check_published(bootstrap: str, sql: asyncpg.Connection, org_id: UUID) -> None:
    """The compacted topics end with what the database holds."""
    orgs = dict(await read_topic(bootstrap, ORGS.name))
    keys = dict(await read_topic(bootstrap, KEYS.name))
    stored = await sql.fetchrow("SELECT balance_nano, revision FROM orgs WHERE org_id = $1", org_id)
    record = OrgRecord.FromString(orgs[str(org_id)] or b"")
    assert (record.balance_nano_usd, record.revision) == (stored["balance_nano"], stored["revision"])
    for key in await sql.fetch("SELECT digest, deleted_at, limit_nano, spent_nano FROM api_keys"):
        value = keys[key["digest"]]
        assert (value is None) == (key["deleted_at"] is not None)
        if value is not None and key["limit_nano"] is not None:
            assert KeyRecord.FromString(value).spent_nano_usd == key["spent_nano"]


async def has_logged(process: ServiceProcess, event: str) -> bool:
    return bool(process.events(event))


def variables(dsn: str, broker: BrokerProcess, **more: str) -> Mapping[str, str]:
    return environment(dsn, broker.bootstrap, PEPPER, **more)


@pytest.mark.parametrize("point", POINTS)
async def test_b04_killed_at_a_failpoint_the_books_are_exact_after_a_restart(
    point: str,
    tmp_path: Path,
    dsn: str,
    sql: asyncpg.Connection,
    broker: BrokerProcess,
    new_customer: NewCustomer,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer(limit=10**9)
    first = [usage_event(org_id, key_id, prompt=n, provider=f"p{n % 3}") for n in range(1, 31)]
    later = [usage_event(org_id, key_id, prompt=n) for n in range(1, 11)]
    # The second time where there is one: something is done before, and something is left to do.
    times = 1 if point.startswith("everything") else 2
    dying = variables(dsn, broker, ACCOUNTS_SETTLEMENT_BATCH="7", ACCOUNTS_FAILPOINTS=f"{point}:{times}")
    async with producer(broker.bootstrap) as sink:
        await produce(sink, [*first, *first[:5], b"\xff"])
        async with accounts_process(tmp_path, dying) as process:
            assert await process.end() == -signal.SIGKILL
        await check_books(sql)
        await produce(sink, [*later, *first[5:9]])
    async with accounts_process(tmp_path, variables(dsn, broker, ACCOUNTS_SETTLEMENT_BATCH="7")) as process:
        await eventually(lambda: is_settled(sql, len(first) + len(later)), "all is settled and published")
        assert await process.stop() == 0
    await check_books(sql)
    await check_published(broker.bootstrap, sql, org_id)
    rows = await sql.fetch("SELECT event_id, cost_nano FROM settled_events")
    assert {str(row["event_id"]): row["cost_nano"] for row in rows} == {
        event.event_id: event.cost_nano_usd for event in [*first, *later]
    }
    letters = {value for _, value in await read_topic(broker.bootstrap, USAGE.dead_letters or "")}
    assert letters == {b"\xff"}


async def test_b04_killed_at_any_moment_under_load_nothing_is_lost_or_doubled(
    tmp_path: Path,
    dsn: str,
    sql: asyncpg.Connection,
    broker: BrokerProcess,
    new_customer: NewCustomer,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    events = [usage_event(org_id, key_id, prompt=n) for n in range(600)]
    async with producer(broker.bootstrap) as sink:
        for life in range(3):
            async with accounts_process(tmp_path, variables(dsn, broker, ACCOUNTS_SETTLEMENT_BATCH="3")) as process:
                await produce(sink, events[200 * life : 200 * (life + 1)])

                async def has_begun(at_least: int = 200 * life) -> bool:
                    return bool(await sql.fetchval("SELECT count(*) FROM settled_events") > at_least)

                await eventually(has_begun, "some are settled")
                process.process.kill()
                await process.end()
            await check_books(sql)
    async with accounts_process(tmp_path, variables(dsn, broker)) as process:
        await eventually(lambda: is_settled(sql, len(events)), "all is settled and published")
        assert await process.stop() == 0
    await check_books(sql)
    await check_published(broker.bootstrap, sql, org_id)


async def test_sigterm_drains_and_the_last_change_is_published(
    tmp_path: Path, dsn: str, sql: asyncpg.Connection, broker: BrokerProcess, new_customer: NewCustomer
) -> None:
    org_id, _ = await new_customer()
    slow = variables(dsn, broker, ACCOUNTS_OUTBOX_INTERVAL="1h")
    async with accounts_process(tmp_path, slow) as process:
        await eventually(lambda: is_settled(sql, 0), "the first publication")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
            request = org_service_pb2.GrantCreditRequest(org_id=str(org_id), amount_nano_usd=7, idempotency_key="last")
            answer = await OrgServiceStub(channel).GrantCredit(request, timeout=10)
        assert await sql.fetchval("SELECT count(*) FROM outbox") == 1
        assert await process.stop() == 0
        (stopped,) = process.events("service.stopped")
    assert (stopped["reason"], stopped["abandoned"]) == ("SIGTERM", 0)
    assert OrgRecord.FromString(dict(await read_topic(broker.bootstrap, ORGS.name))[str(org_id)] or b"") == answer.org


async def test_a_broker_that_is_new_is_given_everything_and_read_from_its_start(
    tmp_path: Path,
    dsn: str,
    sql: asyncpg.Connection,
    broker: BrokerProcess,
    identity: Identity,
    new_customer: NewCustomer,
    usage_event: UsageEvents,
) -> None:
    org_id, key_id = await new_customer()
    gone, _ = await identity.create_key(str(org_id), "gone", KeyKind.INFERENCE, None, None, "")
    await identity.delete_key(str(org_id), gone.digest)
    events = [usage_event(org_id, key_id) for _ in range(20)]
    async with accounts_process(tmp_path, variables(dsn, broker)) as process:
        async with producer(broker.bootstrap) as sink:
            await produce(sink, events)
            await eventually(lambda: is_settled(sql, 20), "all is settled and published")
            await check_published(broker.bootstrap, sql, org_id)
            broker.replace()

            async def is_published() -> bool:
                return len(process.events("publication.completed")) == 2

            await eventually(is_published, "the new cluster holds everything")
            await check_published(broker.bootstrap, sql, org_id)
            # The routers replay their spools: the same events at other offsets, and new ones.
            await produce(sink, [*events[::-1], *(usage_event(org_id, key_id) for _ in range(5))])
            await eventually(lambda: is_settled(sql, 25), "the new ones are settled")
        assert await process.stop() == 0
    await check_books(sql)
    await check_published(broker.bootstrap, sql, org_id)


async def test_calls_are_answered_while_the_broker_is_away_and_changes_follow(
    tmp_path: Path, dsn: str, sql: asyncpg.Connection, broker: BrokerProcess
) -> None:
    broker.stop()
    async with accounts_process(tmp_path, variables(dsn, broker)) as process:

        async def listens() -> int:
            return process.port

        await eventually(listens, "it listens")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{process.port}") as channel:
            request = org_service_pb2.CreateOrgRequest(name="Made meanwhile")
            org = (await OrgServiceStub(channel).CreateOrg(request, timeout=10)).org
        broker.start()
        await eventually(lambda: is_settled(sql, 0), "the change is published")
        assert OrgRecord.FromString(dict(await read_topic(broker.bootstrap, ORGS.name))[org.org_id] or b"") == org
        assert await process.stop() == 0


async def test_s25_no_key_pepper_or_password_is_in_the_log_or_the_metrics(
    tmp_path: Path, dsn: str, sql: asyncpg.Connection, broker: BrokerProcess, identity: Identity
) -> None:
    org = await identity.create_org("Example")
    key, secret = await identity.create_key(
        str(org.org_id), "key", KeyKind.INFERENCE, None, datetime.now(UTC) + timedelta(days=1), ""
    )
    # In the middle of a change of the pepper, so that there are two that could be told.
    new = "another pepper of at least thirty-two bytes"
    changing = {"KEYS_PEPPER": new, "KEYS_PREVIOUS_PEPPER": PEPPER, "KEYS_AUDIT_PEPPER": PEPPER, "KEYS_MOVE": "true"}
    more = {f"ACCOUNTS_{name}": value for name, value in {**changing, "LOG_LEVEL": "debug"}.items()}
    async with accounts_process(tmp_path, {**variables(dsn, broker), **more}) as process:
        await eventually(lambda: is_settled(sql, 0), "the first publication")
        await eventually(lambda: has_logged(process, "pepper.keys_counted"), "the keys under the previous pepper")
        (counted,) = process.events("pepper.keys_counted")
        assert (counted["count"], counted["current_id"]) == (1, api_keys.pepper_id(new.encode()))
        (listening,) = process.events("admin.listening")
        url = f"http://127.0.0.1:{listening['port']}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/healthz/ready") as response:
                assert response.status == 200
            async with session.get(f"{url}/metrics") as response:
                metrics = await response.text()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{process.events('grpc.listening')[0]['port']}") as channel:
            request = MoveKeysRequest(
                pepper_id=api_keys.pepper_id(new.encode()),
                previous_pepper_id=api_keys.pepper_id(PEPPER.encode()),
                moves=[KeyMove(previous_digest=key.digest, digest=api_keys.digest(secret, new.encode()))],
            )
            assert (await KeyServiceStub(channel).MoveKeys(request)).moved == 1
        assert await process.stop() == 0
        log = process.log.read_text()
    published = dict(await read_topic(broker.bootstrap, KEYS.name))
    assert published[key.digest] is None
    assert published[request.moves[0].digest]
    assert "accounts_publication_messages" in metrics
    (left,) = [line for line in metrics.splitlines() if line.startswith("accounts_keys_under_previous_pepper")]
    assert left.endswith(" 1.0")
    password = dsn.split(":")[2].split("@")[0]
    for text in (secret, PEPPER, new, password):
        assert text not in log
        assert text not in metrics


def check(environment: Mapping[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "accounts", "--check"], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_settings_are_checked_with_all_problems_together() -> None:
    good = environment("postgresql://turnpike:hidden@127.0.0.1:1/turnpike", "127.0.0.1:1", PEPPER)
    assert check(good) == (0, "ok\n")
    code, text = check({"ACCOUNTS_OUTBOX_BATCH": "none", "ACCOUNTS_NO_SUCH_THING": "1"})
    assert code == 2
    for name in ("OUTBOX_BATCH", "NO_SUCH_THING", "POSTGRES_DSN", "KEYS_PEPPER"):
        assert f"ACCOUNTS_{name}" in text


async def test_migrations_run_alone_as_a_command(empty_dsn: str) -> None:
    variables = environment(empty_dsn, "127.0.0.1:1", PEPPER, ACCOUNTS_POSTGRES_MIGRATE="false")
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "accounts.migrate", env=variables)
    assert await asyncio.wait_for(process.wait(), 40) == 0
    sql = await asyncpg.connect(empty_dsn)
    assert await sql.fetchval("SELECT count(*) FROM orgs") == 0
    await sql.close()
