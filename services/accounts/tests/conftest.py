"""A real PostgreSQL for the session, a database for each test."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.adapters.postgres.outbox import PostgresOutbox
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.domain.accounts import KeyKind
from accounts.domain.ports import OutboxMessage
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing import CREDIT, Drain, NewCustomer, serving_dsn
from accounts.testing.shop import Shop, open_shop
from accounts.testing.usage_events import UsageEvents
from localstack import postgres
from servicekit.clock import SystemClock
from servicekit.failpoints import Failpoints
from servicekit.testing import RecordingTelemetry

OpenDatabase = Callable[..., Database]

PEPPER = b"a pepper of at least thirty-two bytes"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[tuple[int, str]]:
    """Port and password. Not below pytest's folder, which every run of pytest closes to other users again."""
    password = secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="turnpike-accounts-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        cluster = asyncio.run(postgres.prepare(data, password))
        uid, gid = cluster.user or (None, None)
        with log.open("wb") as output:
            process = subprocess.Popen(
                cluster.command(port),
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
                stderr=output,
                cwd="/",
            )
        try:
            for _ in range(600):
                if asyncio.run(postgres.accepts(postgres.dsn(port, password))):
                    break
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
            else:
                pytest.fail(f"PostgreSQL does not answer: {log.read_text()}")
            yield port, password
        finally:
            # At once: nobody will read these databases again, and an orderly stop writes hundreds of them down.
            process.send_signal(signal.SIGQUIT)
            process.wait(60)


@pytest.fixture(scope="session")
def migrated(postgres_server: tuple[int, str]) -> str:
    """A database with the schema and nothing in it. Copying it takes a tenth of the time of all migrations."""

    async def prepare() -> str:
        name = await _create_database(postgres_server)
        database = _open(_address(postgres_server, name))
        await database.start()
        await database.stop(timedelta(seconds=5))
        return name

    return asyncio.run(prepare())


@pytest_asyncio.fixture
async def dsn(postgres_server: tuple[int, str], migrated: str) -> str:
    """The address of a database that nobody used before, with the schema in it."""
    return _address(postgres_server, await _create_database(postgres_server, migrated))


@pytest_asyncio.fixture
async def empty_dsn(postgres_server: tuple[int, str]) -> str:
    """The address of a database without anything in it."""
    return _address(postgres_server, await _create_database(postgres_server))


async def _create_database(server: tuple[int, str], template: str = "template1") -> str:
    name = f"test_{secrets.token_hex(8)}"
    connection = await asyncpg.connect(postgres.dsn(*server))
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    await connection.close()
    return name


def _address(server: tuple[int, str], name: str) -> str:
    return postgres.dsn(*server).rsplit("/", 1)[0] + f"/{name}"


def _open(dsn: str, *, may_migrate: bool = True) -> Database:
    return Database(
        serving_dsn(dsn),
        SystemClock(),
        pool=4,
        connect_timeout=timedelta(seconds=3),
        statement_timeout=timedelta(seconds=10),
        owner_dsn=dsn if may_migrate else None,
    )


@pytest.fixture
def open_database() -> OpenDatabase:
    return _open


@pytest_asyncio.fixture
async def database(dsn: str, open_database: OpenDatabase) -> AsyncIterator[Database]:
    opened = open_database(dsn)
    await opened.start()
    yield opened
    await opened.stop(timedelta(seconds=5))


@pytest_asyncio.fixture
async def sql(dsn: str, database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, to look at the books."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
def audit(database: Database) -> PostgresAuditLog:
    return PostgresAuditLog(database, PEPPER)


@pytest_asyncio.fixture
async def shop(database: Database, audit: PostgresAuditLog, unused_tcp_port: int) -> AsyncIterator[Shop]:
    async with open_shop(database, audit, unused_tcp_port) as opened:
        yield opened


@pytest.fixture
def identity(database: Database, audit: PostgresAuditLog) -> Identity:
    return Identity(
        PostgresKeyStore(database, audit), PostgresOrgStore(database, audit), SystemClock(), Random(), PEPPER
    )


@pytest.fixture
def store(database: Database) -> PostgresSettlementStore:
    return PostgresSettlementStore(database, Failpoints())


@pytest.fixture
def outbox(database: Database) -> PostgresOutbox:
    return PostgresOutbox(database, Failpoints())


@pytest.fixture
def telemetry() -> RecordingTelemetry:
    return RecordingTelemetry()


@pytest.fixture
def settlement(store: PostgresSettlementStore, telemetry: RecordingTelemetry) -> Settlement:
    return Settlement(store, SystemClock(), telemetry.tracer, telemetry.meter, Failpoints())


@pytest.fixture
def usage_event() -> UsageEvents:
    return UsageEvents(Random())


@pytest.fixture
def new_customer(identity: Identity) -> NewCustomer:
    """Makes an organisation with a dollar of credit and one key: their ids."""

    async def make(*, limit: int | None = None) -> tuple[UUID, UUID]:
        org = await identity.create_org("Test")
        await identity.grant_credit(str(org.org_id), CREDIT, "first", "test")
        key, _ = await identity.create_key(str(org.org_id), "key", KeyKind.INFERENCE, limit, None, "")
        return org.org_id, key.key_id

    return make


@pytest.fixture
def drain(outbox: PostgresOutbox) -> Drain:
    """Publishes what the outbox has to a list; the first time everything, as a new cluster is given."""

    async def publish_all(cluster_id: str = "c1") -> list[OutboxMessage]:
        sent: list[OutboxMessage] = []

        async def send(messages: Sequence[OutboxMessage]) -> None:
            sent.extend(messages)

        while (await outbox.publish(cluster_id, 100, send, datetime.now(UTC))).messages:
            pass
        return sent

    return publish_all


@pytest.fixture(scope="session")
def examples() -> Path:
    return Path(__file__).parents[3] / "protos" / "examples"
