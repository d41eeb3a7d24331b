"""`python -m turnpike_bench.ingest.chaos`: members and brokers are killed while usage events come, and all are counted after.

Members of metering's group, each a process, read from Apache Kafka and write to one ClickHouse engine, which is a process
of its own behind its HTTP interface. A producer sends events all the while, some of them twice, as routers do that replay
their spools. Meanwhile every failpoint of the ingest kills every member once, members are killed and stopped at any moment,
and the broker and the store are killed or frozen. At the end the store is compared with what was sent, event by event.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from localstack.ports import LOOPBACK, free_ports
from metering.failpoints import POINTS
from servicekit.testing import BrokerProcess
from turnpike_bench.ingest import parts
from turnpike_bench.ingest.events import Event, seeded_events
from turnpike_bench.ingest.producing import UsageProducer
from turnpike_bench.ingest.recount import Comparison, Sent, compare, events_in

_REPLAYED: Final = 50  # one event of so many is sent twice
_LAST_WORDS: Final = 3_000
_DEATH_LIMIT_S: Final = 180.0


@dataclass
class Report:
    """What was done and found."""

    sent: Sent
    disruptions: list[str] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)
    seconds: float = 0.0


def plan(members: Sequence[str], points: Sequence[str] = POINTS, *, keeps_records: bool) -> list[str]:
    """Everything that happens to members, broker and store, in order.

    Args:
        members: each is killed at each point.
        points: the failpoints.
        keeps_records: whether the broker has its records after it was killed; otherwise it is left alone.
    """
    broker = ("broker-restart", "broker-freeze", "broker-restart") if keeps_records else ()
    return [
        *(f"failpoint {point} {name}" for name in members for point in points),
        *(f"kill {name}" for name in members),
        *(f"stop {name}" for name in members),
        *broker,
        "store-kill",
        "nothing",
    ]


class Chaos:
    """One run over a broker, a store and members."""

    def __init__(
        self,
        folder: Path,
        broker: BrokerProcess,
        *,
        partitions: int,
        members: Sequence[str],
        settings: Mapping[str, str] | None = None,
        seed: int = 1,
    ) -> None:
        """Prepare.

        Args:
            folder: for the store and logs.
            broker: runs, and has the usage topic with so many `partitions`.
            partitions: see there.
            members: names of the processes that share the topic.
            settings: of every member, over those of this module.
            seed: of the events and of the choice of moments.
        """
        self._folder, self._broker, self._partitions = folder, broker, partitions
        self._names = tuple(members)
        self._settings = {
            "METERING_KAFKA_WATCH_INTERVAL": "500ms",
            "METERING_KAFKA_SESSION_TIMEOUT": "6s",
            "METERING_ROLLUP_INTERVAL": "60s",
            **(settings or {}),
        }
        self._random = Random(seed)
        (self._port,) = free_ports(1, self._random)
        self._store = parts.start_store_server(folder / "store", self._port)
        self._dsn = f"http://{LOOPBACK}:{self._port}/default?compress=false"
        self._members: dict[str, parts.Metering] = {}
        self._producer = UsageProducer(broker.bootstrap, partitions)
        self._sent = Sent()

    def run(self, events: Iterator[Event], count: int, disruptions: Sequence[str], limit_s: float) -> Report:
        """Send the events while things happen, one after another, and compare at the end.

        Args:
            events: at least `count`.
            count: events that are sent.
            disruptions: see `plan`.
            limit_s: for the members to catch up with the rest.
        """
        report = Report(self._sent)
        started = time.monotonic()
        try:
            for name in self._names:
                self._start(name)
            share = count // max(1, len(disruptions))
            for number, disruption in enumerate(disruptions):
                last = number == len(disruptions) - 1
                chunk = itertools.islice(events, share if not last else count - share * number)
                sending = threading.Thread(target=self._send, args=(list(chunk),))
                before = time.monotonic()
                outcome = self._disrupt(disruption, sending)
                sending.join()
                line = f"{disruption}: {outcome} ({time.monotonic() - before:.1f} s, {self._sent.records} records sent)"
                report.disruptions.append(line)
                print(f"{time.monotonic() - started:7.1f} s  {line}", file=sys.stderr, flush=True)
            self._catch_up(len(self._sent.ids), limit_s)
            report.comparison = compare(self._dsn, self._sent, limit_s)
            for name, member in self._members.items():
                if code := member.stop():
                    words = member.log.read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:]
                    report.comparison.problems.append(f"{name} ended with exit code {code}; last words: {words}")
        finally:
            for member in self._members.values():
                member.kill()
            self._store.kill()
            self._store.wait()
        report.seconds = time.monotonic() - started
        return report

    # --- what is sent

    def _send(self, events: list[Event]) -> None:
        again = events[::_REPLAYED]
        self._producer.produce(events + again)
        for event in (*events, *again):
            self._sent.add(event)

    # --- what happens meanwhile

    def _disrupt(self, what: str, sending: threading.Thread) -> str:
        kind, _, subject = what.partition(" ")
        if kind == "failpoint":
            point, _, name = subject.partition(" ")
            return self._die_at(point, name, sending)
        sending.start()
        actions: dict[str, Callable[[], object]] = {
            "kill": lambda: self._restart(subject, kill=True),
            "stop": lambda: self._restart(subject, kill=False),
            "broker-restart": self._broker.restart,
            "broker-freeze": self._freeze_broker,
            "store-kill": self._kill_store,
            "nothing": lambda: None,
        }
        time.sleep(self._random.uniform(0.5, 2.0))
        actions[kind]()
        return "done"

    def _die_at(self, point: str, name: str, sending: threading.Thread) -> str:
        """Run a member that kills itself at the point, and then one that does not."""
        self._members[name].kill()
        doomed = self._start(name, METERING_FAILPOINTS=point)
        # Every partition gets records, so that it dies as soon as it has any; or before, over a batch that the last one left.
        doomed.until("consumer.positioned", or_end=True)
        sending.start()
        give_up_at = time.monotonic() + _DEATH_LIMIT_S
        while doomed.process.poll() is None and time.monotonic() < give_up_at:
            time.sleep(0.1)
        code = doomed.process.poll()
        doomed.kill()
        self._start(name)
        if code != -signal.SIGKILL:
            raise RuntimeError(f"{point} was not reached by {name} (exit code {code}); log: {doomed.log}")
        return "killed there"

    def _restart(self, name: str, *, kill: bool) -> None:
        if kill:
            self._members[name].kill()
        else:
            self._members[name].stop()
        self._start(name)

    def _freeze_broker(self) -> None:
        self._broker.suspend()
        time.sleep(8)
        self._broker.resume()

    def _kill_store(self) -> None:
        self._store.kill()
        self._store.wait()
        time.sleep(3)
        self._store = parts.start_store_server(self._folder / "store", self._port)

    def _start(self, name: str, **settings: str) -> parts.Metering:
        member = parts.start_metering(
            self._folder, self._dsn, self._broker.bootstrap, name, **{**self._settings, **settings}
        )
        self._members[name] = member
        return member

    # --- what is there at the end

    def _catch_up(self, events: int, limit_s: float) -> None:
        give_up_at = time.monotonic() + limit_s
        while (state := events_in(self._dsn)) != (events, 0) and time.monotonic() < give_up_at:
            print(f"catching up: {state[0]} of {events} events, {state[1]} batches open", file=sys.stderr, flush=True)
            time.sleep(2)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test-long", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--limit", type=float, default=3_600, help="seconds for the members to catch up")
    options = parser.parse_args()
    members = ("metering-a", "metering-b")
    # Two days ago, so that every hour and day is over and is added up.
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    events = seeded_events(options.events, seed=3, start=start, over=timedelta(hours=30))
    with tempfile.TemporaryDirectory(prefix="turnpike-chaos-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with parts.broker(folder / "kafka") as node:
            chaos = Chaos(folder, node, partitions=parts.PARTITIONS, members=members)
            report = chaos.run(events, options.events, plan(members, keeps_records=True), options.limit)
    sent, comparison = report.sent, report.comparison
    print("\n".join(report.disruptions))
    print(
        f"{sent.records} records of {len(sent.ids)} events sent; {comparison.found} rows with FINAL ({comparison.rows} without); "
        f"{len(report.disruptions)} disruptions in {report.seconds:.0f} s"
    )
    print("\n".join(comparison.lines()))
    return 1 if comparison.problems else 0


if __name__ == "__main__":
    sys.exit(main())
