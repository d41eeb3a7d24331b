"""`python -m turnpike_bench.ingest.cost`: what an event costs metering, and the memory that it takes."""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from localstack.ports import LOOPBACK, free_ports
from turnpike_bench.ingest import parts
from turnpike_bench.ingest.events import seeded_events
from turnpike_bench.ingest.producing import UsageProducer

ROWS: Final = "metering_rows_inserted_total"
_LOOK_S: Final = 0.2
_ASK_EVERY: Final = 10  # looks; answering costs as much as some hundred events
_LIMIT_S: Final = 900.0


@dataclass(frozen=True)
class Cost:
    """One run: `events` were ingested in `seconds`; CPU of metering's process in microseconds an event."""

    store: str
    events: int
    seconds: float
    used: parts.Usage
    idle_mib: float
    peak_mib: float

    def line(self) -> str:
        """A row of the table."""
        each = 1e6 / self.events
        used = self.used
        return (
            f"{self.store:<12}{self.events:>9}{self.events / self.seconds:>11.0f}{used.loop * each:>9.1f}"
            f"{used.inserting * each:>11.1f}{used.engine * each:>9.1f}{(used.loop + used.inserting) * each:>14.1f}"
            f"{self.events / (used.loop + used.inserting):>13.0f}{self.idle_mib:>10.0f}{self.peak_mib:>10.0f}"
        )


HEADER: Final = (
    f"{'store':<12}{'events':>9}{'events/s':>11}{'loop µs':>9}{'insert µs':>11}{'merge µs':>9}{'loop+ins. µs':>14}"
    f"{'ev/s a core':>13}{'idle MiB':>10}{'peak MiB':>10}"
)


def measure(folder: Path, count: int, *, embedded: bool) -> Cost:
    """Ingest so many events from a topic that has them all.

    Args:
        folder: for everything.
        count: of events.
        embedded: whether the engine is in metering's process; otherwise it is a process of its own behind HTTP.
    """
    with parts.broker(folder / "kafka") as node, _store(folder, embedded=embedded) as dsn:
        # All first: who makes events takes the processor's caches and turns from metering, which is not what is measured.
        UsageProducer(node.bootstrap, parts.PARTITIONS).produce(seeded_events(count, seed=7))
        metering = parts.start_metering(folder, dsn, node.bootstrap)
        try:
            metering.until("consumer.positioned")
            before = parts.usage(metering.process.pid)
            started = time.monotonic()
            peak = before.memory_mib
            give_up_at = time.monotonic() + _LIMIT_S
            for look in itertools.count():
                if look % _ASK_EVERY == 0 and metering.metric(ROWS) >= count:
                    break
                if time.monotonic() > give_up_at:
                    raise RuntimeError(f"{metering.metric(ROWS):.0f} of {count} events after {_LIMIT_S:.0f} s")
                peak = max(peak, parts.usage(metering.process.pid).memory_mib)
                time.sleep(_LOOK_S)
            ended = time.monotonic()
            used = parts.usage(metering.process.pid).since(before)
            return Cost("embedded" if embedded else "server", count, ended - started, used, before.memory_mib, peak)
        finally:
            metering.kill()


@contextmanager
def _store(folder: Path, *, embedded: bool) -> Iterator[str]:
    path = folder / "store"
    if embedded:
        yield f"chdb://{path}"
        return
    (port,) = free_ports(1, Random())
    with parts.store_server(path, port):
        yield f"http://{LOOPBACK}:{port}/default?compress=false"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-ingest", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    count = parser.parse_args().events
    print(HEADER)
    for embedded in (True, False):
        with tempfile.TemporaryDirectory(prefix="turnpike-ingest-") as folder:
            print(measure(Path(folder), count, embedded=embedded).line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
