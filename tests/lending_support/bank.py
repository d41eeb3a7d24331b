"""accounts as a process on a PostgreSQL of its own, and what the tests of lending do with it."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import grpc

from accounts.testing.leases import check_leases
from accounts.testing.process import accounts_process, environment
from contracts.rate_limits import RateLimit, rate_limits_to_proto
from contracts.topics import USAGE
from localstack import postgres
from servicekit.clock import SystemClock
from servicekit.grpc_client import open_channel
from servicekit.kafka import RecordSink
from servicekit.settings import KafkaSettings
from servicekit.testing import make_runtime, running
from servicekit.testing.service_process import eventually
from turnpike.accounts.v1 import (
    key_service_pb2,
    key_service_pb2_grpc,
    org_service_pb2,
    org_service_pb2_grpc,
    records_pb2,
)
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

PEPPER = "a pepper of at least thirty-two bytes"
DOLLAR = 10**9


@dataclass(frozen=True)
class Bank:
    """A running accounts.

    Attributes:
        channel: to it.
        sql: to its database, as the owner.
    """

    channel: grpc.aio.Channel
    sql: asyncpg.Connection
    usage: RecordSink

    async def new_org(self, balance: int) -> str:
        """Make an organisation with credit, in nano-dollars."""
        stub = org_service_pb2_grpc.OrgServiceStub(self.channel)
        created = await stub.CreateOrg(org_service_pb2.CreateOrgRequest(name="Test"))
        org_id = created.org.org_id
        if balance:
            await stub.GrantCredit(
                org_service_pb2.GrantCreditRequest(org_id=org_id, amount_nano_usd=balance, idempotency_key="first")
            )
        return org_id

    async def new_key(self, org_id: str, limit: int | None = None, *, rate_limits: Iterable[RateLimit] = ()) -> str:
        """Make a key and return its id."""
        stub = key_service_pb2_grpc.KeyServiceStub(self.channel)
        request = key_service_pb2.CreateKeyRequest(
            org_id=org_id,
            name="key",
            kind=records_pb2.KEY_KIND_INFERENCE,
            limit_nano_usd=limit,
            rate_limits=rate_limits_to_proto(rate_limits),
        )
        return (await stub.CreateKey(request)).key.key_id

    async def set_rate_limits(self, org_id: str, *limits: RateLimit, workspace_id: str = "") -> None:
        """Give an organisation rate limits, as a whole or for a workspace."""
        stub = org_service_pb2_grpc.OrgServiceStub(self.channel)
        messages = [
            records_pb2.OrgRateLimit(workspace_id=workspace_id, limit=limit) for limit in rate_limits_to_proto(limits)
        ]
        await stub.SetRateLimits(org_service_pb2.SetRateLimitsRequest(org_id=org_id, rate_limits=messages))

    async def windows(self, org_id: str) -> dict[str, int]:
        """What is spent or lent of the windows of an organisation's rate limits, by name."""
        rows = await self.sql.fetch(
            "SELECT name, spent + held AS taken FROM lease_accounts WHERE org_id::text = $1 AND ends_at IS NOT NULL",
            org_id,
        )
        return {row["name"]: row["taken"] for row in rows}

    async def settle(self, *events: UsageEvent) -> None:
        """Have generations settled, as usage events that come from routers."""
        for event in events:
            await self.usage.send(USAGE.name, key=event.org_id.encode(), value=event.SerializeToString(), headers={})

    async def settled(self, org_id: str, count: int) -> None:
        """Wait until so many events of an organisation are settled."""

        async def are() -> bool:
            found = await self.sql.fetchval("SELECT count(*) FROM settled_events WHERE org_id::text = $1", org_id)
            return bool(found == count)

        await eventually(are, "the events are settled", 100)

    async def balance(self, org_id: str) -> int:
        """Credit less everything settled."""
        found: int = await self.sql.fetchval("SELECT balance_nano FROM orgs WHERE org_id::text = $1", org_id)
        return found

    async def held(self, org_id: str) -> int:
        """What of the credit is lent."""
        found = await self.sql.fetchval(
            "SELECT held FROM lease_accounts WHERE org_id::text = $1 AND name = 'credit'", org_id
        )
        return int(found or 0)

    async def check(self) -> None:
        """Check B6."""
        await check_leases(self.sql)


@asynccontextmanager
async def bank(folder: Path, bootstrap: str, **variables: str) -> AsyncIterator[Bank]:
    """Run accounts on a new database; `variables` are settings of it."""
    password = secrets.token_hex(16)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    # Not below pytest's folder, which every run of pytest closes to other users again.
    with tempfile.TemporaryDirectory(prefix="turnpike-lending-") as data:
        cluster = await postgres.prepare(Path(data) / "data", password)
        uid, gid = cluster.user or (None, None)
        with (folder / "postgres.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                cluster.command(port),
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
                stderr=log,
                cwd="/",
            )
        try:
            dsn = postgres.dsn(port, password)

            async def accepts() -> bool:
                return await postgres.accepts(dsn)

            await eventually(accepts, "PostgreSQL accepts", 60)
            async with _lending(folder, dsn, bootstrap, variables) as opened:
                yield opened
        finally:
            process.send_signal(signal.SIGQUIT)
            await asyncio.to_thread(process.wait, 60)


@asynccontextmanager
async def _lending(folder: Path, dsn: str, bootstrap: str, variables: dict[str, str]) -> AsyncIterator[Bank]:
    settings = environment(dsn, bootstrap, PEPPER, ACCOUNTS_GRPC_PORT="0", ACCOUNTS_ADMIN_PORT="0", **variables)
    async with accounts_process(folder, settings) as accounts:

        async def listens() -> bool:
            assert accounts.process.returncode is None, accounts.log.read_text()
            return bool(accounts.port)

        await eventually(listens, "accounts listens", 60)
        sink = RecordSink(KafkaSettings(brokers=bootstrap), SystemClock(), "test")
        async with open_channel(f"127.0.0.1:{accounts.port}", make_runtime()) as channel, running(sink):
            sql = await asyncpg.connect(dsn)
            try:
                yield Bank(channel, sql, sink)
            finally:
                with suppress(asyncpg.PostgresError):
                    await sql.close()
