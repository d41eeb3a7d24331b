"""`python -m turnpike_bench.ingest.outage`: the store is away for 24 hours, and the broker for some of them.

The router's spool and publisher, and metering's reader, batches and sums run here on one clock that is moved by a step at a time,
so that a day passes in a minute: what waits by the clock (retries, the hour for which a spool keeps what was published) waits a
day long. Broker and store are processes. Each step brings the events that begin in it.

    hour 0: the store is killed; 6: the broker goes; 12: it comes back, and the spool drains; 24: the store comes back
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import NoOpTracer

from contracts.topics import USAGE, cloud_event_headers
from localstack.ports import LOOPBACK, free_ports
from metering.adapters.clickhouse_calls import CallLimits
from metering.adapters.clickhouse_rollups import ClickHouseRollups
from metering.adapters.clickhouse_usage_log import ClickHouseUsageLog
from metering.adapters.dead_letters import KafkaDeadLetters
from metering.adapters.kafka_planned_records import KafkaPlannedRecords
from metering.app import GROUP
from metering.ingest import Ingest, IngestLimits
from metering.ingest_telemetry import IngestTelemetry
from metering.recent import RecentEvents
from metering.rollups import Rollups
from router.adapters.usage_events import spool_entries
from router.adapters.usage_publisher import METRICS
from router.adapters.usage_spool import UsageSpool
from servicekit.failpoints import Failpoints
from servicekit.kafka import RecordConsumer, RecordSink
from servicekit.logs import configure_logs
from servicekit.settings import KafkaSettings, LogSettings, parse_duration
from servicekit.spool import SpoolEntry, SpoolLimits, SpoolPublisher
from servicekit.testing import BrokerProcess, running
from turnpike_bench.ingest import parts
from turnpike_bench.ingest.events import Event, seeded_events
from turnpike_bench.ingest.recount import Comparison, Sent, compare, events_in

DAY: Final = timedelta(hours=24)
_BROKER_AWAY: Final = (timedelta(hours=6), timedelta(hours=12))
_TICK_S: Final = 0.02
_WAITING: Final = 20_000  # far fewer than a day has
_LOOK_S: Final = 0.2


@dataclass
class Outage:
    """What a day without the store was like.

    Attributes:
        events: of the day.
        spooled: most that waited in the router's spool.
        in_memory: most that waited in metering.
        caught_up_s: from the store's return until everything was in it.
        comparison: of the store with what was sent.
    """

    events: int
    spooled: int
    in_memory: int
    caught_up_s: float
    comparison: Comparison

    def lines(self) -> list[str]:
        """What people read at the end."""
        return [
            f"{self.events} events of 24 hours; at most {self.spooled} waited in the spool and {self.in_memory} in metering's memory",
            f"caught up in {self.caught_up_s:.1f} s: {self.events / self.caught_up_s:.0f} events/s",
            *self.comparison.lines(),
        ]


class MovedClock:
    """A `Clock` that goes on by itself from a time of choice, and can be moved: then who slept past that wakes, once."""

    def __init__(self, start: datetime) -> None:
        self._start, self._began, self._ahead = start, time.monotonic(), 0.0
        self._moved = asyncio.Event()

    def monotonic(self) -> float:
        """Seconds since it was made, and those that it was moved by."""
        return time.monotonic() - self._began + self._ahead

    def now(self) -> datetime:
        """The start and those seconds."""
        return self._start + timedelta(seconds=self.monotonic())

    async def sleep(self, seconds: float) -> None:
        """Return when so many seconds are over."""
        until = self.monotonic() + seconds
        await asyncio.sleep(0)
        while (left := until - self.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._moved.wait()

    def move(self, by: timedelta) -> None:
        """Move it."""
        self._ahead += by.total_seconds()
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class Day:
    """The parts on a clock of their own, beside a broker that runs."""

    def __init__(
        self, folder: Path, broker: BrokerProcess, start: datetime, *, keeps_records: bool, waiting: int
    ) -> None:
        """Prepare.

        Args:
            folder: for spool and store.
            broker: runs.
            start: of the day.
            keeps_records: whether the broker has its records after it was killed; otherwise it is frozen, not killed.
            waiting: records that metering may keep in memory.
        """
        self._folder, self._broker, self._keeps_records = folder, broker, keeps_records
        self._clock = MovedClock(start)
        (self._port,) = free_ports(1, Random())
        self.dsn = f"http://{LOOPBACK}:{self._port}/default?compress=false"
        kafka = KafkaSettings(
            brokers=broker.bootstrap,
            request_timeout=parse_duration("2s"),
            send_timeout=parse_duration("3s"),
            session_timeout=parse_duration("6s"),
            stall_timeout=parse_duration("3s"),
        )
        clock, meter = self._clock, NoOpMeter("bench")
        sink = RecordSink(kafka, clock, "router")
        self.spool = UsageSpool(
            folder / "spool", spool_entries("router-0", ""), clock, SpoolLimits(segment_bytes=2**20)
        )
        publisher = SpoolPublisher(self.spool, sink, clock, meter, topic=USAGE.name, metrics=METRICS)
        log = ClickHouseUsageLog(self.dsn, clock, CallLimits(), cluster=None, may_migrate=True)
        letters = RecordSink(kafka, clock, "metering")
        self.ingest = Ingest(
            log,
            KafkaDeadLetters(letters),
            KafkaPlannedRecords(kafka),
            RecentEvents(waiting),
            clock,
            IngestLimits(waiting=waiting),
            IngestTelemetry(NoOpTracer(), meter),
            Failpoints(),
        )
        self._consumer = RecordConsumer(
            kafka, clock, topics=[USAGE.name], group=GROUP, handler=self.ingest, max_records=min(waiting, 1_000)
        )
        rollups = Rollups(ClickHouseRollups(log.calls), clock, timedelta(seconds=1), is_in_charge=lambda: True)
        self._components = [publisher, self.spool, sink, self._consumer, self.ingest, rollups, letters, log]

    async def run(self, events: Iterator[Event], step: timedelta, limit_s: float) -> Outage:
        """Let the day pass, and the store come back.

        Args:
            events: of the day, in order.
            step: by which the clock moves.
            limit_s: for catching up, and for the sums.
        """
        sent, spooled, in_memory = Sent(), 0, 0
        store = parts.start_store_server(self._folder / "store", self._port)
        try:
            async with running(*self._components):
                await _until(lambda: bool(self._consumer.assignment), limit_s, "metering reads")
                store.kill()
                store.wait()
                away, begin, ahead = False, self._clock.now(), next(events, None)
                for number in itertools.count():
                    passed = step * number
                    if passed >= DAY:
                        break
                    if away != (_BROKER_AWAY[0] <= passed < _BROKER_AWAY[1]):
                        away = not away
                        await asyncio.to_thread(self._leave if away else self._return)
                    end_ms = int((begin + passed + step).timestamp() * 1_000)
                    while ahead is not None and ahead.started_ms < end_ms:
                        await self._keep(ahead, sent)
                        ahead = next(events, None)
                    self._clock.move(max(begin + passed + step - self._clock.now(), timedelta(0)))
                    await asyncio.sleep(_TICK_S)  # for what is really sent and read
                    spooled, in_memory = max(spooled, self.spool.backlog), max(in_memory, self.ingest.in_flight())
                await _until(lambda: not self.spool.backlog, limit_s, "the spool is empty")
                in_memory = max(in_memory, self.ingest.in_flight())
                store = await asyncio.to_thread(parts.start_store_server, self._folder / "store", self._port)
                came_back = time.monotonic()
                give_up_at = came_back + limit_s
                while (await asyncio.to_thread(events_in, self.dsn)) != (len(sent.ids), 0):
                    if time.monotonic() > give_up_at:
                        break
                    await asyncio.sleep(_LOOK_S)
                caught_up_s = time.monotonic() - came_back
                comparison = await asyncio.to_thread(compare, self.dsn, sent, limit_s)
        finally:
            store.kill()
            store.wait()
        return Outage(sent.records, spooled, in_memory, caught_up_s, comparison)

    async def _keep(self, event: Event, sent: Sent) -> None:
        headers = cloud_event_headers(
            USAGE, event_id=event.event_id, source="/router/router-0", time=self._clock.now(), subject=event.event_id
        )
        sent.add(event)
        kept = self.spool.keep(SpoolEntry(event.key, headers, event.value))
        if sent.records % 200 == 0:  # so many are on their way to the disk at once
            await kept

    def _leave(self) -> None:
        if self._keeps_records:
            self._broker.kill()
        else:
            self._broker.suspend()

    def _return(self) -> None:
        if self._keeps_records:
            self._broker.start()
        else:
            self._broker.resume()


async def _until(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    give_up_at = time.monotonic() + limit_s
    while True:
        if condition():
            return
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"{what}: not in {limit_s:.0f} s")
        await asyncio.sleep(_TICK_S)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-outage", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="of the day")
    parser.add_argument("--step", type=float, default=60, help="seconds by which the clock moves")
    parser.add_argument("--limit", type=float, default=1_800, help="seconds to catch up")
    options = parser.parse_args()
    configure_logs(LogSettings(level="error"), service="bench", instance="outage", stream=sys.stderr)
    # Two days ago, so that every hour and day is over and is added up.
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 2 * DAY
    events = seeded_events(options.events, seed=5, start=start, over=DAY)
    with tempfile.TemporaryDirectory(prefix="turnpike-outage-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with parts.broker(folder / "kafka") as node:
            day = Day(folder, node, start, keeps_records=True, waiting=_WAITING)
            outage = asyncio.run(day.run(events, timedelta(seconds=options.step), options.limit))
    print("\n".join(outage.lines()))
    return 1 if outage.comparison.problems else 0


if __name__ == "__main__":
    sys.exit(main())
