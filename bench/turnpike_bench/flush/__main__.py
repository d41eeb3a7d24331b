"""`python -m turnpike_bench.flush`: every edge loses everything that it knows and was lent, at once and under full load.

Real PostgreSQL, Kafka and accounts; edges without their HTTP, of which this machine could not serve so many requests. Requests arrive at their
own times whether or not those before them were answered, and are timed from when they should have arrived. What must hold: no 401, a
bounded number of transactions, and p99 as before within ten seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import msgspec
import psutil

from accounts.testing.process import accounts_process, environment
from servicekit.testing import kafka_broker
from servicekit.testing.service_process import eventually
from turnpike_bench.flush import over_http
from turnpike_bench.flush.customers import PEPPER, make_customers
from turnpike_bench.flush.edges import Answered, Plan, Schedule
from turnpike_bench.flush.figures import Flush, Use, seconds_of
from turnpike_bench.postgres import RunningPostgres, running_postgres
from turnpike_bench.system import ROOT, cpu_seconds

_LIMIT = 2**28
_WITHIN_S = 10


@dataclass(frozen=True)
class Load:
    """A run: `warm_s` until the wallets are lent to, `steady_s` that count as before, `after_s` from the flush on."""

    edges: int = 10
    processes: int = 2
    orgs: int = 500
    keys: int = 10_000
    limited: float = 0.1
    rate: int = 2_000
    generation_s: float = 0.5
    warm_s: int = 15
    steady_s: int = 10
    after_s: int = 25
    seed: int = 1


@asynccontextmanager
async def _edges(plan: Plan) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "turnpike_bench.flush.edges",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT / "bench", limit=_LIMIT,
    )  # fmt: skip
    try:
        await _tell(process, msgspec.json.encode(plan))
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _tell(process: asyncio.subprocess.Process, line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line + b"\n")
    await process.stdin.drain()


async def _hear(process: asyncio.subprocess.Process) -> bytes:
    """The next line that is not one of the log."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if not line.startswith(b'{"'):
            return line.strip()
    raise RuntimeError("edges ended")


async def _uses(server: RunningPostgres, pids: Mapping[str, Sequence[int]], begin_at: float, seconds: int) -> list[Use]:
    """What was used, second by second. PostgreSQL adds up what its sessions did once a second, so its figures may be one late."""
    sql = await asyncpg.connect(server.owner_dsn)

    async def now() -> tuple[int, float, float, float]:
        count = await sql.fetchval("SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database")
        used = {name: sum(cpu_seconds({str(pid): pid for pid in each}).values()) for name, each in pids.items()}
        return int(count), used["accounts"], server.cpu_seconds(), used["edges"]

    try:
        await asyncio.sleep(max(begin_at - time.time(), 0))
        before, at = await now(), time.time()
        found = []
        for number in range(1, seconds + 1):
            await asyncio.sleep(max(begin_at + number - time.time(), 0))
            after, passed = await now(), time.time() - at
            at += passed
            found.append(
                Use(
                    round((after[0] - before[0]) / passed),
                    *((later - earlier) / passed for later, earlier in zip(after[1:], before[1:], strict=True)),
                )
            )
            before = after
        return found
    finally:
        await sql.close()


async def run(server: RunningPostgres, brokers: str, folder: Path, load: Load) -> Flush:
    """Make customers, start accounts and the edges, and flush these under load."""
    secrets = await make_customers(server, load.orgs, load.keys, load.limited, load.seed)
    settings = environment(
        server.owner_dsn, brokers, PEPPER, ACCOUNTS_GRPC_PORT="0", ACCOUNTS_ADMIN_PORT="0", ACCOUNTS_OUTBOX_INTERVAL="200ms",
    )  # fmt: skip
    async with accounts_process(folder, settings) as accounts, AsyncExitStack() as stack:

        async def listens() -> bool:
            assert accounts.process.returncode is None, accounts.log.read_text()
            return bool(accounts.port)

        await eventually(listens, "accounts listens", 60)
        share = load.edges // load.processes
        processes = [
            await stack.enter_async_context(
                _edges(
                    Plan(
                        accounts=f"127.0.0.1:{accounts.port}",
                        brokers=brokers,
                        first=number * share,
                        edges=share,
                        secrets=secrets,
                        pepper=PEPPER,
                        rate=load.rate / load.processes,
                        generation_s=load.generation_s,
                        seed=load.seed + number,
                    )
                )
            )
            for number in range(load.processes)
        ]
        for process in processes:
            if await _hear(process) != b"ready":
                raise RuntimeError("edges did not start")
        begin_at, before = time.time() + 1, load.warm_s + load.steady_s
        schedule = Schedule(begin_at, begin_at + before, begin_at + before + load.after_s)
        for process in processes:
            await _tell(process, msgspec.json.encode(schedule))
        pids = {"accounts": [accounts.process.pid], "edges": [process.pid for process in processes]}
        uses = await _uses(server, pids, begin_at, before + load.after_s)
        answers = [msgspec.json.decode(await _hear(process), type=list[Answered]) for process in processes]
    answered = [[(each.times_ms, each.refused) for each in answer] for answer in answers]
    seconds = seconds_of(answered, uses, -before)
    return Flush(share * load.processes, load.keys, load.orgs, load.rate, seconds[load.warm_s :])


def measure(load: Load) -> Flush:
    """Run it on a PostgreSQL and a Kafka of its own."""
    with (
        running_postgres() as server,
        kafka_broker() as broker,
        tempfile.TemporaryDirectory(prefix="turnpike-bench-flush-") as folder,
    ):
        return asyncio.run(run(server, broker.bootstrap, Path(folder), load))


def main() -> int:
    """Print a table."""
    if "--http" in sys.argv:
        return over_http.main([argument for argument in sys.argv[1:] if argument != "--http"])
    parser = argparse.ArgumentParser(prog="python -m turnpike_bench.flush", description=__doc__)
    parser.add_argument("--http", action="store_true", help="through the whole stack and its HTTP, as fast as it goes")
    default = Load()
    parser.add_argument("--edges", type=int, default=default.edges)
    parser.add_argument("--processes", type=int, default=default.processes, help="that the edges share")
    parser.add_argument("--orgs", type=int, default=default.orgs)
    parser.add_argument("--keys", type=int, default=default.keys)
    parser.add_argument("--limited", type=float, default=default.limited, help="share of keys with a limit")
    parser.add_argument("--rate", type=int, default=default.rate, help="requests a second")
    parser.add_argument("--warm", dest="warm_s", type=int, default=default.warm_s, help="seconds")
    parser.add_argument("--steady", dest="steady_s", type=int, default=default.steady_s, help="seconds")
    parser.add_argument("--after", dest="after_s", type=int, default=default.after_s, help="seconds")
    given = vars(parser.parse_args())
    given.pop("http")
    found = measure(Load(**given))
    print(f"load average {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores")
    print(found.table())
    back = found.back_after_s
    return 0 if not found.refused["401"] and back is not None and back <= _WITHIN_S else 1


if __name__ == "__main__":
    sys.exit(main())
