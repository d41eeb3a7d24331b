"""`python -m turnpike_bench.ingest.freshness`: from the acknowledgement of an event to when a query finds it.

Events come at a steady pace on real Kafka. A reader asks the store again and again for what was inserted lately and notes
when it saw each event first, so that the pace of asking and the time of the question are in the figure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from random import Random
from typing import Final

import clickhouse_connect

from localstack.ports import LOOPBACK, free_ports
from turnpike_bench.figures import percentile
from turnpike_bench.ingest import parts
from turnpike_bench.ingest.events import Event, seeded_events
from turnpike_bench.ingest.producing import UsageProducer

_WARM_UP: Final = 2_000
_ASK_EVERY_S: Final = 0.25
_LATELY: Final = """
SELECT toString(event_id) FROM usage_events WHERE ingested_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
"""
_WINDOW_MS: Final = 4_000  # an insert is dated when it begins
_LIMIT_S: Final = 120.0


def measure(folder: Path, rate: int, seconds: int) -> list[float]:
    """Seconds until each event could be read, of `rate` events a second for so long."""
    (port,) = free_ports(1, Random())
    dsn = f"http://{LOOPBACK}:{port}/default?compress=false"
    with parts.broker(folder / "kafka") as node, parts.store_server(folder / "store", port):
        metering = parts.start_metering(folder, dsn, node.bootstrap)
        try:
            metering.until("consumer.positioned")
            events = list(seeded_events(_WARM_UP + rate * seconds, seed=9))
            producer = UsageProducer(node.bootstrap, parts.PARTITIONS)
            producer.produce(events[:_WARM_UP])
            while metering.metric("metering_rows_inserted_total") < _WARM_UP:
                time.sleep(_ASK_EVERY_S)
            sent: dict[str, float] = {}
            sending = threading.Thread(target=_send, args=(producer, events[_WARM_UP:], rate, sent))
            sending.start()
            seen = _watch(dsn, {event.event_id for event in events[_WARM_UP:]})
            sending.join()
            return [seen[event_id] - at for event_id, at in sent.items() if event_id in seen]
        finally:
            metering.kill()


def _send(producer: UsageProducer, events: list[Event], rate: int, sent: dict[str, float]) -> None:
    begun = time.monotonic()
    for number, event in enumerate(events):
        due = begun + number / rate
        if (early := due - time.monotonic()) > 0:
            time.sleep(early)
        sent[event.event_id] = time.monotonic()
        producer.send(event)
    producer.flush()


def _watch(dsn: str, wanted: set[str]) -> dict[str, float]:
    client = clickhouse_connect.get_client(dsn=dsn, autogenerate_session_id=False)
    seen: dict[str, float] = {}
    since = int(time.time() * 1_000) - _WINDOW_MS
    give_up_at = time.monotonic() + _LIMIT_S
    while len(seen) < len(wanted) and time.monotonic() < give_up_at:
        asked = int(time.time() * 1_000)
        rows = client.query(_LATELY, {"since": since}).result_rows
        now = time.monotonic()
        for (event_id,) in rows:
            if event_id in wanted:
                seen.setdefault(event_id, now)
        since = asked - _WINDOW_MS
        time.sleep(_ASK_EVERY_S)
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-freshness", description=__doc__)
    parser.add_argument("--rate", type=int, default=1_000, help="events a second")
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="turnpike-freshness-", ignore_cleanup_errors=True) as folder:
        ages = measure(Path(folder), options.rate, options.seconds)
    count = options.rate * options.seconds
    print(
        f"{len(ages)} of {count} events at {options.rate}/s readable after"
        f" p50 {percentile(ages, 0.5):.2f} s, p99 {percentile(ages, 0.99):.2f} s, at most {max(ages):.2f} s"
    )
    return 0 if len(ages) == count else 1


if __name__ == "__main__":
    sys.exit(main())
