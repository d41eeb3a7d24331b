"""`make bench-usage`: what the pages cost over many usage events. `ARGS="--path /somewhere --events 100000000"`.

A folder that has the events already is used as it is, so that questions can be asked again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client

from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_rollups import ClickHouseRollups
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.domain.rollups import Rollup
from metering.rollups import Rollups
from servicekit.clock import SystemClock
from turnpike_bench import system
from turnpike_bench.usage import questions, run
from turnpike_bench.usage.events import SyntheticUsage, midnight

_IN_PARTS = """
SELECT table, partition_id FROM system.parts WHERE active AND database = currentDatabase()
GROUP BY table, partition_id HAVING count() > 1 OR min(level) = 0 ORDER BY table, partition_id
"""
_MERGE = "OPTIMIZE TABLE {table} PARTITION ID {partition:String} FINAL SETTINGS max_execution_time = 0"
_PARTS = """
SELECT table, sum(rows), count(), formatReadableSize(sum(bytes_on_disk)) FROM system.parts
WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table
"""
RESULTS = system.ROOT / "bench" / "results"


async def load(log: ClickHouseUsageLog, usage: SyntheticUsage) -> None:
    """Insert the events, unless they are there, and add them up by the code that does it in service."""
    there = await log.calls.step(lambda client: client.query("SELECT count() FROM usage_events").result_rows[0][0])
    if there not in (0, usage.events):
        raise SystemExit(f"the folder has {there} events: take another one")
    began = time.perf_counter()
    if not there:
        await log.calls.step(lambda client: _insert(usage, client))
        print(f"inserted in {time.perf_counter() - began:.0f} s", flush=True)
        await log.calls.step(_settle)
    rollups = Rollups(ClickHouseRollups(log.calls), SystemClock(), timedelta(1), is_in_charge=lambda: True)
    for rollup in Rollup:
        began = time.perf_counter()
        buckets = await rollups.refresh(rollup)
        print(f"{rollup.value}: {buckets} buckets added up in {time.perf_counter() - began:.0f} s", flush=True)
    began = time.perf_counter()
    parts = await log.calls.step(_settle)
    print(f"merged in {time.perf_counter() - began:.0f} s\n{parts}", flush=True)


def _settle(client: Client) -> str:
    """Do what the store does with a partition that has been quiet for an hour, and say what there is."""
    for name, partition in client.query(_IN_PARTS).result_rows:
        client.command(_MERGE.replace("{table}", name), {"partition": partition})
    return "\n".join(
        f"{name:<20}{rows:>12} rows{parts:>6} parts{size:>12}"
        for name, rows, parts, size in client.query(_PARTS).result_rows
    )


def _insert(usage: SyntheticUsage, client: Client) -> None:
    # Each day is merged once, when all of it is there.
    client.command("SYSTEM STOP MERGES usage_events")
    began = time.perf_counter()
    for done in usage.insert(client):
        print(f"{done} events, {done / (time.perf_counter() - began):.0f}/s", flush=True)
    client.command("SYSTEM START MERGES usage_events")


async def bench(path: Path, usage: SyntheticUsage, rounds: int, only: str) -> Sequence[run.PageResult]:
    """Load, ask, and tell."""
    limits = CallLimits(query_timeout=timedelta(seconds=60))
    log = ClickHouseUsageLog(f"chdb://{path}", SystemClock(), limits, cluster=None, may_migrate=True)
    await log.start()
    try:
        await load(log, usage)
        asked = await questions.sample(log.calls)
        results = []
        for page in questions.pages(usage, asked, log):
            if only in page.name:
                results.append(await run.measure(log.calls, page, rounds))
                print(run.table(results[-1:]).splitlines()[1], flush=True)
        return results
    finally:
        await log.stop(timedelta(seconds=5))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-usage", description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="folder of the engine, made when it is not there")
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--days", type=int, default=396, help="from the first event to the last; the store keeps 400")
    parser.add_argument("--rounds", type=int, default=3, help="how often each question is asked")
    parser.add_argument("--only", default="", help="pages whose names have this in them")
    args = parser.parse_args()
    usage = SyntheticUsage(args.events, midnight(datetime.now(UTC)), args.days)
    results = asyncio.run(bench(args.path, usage, args.rounds, args.only))
    print("\n" + run.table(results))
    RESULTS.mkdir(exist_ok=True)
    record = RESULTS / f"usage-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.json"
    pages = [
        {"name": each.name, "asked": len(each.seconds), "p50_ms": each.p50_s * 1000, "p95_ms": each.p95_s * 1000,
         "cpu_p95_ms": each.cpu_p95_s * 1000,
         "limit_ms": each.limit_s * 1000, "reads": each.heaviest}
        for each in results
    ]  # fmt: skip
    record.write_text(json.dumps({"machine": system.machine(), "events": args.events, "pages": pages}, indent=2) + "\n")
    return 0 if all(each.holds for each in results) else 1


if __name__ == "__main__":
    sys.exit(main())
