"""Publishes verdicts to the compacted health topic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from opentelemetry.metrics import Meter

from contracts.ids import EndpointId
from contracts.topics import HEALTH, cloud_event_headers
from health_prober import metrics
from health_prober.adapters.convert import verdict_to_proto
from health_prober.domain.verdict import Verdict
from servicekit.clock import Clock
from servicekit.kafka import BusUnavailableError
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

_BATCH = 100
_RETRY_SECONDS = 1.0


class VerdictSink(Protocol):
    """What is needed of `servicekit.kafka.RecordSink`."""

    async def send(self, topic: str, *, key: bytes, value: bytes | None, headers: dict[str, str]) -> None:
        """Send a record and wait until it is acknowledged; raises BusUnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Who speaks: the process, the region it probes from, and the start of its run in Unix milliseconds."""

    instance: str
    region: str
    epoch: int


class KafkaVerdictLog(Component):
    """Keeps the last verdict of each endpoint and sends it: when it is new, and again while it is fresh.

    While the bus is away only the newest of each endpoint waits, so nothing grows. A repeat has the sequence of the
    original and is harmless.
    """

    name = "verdict-log"

    def __init__(self, sink: VerdictSink, origin: Origin, *, republish: timedelta, clock: Clock, meter: Meter) -> None:
        self._sink = sink
        self._origin = origin
        self._republish = republish
        self._clock = clock
        self._latest: dict[EndpointId, Verdict] = {}
        self._unsent: dict[EndpointId, Verdict] = {}
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._bus_is_away = False
        metrics.VERDICTS_UNSENT.create(meter, lambda: len(self._unsent))

    def publish(self, verdict: Verdict) -> None:
        """Send soon. Never blocks."""
        self._latest[verdict.endpoint_id] = verdict
        self._unsent[verdict.endpoint_id] = verdict
        self._wake.set()

    def publish_all(self) -> None:
        """Send every verdict that is still fresh once more: after a while, or to a cluster that has none of them."""
        now = self._clock.now()
        self._latest = {key: verdict for key, verdict in self._latest.items() if verdict.expires_at > now}
        self._unsent.update(self._latest)
        self._wake.set()

    async def run(self) -> None:
        """Send until stopped."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._send_forever()), group.create_task(self._repeat_forever())]
            await self._stopping.wait()
            for task in tasks:
                task.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Try once to send what is left; a verdict that stays unsent only expires a little earlier for the others."""
        self._stopping.set()
        try:
            async with asyncio.timeout(grace.total_seconds()):
                await self._send_waiting()
        except TimeoutError:
            _log.warning("verdicts.abandoned", verdicts=len(self._unsent))

    def in_flight(self) -> int:
        """Verdicts that are not sent."""
        return len(self._unsent)

    async def _repeat_forever(self) -> None:
        while True:
            await self._clock.sleep(self._republish.total_seconds())
            self.publish_all()

    async def _send_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not await self._send_waiting():
                await self._clock.sleep(_RETRY_SECONDS)
                self._wake.set()

    async def _send_waiting(self) -> bool:
        """Send what waits; say whether the bus took all of it."""
        now = self._clock.now()
        while batch := [verdict for verdict in self._unsent.values() if verdict.expires_at > now][:_BATCH]:
            async with asyncio.TaskGroup() as group:
                sent = [group.create_task(self._send(verdict)) for verdict in batch]
            if not all(task.result() for task in sent):
                return False
        self._unsent = {key: verdict for key, verdict in self._unsent.items() if verdict.expires_at > now}
        return True

    async def _send(self, verdict: Verdict) -> bool:
        origin = self._origin
        message = verdict_to_proto(verdict, epoch=origin.epoch, instance=origin.instance, region=origin.region)
        headers = cloud_event_headers(
            HEALTH,
            event_id=f"{verdict.endpoint_id}-{origin.epoch}-{verdict.sequence}",
            source=f"/health-prober/{origin.instance}",
            time=verdict.checked_at,
            subject=verdict.endpoint_id,
        )
        try:
            await self._sink.send(
                HEALTH.name, key=verdict.endpoint_id.encode(), value=message.SerializeToString(), headers=headers
            )
        except BusUnavailableError as error:
            if not self._bus_is_away:
                _log.warning("bus.lost", error=str(error))
            self._bus_is_away = True
            return False
        if self._bus_is_away:
            _log.info("bus.recovered")
        self._bus_is_away = False
        # A newer one may have come meanwhile; that one still waits.
        if self._unsent.get(verdict.endpoint_id) is verdict:
            del self._unsent[verdict.endpoint_id]
        return True
