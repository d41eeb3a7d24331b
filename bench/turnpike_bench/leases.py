"""`python -m turnpike_bench.leases`: what lending to edges costs on one busy organisation, from gRPC to the commit."""

from __future__ import annotations

import argparse
import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from uuid import UUID, uuid4

import grpc
import psutil
import uvloop
from opentelemetry.metrics import NoOpMeter
from sqlalchemy import text

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.key_store import PostgresKeyStore
from accounts.adapters.postgres.lease_store import PostgresLeaseStore
from accounts.adapters.postgres.org_store import PostgresOrgStore
from accounts.api import lease_service
from accounts.domain.accounts import KeyKind
from accounts.domain.leases import LeaseTerms
from accounts.identity import Identity
from accounts.leases import Leases
from servicekit.clock import SystemClock
from servicekit.grpc_client import open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.logs import configure_logs
from servicekit.settings import GrpcServerSettings, LogSettings
from servicekit.testing import make_runtime, running
from turnpike.accounts.v1 import lease_service_pb2 as messages
from turnpike.accounts.v1.lease_service_pb2_grpc import LeaseServiceStub, add_LeaseServiceServicer_to_server
from turnpike_bench.postgres import START_LIMIT_S, RunningPostgres, running_postgres
from turnpike_bench.system import ROOT

PEPPER = b"a pepper of at least thirty-two bytes"
CREDIT = 10**15
HOLD = 10**6
WANTED_PER_S = 1_500
"""Grants a second on one organisation."""


@dataclass(frozen=True)
class LendingCost:
    """A load: grants a second, and microseconds a grant of CPU in accounts, in PostgreSQL, and of the load itself."""

    name: str
    edges: int
    waiting: int
    grants: int
    per_s: float
    accounts_us: float
    postgres_us: float
    load_us: float
    together: float
    """Calls in one transaction, on average."""


async def serve(server: RunningPostgres, port: int) -> None:
    """Serve leases as accounts does, until the standard input ends."""
    configure_logs(LogSettings(), service="accounts", instance="bench")
    database = server.database(pool=10)
    leases = Leases(
        PostgresLeaseStore(database, LeaseTerms(timedelta(minutes=16), timedelta(minutes=25))),
        NoOpMeter("bench"),
        transactions=5,
    )

    def register(target: grpc.aio.Server) -> Sequence[str]:
        add_LeaseServiceServicer_to_server(lease_service.LeaseServicer(leases), target)
        return [lease_service.SERVICE_NAME]

    ingress = GrpcServer(GrpcServerSettings(port=port), make_runtime(), register)
    async with running(ingress, leases, database):
        await asyncio.to_thread(sys.stdin.read)


async def _customer(database: Database) -> tuple[UUID, UUID]:
    audit = PostgresAuditLog(database, PEPPER)
    identity = Identity(
        PostgresKeyStore(database, audit), PostgresOrgStore(database, audit), SystemClock(), Random(), PEPPER
    )
    org = await identity.create_org("Bench")
    await identity.grant_credit(str(org.org_id), CREDIT, "first", "bench")
    key, _ = await identity.create_key(str(org.org_id), "key", KeyKind.INFERENCE, CREDIT, None, "")
    return org.org_id, key.key_id


async def measure(
    server: RunningPostgres, address: str, pid: int, *, name: str, edges: int, waiting: int, grants: int, keyed: bool
) -> LendingCost:
    """Acquire again and again, so many calls at a time, each as one of the edges.

    Args:
        server: with the books.
        address: of accounts.
        pid: of accounts.
        name: of the load.
        edges: that borrow.
        waiting: calls under way at any time.
        grants: in all.
        keyed: whether for a key with a limit, which has an account of its own.
    """
    database = server.database()
    await database.start()
    try:
        org_id, key_id = await _customer(database)
        async with open_channel(address, make_runtime()) as channel:
            await asyncio.wait_for(channel.channel_ready(), START_LIMIT_S)
            stub = LeaseServiceStub(channel)
            left = iter(range(grants))

            async def borrow() -> None:
                for number in left:
                    request = messages.AcquireLeaseRequest(
                        borrower=messages.Borrower(edge_id=f"edge-{number % edges}", edge_epoch=1),
                        lease_id=str(uuid4()),
                        org_id=str(org_id),
                        key_id=str(key_id) if keyed else "",
                        resource=messages.LEASE_RESOURCE_MONEY,
                        needed=HOLD,
                        wanted=2 * HOLD,
                    )
                    answer = await stub.AcquireLease(request)
                    if not answer.granted:
                        raise RuntimeError(f"refused: {answer}")

            process = psutil.Process(pid)
            before, postgres = sum(process.cpu_times()[:2]), server.cpu_seconds()
            load, wall = time.process_time(), time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for _ in range(waiting):
                    group.create_task(borrow())
            load, wall = time.process_time() - load, time.perf_counter() - wall
            accounts, postgres = sum(process.cpu_times()[:2]) - before, server.cpu_seconds() - postgres
        transactions = await _transactions(database, org_id, grants)
    finally:
        await database.stop(timedelta(seconds=5))
    return LendingCost(
        name=name,
        edges=edges,
        waiting=waiting,
        grants=grants,
        per_s=grants / wall,
        accounts_us=accounts / grants * 1e6,
        postgres_us=postgres / grants * 1e6,
        load_us=load / grants * 1e6,
        together=grants / transactions,
    )


async def _transactions(database: Database, org_id: UUID, grants: int) -> int:
    """How many transactions lent it all; that it was lent once is checked first."""
    async with database.transaction(org_id) as connection:
        found = (
            await connection.execute(
                text(
                    "SELECT count(*) AS leases, count(DISTINCT acquired_at) AS groups, sum(granted) AS lent FROM leases"
                )
            )
        ).one()
        held = (await connection.execute(text("SELECT held FROM lease_accounts WHERE name = 'credit'"))).scalar_one()
    if (found.leases, found.lent) != (grants, held):
        raise RuntimeError(f"{found.leases} leases of {found.lent} for {grants} grants, {held} held")
    return int(found.groups)


def run(server: RunningPostgres, grants: int) -> list[LendingCost]:
    """Start accounts' part in a process of its own, and load it."""
    port = _free_port()
    command = [sys.executable, "-m", "turnpike_bench.leases", "--serve", server.owner_dsn]
    command += ["--pid", str(server.pid), "--port", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=ROOT / "bench") as process:
        try:
            address = f"127.0.0.1:{port}"
            loads = (("credit", 50, 200, False), ("credit, quiet", 50, 10, False), ("limited key", 50, 200, True))
            return [
                uvloop.run(
                    measure(
                        server,
                        address,
                        process.pid,
                        name=name,
                        edges=edges,
                        waiting=waiting,
                        grants=grants,
                        keyed=keyed,
                    )
                )
                for name, edges, waiting, keyed in loads
            ]
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def table(costs: Sequence[LendingCost]) -> str:
    """Show the costs."""
    heads = ("accounts µs", "PostgreSQL µs", "load µs", "together")
    lines = [f"{'lent from':<16}{'edges':>6}{'waiting':>9}{'grants/s':>10}" + "".join(f"{each:>15}" for each in heads)]
    lines += [
        f"{each.name:<16}{each.edges:>6}{each.waiting:>9}{each.per_s:>10,.0f}{each.accounts_us:>15.1f}"
        f"{each.postgres_us:>15.1f}{each.load_us:>15.1f}{each.together:>15.1f}"
        for each in costs
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m turnpike_bench.leases", description=__doc__)
    parser.add_argument("--grants", type=int, default=10_000)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--pid", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(serve(RunningPostgres(arguments.serve, arguments.pid), arguments.port))
        return 0
    with running_postgres() as server:
        costs = run(server, arguments.grants)
    print(table(costs))
    return 0 if costs[0].per_s >= WANTED_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
