"""`make bench`: what a request costs in edge and router, against our own provider on loopback."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import uvloop

from turnpike_bench import cancellation, choice, system
from turnpike_bench.figures import AddedLatency, Results, Throughput, percentile
from turnpike_bench.load import Call, Outcome, chat_call, run_load

RESULTS = system.ROOT / "bench" / "results"
CHUNKS = 100
CANCELLATIONS = 100
# (name, model, events of its answer, share of --requests, connections)
LOADS = (
    ("unary", "bench/unary", 0, 1.0, 32),
    ("burst of 100 chunks", "bench/burst-100", CHUNKS, 0.5, 32),
    ("100 chunks, 20 ms", "bench/paced-100-20", CHUNKS, 0.1, 64),
)
SERVICES = ("edge", "router")


def _measure(name: str, call: Call, requests: int, concurrency: int, pids: Mapping[str, int]) -> Throughput:
    before = system.cpu_seconds(pids)
    outcome = uvloop.run(run_load(call, requests=requests, concurrency=concurrency))
    after = system.cpu_seconds(pids)
    _report_faults(name, outcome)
    return Throughput(
        name=name,
        requests=requests,
        concurrency=concurrency,
        requests_per_s=len(outcome.totals_s) / outcome.elapsed_s,
        p50_ms=percentile(outcome.totals_s, 0.5) * 1000,
        p99_ms=percentile(outcome.totals_s, 0.99) * 1000,
        cpu_us={name: (after[name] - before[name]) / requests * 1e6 for name in pids},
        faults=len(outcome.faults),
    )


def _report_faults(name: str, outcome: Outcome) -> None:
    if outcome.faults:
        print(f"{name}: {len(outcome.faults)} faults, the first one:\n{outcome.faults[0]}", file=sys.stderr)


def _latency(name: str, direct: Call, through: Call, requests: int) -> AddedLatency:
    """One request at a time; both ways take turns, so that whatever else the machine does hits both."""
    direct_s: list[float] = []
    through_s: list[float] = []
    for _ in range(10):
        for call, times in ((direct, direct_s), (through, through_s)):
            outcome = uvloop.run(run_load(call, requests=requests // 10, concurrency=1))
            _report_faults(name, outcome)
            times += outcome.totals_s
    return AddedLatency(
        name=name,
        requests=requests // 10 * 10,
        direct_p50_ms=percentile(direct_s, 0.5) * 1000,
        direct_p99_ms=percentile(direct_s, 0.99) * 1000,
        turnpike_p50_ms=percentile(through_s, 0.5) * 1000,
        turnpike_p99_ms=percentile(through_s, 0.99) * 1000,
    )


def run(requests: int, folder: Path) -> Results:
    """Start everything, load it, stop it."""
    machine = system.machine()
    with system.running_upstream() as (upstream_url, upstream_pid):
        catalog = system.write_catalog(folder, upstream_url)
        with system.running_stack(folder, catalog) as stack:
            pids = {name: stack.pids[name] for name in SERVICES} | {"upstream": upstream_pid}
            idle = system.memory_mib(stack.pids)
            throughput: list[Throughput] = []
            for name, model, events, share, concurrency in LOADS:
                count = max(concurrency, int(requests * share))
                direct = chat_call(upstream_url, model.removeprefix("bench/"), events=events)
                through = chat_call(stack.base_url, model, api_key=stack.api_key, events=events)
                # The first requests import, connect and fill caches.
                uvloop.run(run_load(through, requests=concurrency * 2, concurrency=concurrency))
                throughput.append(_measure(f"{name}, direct", direct, count, concurrency, {"upstream": upstream_pid}))
                throughput.append(_measure(name, through, count, concurrency, pids))
            latency = [
                _latency(
                    name,
                    chat_call(upstream_url, model.removeprefix("bench/"), events=events),
                    chat_call(stack.base_url, model, api_key=stack.api_key, events=events),
                    max(100, requests // 4),
                )
                for name, model, events, _, _ in LOADS[:2]
            ]
            paced = chat_call(stack.base_url, LOADS[2][1], api_key=stack.api_key, events=CHUNKS)
            cancelled_s = uvloop.run(cancellation.measure(paced, upstream_url, CANCELLATIONS))
            loaded = system.memory_mib(stack.pids)
    return Results(machine, throughput, latency, idle, loaded, [seconds * 1000 for seconds in cancelled_s])


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--requests", type=int, default=4000, help="unary requests; streams are a share of it")
    requests = parser.parse_args().requests
    with tempfile.TemporaryDirectory(prefix="turnpike-bench-") as folder:
        results = run(requests, Path(folder))
    print(results.as_table())
    costs = [choice.measure(models, endpoints) for models, endpoints in choice.SIZES]
    print(f"\nchoosing an endpoint, by size of the catalogue\n{choice.table(costs)}")
    RESULTS.mkdir(exist_ok=True)
    record = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}.json"
    record.write_text(json.dumps(results.as_json(), indent=2) + "\n", encoding="utf-8")
    print(f"\n{results.machine['cpu']}, {results.machine['cores']} cores; written to {record.relative_to(system.ROOT)}")
    return 1 if any(load.faults for load in results.throughput) else 0


if __name__ == "__main__":
    sys.exit(main())
