"""`python -m turnpike_bench.flush --http`: a loaded edge loses everything that it keeps in memory and on disk, at once.

Many keys call at the same time, half of them with a limit and so with a wallet of their own. Then the edge is stopped, its state removed, and started
again, and the load goes on where nothing is known and nothing is lent. What must hold: no 401, few transactions of PostgreSQL, and answers as
fast as before within ten seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import asyncpg

from turnpike_bench import system
from turnpike_bench.figures import percentile
from turnpike_bench.load import Call, Outcome, chat_call, run_load

MODEL: Final = "bench/unary"
WARM, SLICES = 3, 8
_STATISTICS_S: Final = 1.2
"""After which PostgreSQL has added up what its sessions did."""


@dataclass(frozen=True)
class Slice:
    """A part of a load.

    Attributes:
        at_s: when it ended, since the load began after the flush; negative before it.
        transactions: of PostgreSQL meanwhile, those of everything that runs there.
    """

    at_s: float
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    faults: Counter[str]
    transactions: int


async def make_keys(base_url: str, management_key: str, count: int) -> list[str]:
    """Make keys of inference, every other one with a limit."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {management_key}"}) as http:

        async def make(number: int) -> str:
            body = {"name": f"bench {number}"} | ({"limit": 100} if number % 2 else {})
            async with http.post(f"{base_url}/keys", json=body) as answer:
                answer.raise_for_status()
                return str((await answer.json())["key"])

        return [await make(number) for number in range(count)]


async def load(calls: Sequence[Call], requests: int) -> tuple[Outcome, float]:
    """Send so many requests with each key, one after the other; gives what came of it and the seconds that it took."""
    began = time.perf_counter()
    outcomes = await asyncio.gather(*(run_load(call, requests=requests, concurrency=1) for call in calls))
    whole = Outcome()
    for outcome in outcomes:
        whole.totals_s += outcome.totals_s
        whole.faults += outcome.faults
    return whole, time.perf_counter() - began


async def measure(calls: Sequence[Call], requests: int, slices: int, dsn: str, began: float) -> list[Slice]:
    """Load it in slices."""
    sql = await asyncpg.connect(dsn)
    try:
        found = []
        before = await _transactions(sql)
        for _ in range(slices):
            outcome, seconds = await load(calls, requests)
            ended = time.perf_counter()
            await asyncio.sleep(_STATISTICS_S)
            after = await _transactions(sql)
            times = outcome.totals_s or [0.0]
            found.append(
                Slice(
                    at_s=ended - began,
                    requests_per_s=len(outcome.totals_s) / seconds,
                    p50_ms=percentile(times, 0.5) * 1_000,
                    p99_ms=percentile(times, 0.99) * 1_000,
                    faults=Counter(fault.split("\r\n", 1)[0][:20] for fault in outcome.faults),
                    transactions=after - before,
                )
            )
            before = after
        return found
    finally:
        await sql.close()


async def _transactions(sql: asyncpg.Connection) -> int:
    count: int = await sql.fetchval("SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database")
    return count


def flush(folder: Path) -> None:
    """Stop the edge, remove what it keeps, start it."""
    turnpike, state = str(Path(sys.executable).with_name("turnpike")), folder / "state"
    subprocess.run([turnpike, "stack", "stop", "edge", "--state-dir", str(state)], check=True, capture_output=True)
    shutil.rmtree(state / "edge")
    subprocess.run([turnpike, "stack", "start", "edge", "--state-dir", str(state)], check=True, capture_output=True)


async def _answers(base_url: str) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(1_000):
            try:
                async with http.get(f"{base_url}/models") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.02)
    raise system.StackError("the edge does not answer")


def run(folder: Path, keys: int, requests: int) -> tuple[list[Slice], list[Slice]]:
    """Measure before and after."""
    with (
        system.running_upstream() as (upstream_url, _),
        system.running_stack(folder, system.write_catalog(folder, upstream_url)) as stack,
    ):
        record: dict[str, Any] = json.loads((folder / "state" / "run.json").read_text(encoding="utf-8"))
        secrets = asyncio.run(make_keys(stack.base_url, str(record["management_key"]), keys))
        calls = [chat_call(stack.base_url, MODEL, api_key=secret) for secret in secrets]
        dsn = str(record["postgres_dsn"])
        warm = asyncio.run(measure(calls, requests, WARM, dsn, time.perf_counter() + 10**6))
        flush(folder)
        asyncio.run(_answers(stack.base_url))
        return warm, asyncio.run(measure(calls, requests, SLICES, dsn, time.perf_counter()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--requests", type=int, default=5, help="of each key in a slice")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="turnpike-bench-") as folder:
        warm, flushed = run(Path(folder), given.keys, given.requests)
    print(f"{given.keys} keys, {given.keys * given.requests} requests a slice")
    print(f"{'':>10} {'at, s':>7} {'rps':>7} {'p50, ms':>8} {'p99, ms':>8} {'transactions':>13}  faults")
    for name, slices in (("before", warm), ("flushed", flushed)):
        for each in slices:
            at = f"{each.at_s:.1f}" if each.at_s > 0 else ""
            print(
                f"{name:>10} {at:>7} {each.requests_per_s:7.0f} {each.p50_ms:8.0f} {each.p99_ms:8.0f} "
                f"{each.transactions:13}  {dict(each.faults) or ''}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
