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

import aiohttp
import asyncpg
import grpc
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from accounts.adapters.passwords import Argon2Passwords
from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.auth_code_store import PostgresAuthCodeStore
from accounts.adapters.postgres.byok_store import PostgresByokStore
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.delivery_log import PostgresDeliveryLog
from accounts.adapters.postgres.destination_store import PostgresDestinationStore
from accounts.adapters.postgres.guardrail_store import PostgresGuardrailStore
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.member_store import PostgresMemberStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.adapters.postgres.outbox import PostgresOutbox
from accounts.adapters.postgres.payment_store import PostgresPaymentStore
from accounts.adapters.postgres.preset_store import PostgresPresetStore
from accounts.adapters.postgres.session_store import PostgresSessionStore
from accounts.adapters.postgres.settlement_store import PostgresSettlementStore
from accounts.adapters.postgres.sign_in_store import PostgresSignInStore
from accounts.adapters.postgres.statement_store import PostgresStatementStore
from accounts.adapters.postgres.suspense_store import PostgresSuspenseStore
from accounts.adapters.postgres.top_up_store import PostgresTopUpStore
from accounts.adapters.postgres.workspace_member_store import PostgresWorkspaceMemberStore
from accounts.adapters.postgres.workspace_store import PostgresWorkspaceStore
from accounts.adapters.stripe_payments import StripePayments
from accounts.api import (
    byok_service,
    destination_service,
    guardrail_service,
    key_service,
    member_service,
    org_service,
    payment_service,
    preset_service,
    session_service,
    suspense_service,
    workspace_service,
)
from accounts.auth_codes import AuthCodes
from accounts.byok import Byok
from accounts.destinations import Destinations
from accounts.domain.accounts import KeyKind
from accounts.domain.ports import OutboxMessage
from accounts.guardrails import Guardrails
from accounts.identity import Identity
from accounts.members import Members
from accounts.payments import Payments
from accounts.presets import Presets
from accounts.sessions import Sessions
from accounts.settlement import Settlement
from accounts.suspended_usage import SuspendedUsage
from accounts.testing import CREDIT, Drain, NewCustomer, serving_dsn
from accounts.testing.shop import WEBHOOK_SECRET, Shop
from accounts.testing.usage_events import UsageEvents
from accounts.top_ups import TopUps
from accounts.workspaces import Workspaces
from contracts.sealed_secrets import KeyEncryptionKeys
from localstack import postgres
from localstack.payments.__main__ import LocalPayments
from servicekit.clock import SystemClock
from servicekit.failpoints import Failpoints
from servicekit.testing import RecordingTelemetry, run_servicer
from turnpike.accounts.v1 import (
    byok_service_pb2_grpc,
    destination_service_pb2_grpc,
    guardrail_service_pb2_grpc,
    key_service_pb2_grpc,
    member_service_pb2_grpc,
    org_service_pb2_grpc,
    payment_service_pb2_grpc,
    preset_service_pb2_grpc,
    session_service_pb2_grpc,
    suspense_service_pb2_grpc,
    workspace_service_pb2_grpc,
)

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
    """Sells credit, with the provider at a port of this machine."""
    heard: list[tuple[bytes, str]] = []
    news = asyncio.Event()

    async def hear(request: web.Request) -> web.Response:
        heard.append((await request.read(), request.headers["Stripe-Signature"]))
        news.set()
        return web.Response()

    listener = web.Application()
    listener.router.add_post("/", hear)
    async with TestServer(listener) as ears, aiohttp.ClientSession() as http:
        origin = f"http://127.0.0.1:{unused_tcp_port}"
        local = LocalPayments(origin, str(ears.make_url("/")), WEBHOOK_SECRET)
        async with TestServer(local.application(), port=unused_tcp_port):
            provider = StripePayments("sk_test_local", WEBHOOK_SECRET, api_base=origin, timeout=timedelta(seconds=10))
            store, clock = PostgresPaymentStore(database, audit), SystemClock()
            payments = Payments(store, provider, clock, Random(), fee_basis_points=500)
            rules = PostgresTopUpStore(database, audit)
            top_ups = TopUps(rules, store, payments, provider, clock, interval=timedelta(seconds=1))
            yield Shop(payments, top_ups, provider, http, heard, news)
            await provider.close()


@pytest_asyncio.fixture
async def control_plane(
    database: Database, audit: PostgresAuditLog, identity: Identity, shop: Shop, suspended: SuspendedUsage
) -> AsyncIterator[grpc.aio.Channel]:
    """Every service that changes what an organisation has, on a real socket."""
    clock, random = SystemClock(), Random()
    store = PostgresMemberStore(database, audit)
    members = Members(store, clock, random, PEPPER)
    sessions = Sessions(
        PostgresSessionStore(database), PostgresSignInStore(database), store, Argon2Passwords(), None, clock, random,
        PEPPER,
    )  # fmt: skip
    codes = AuthCodes(PostgresAuthCodeStore(database), identity, clock, random, PEPPER)
    workspaces = Workspaces(
        PostgresWorkspaceStore(database, audit), PostgresWorkspaceMemberStore(database, audit), clock, random
    )
    keks = KeyEncryptionKeys("one", {"one": bytes(32)})
    byok = Byok(PostgresByokStore(database, audit), keks, clock, random, secrets.token_bytes)
    statements = PostgresStatementStore(database)
    destinations = Destinations(
        PostgresDestinationStore(database, audit), PostgresDeliveryLog(database, audit), keks, clock, random,
        secrets.token_bytes, private=False,
    )  # fmt: skip

    def register(server: grpc.aio.Server) -> Sequence[str]:
        add = key_service_pb2_grpc.add_KeyServiceServicer_to_server
        add(key_service.KeyServicer(identity), server)
        org_service_pb2_grpc.add_OrgServiceServicer_to_server(org_service.OrgServicer(identity), server)
        member_service_pb2_grpc.add_MemberServiceServicer_to_server(
            member_service.MemberServicer(members, identity), server
        )
        workspace_service_pb2_grpc.add_WorkspaceServiceServicer_to_server(
            workspace_service.WorkspaceServicer(workspaces), server
        )
        session_service_pb2_grpc.add_SessionServiceServicer_to_server(
            session_service.SessionServicer(sessions, codes), server
        )
        payment_service_pb2_grpc.add_PaymentServiceServicer_to_server(
            payment_service.PaymentServicer(shop.payments, shop.top_ups, statements), server
        )
        preset_service_pb2_grpc.add_PresetServiceServicer_to_server(
            preset_service.PresetServicer(Presets(PostgresPresetStore(database, audit), clock, random)), server
        )
        guardrail_service_pb2_grpc.add_GuardrailServiceServicer_to_server(
            guardrail_service.GuardrailServicer(Guardrails(PostgresGuardrailStore(database, audit), clock, random)),
            server,
        )
        suspense_service_pb2_grpc.add_SuspenseServiceServicer_to_server(
            suspense_service.SuspenseServicer(suspended), server
        )
        byok_service_pb2_grpc.add_ByokServiceServicer_to_server(byok_service.ByokServicer(byok), server)
        destination_service_pb2_grpc.add_DestinationServiceServicer_to_server(
            destination_service.DestinationServicer(destinations), server
        )
        return []

    async with run_servicer(register) as channel:
        yield channel


@pytest.fixture
def identity(database: Database, audit: PostgresAuditLog) -> Identity:
    return Identity(
        PostgresKeyStore(database, audit), PostgresOrgStore(database, audit), SystemClock(), Random(), PEPPER
    )


@pytest.fixture
def store(database: Database) -> PostgresSettlementStore:
    return PostgresSettlementStore(database, Failpoints())


@pytest.fixture
def suspended(database: Database, audit: PostgresAuditLog, store: PostgresSettlementStore) -> SuspendedUsage:
    return SuspendedUsage(PostgresSuspenseStore(database, audit, store), SystemClock())


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
