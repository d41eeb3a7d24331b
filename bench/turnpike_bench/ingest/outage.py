"""`python -m turnpike_bench.ingest.outage`: the store is away for a day of usage events, and what it takes to catch up.

The events bear the times of 24 hours and wait in a real topic, whose retention is 40 days. Nothing in metering waits by the
time that events bear, so the day is sent as fast as the broker takes it. What counts by the clock on the wall (pauses between
attempts, sessions of the group) has its longest pause after seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from turnpike_bench.ingest import parts
from turnpike_bench.ingest.chaos import Chaos
from turnpike_bench.ingest.events import seeded_events

_DAY: Final = timedelta(hours=24)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-outage", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="of the day")
    parser.add_argument("--limit", type=float, default=1_800, help="seconds to catch up")
    options = parser.parse_args()
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 2 * _DAY
    events = seeded_events(options.events, seed=5, start=start, over=_DAY)
    with tempfile.TemporaryDirectory(prefix="turnpike-outage-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with parts.broker(folder / "kafka") as node:
            chaos = Chaos(folder, node, partitions=parts.PARTITIONS, members=("metering-a",))
            report = chaos.run(events, options.events, ["store-outage"], options.limit)
    took = chaos.caught_up - chaos.store_came_back
    print("\n".join(report.disruptions))
    print(f"caught up with {report.found} events in {took:.0f} s: {report.found / took:.0f} events/s")
    for problem in report.problems:
        print(f"PROBLEM: {problem}")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
