"""What live traffic shows: told to the other routers once a second, and heard from them, over Kafka.

Nobody waits for it. While Kafka is away, what is too old to be of use is dropped and counted.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from opentelemetry.metrics import Meter

from contracts import topics
from contracts.ids import EndpointId
from router.adapters.observations_wire import observation_from_bytes, observation_to_proto
from router.domain.health_view import FleetHealth
from router.domain.observations import Observation, ObservationFilter
from router.domain.outages import WINDOW_SECONDS
from servicekit.clock import Clock
from servicekit.kafka import BusUnavailableError, RecordTooLargeError
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec

_log = get_logger(__name__)

_TICK_SECONDS = 1.0
_RETRY_SECONDS = 0.5

_SENT = CounterSpec("router.observation.sent", "{observation}", "Observations that Kafka has acknowledged.")
_DROPPED = CounterSpec(
    "router.observation.dropped", "{observation}", "Observations that were never sent, by reason (too_late, too_large)."
)
_HEARD = CounterSpec("router.observation.heard", "{observation}", "Observations of other routers that were counted.")
_IGNORED = CounterSpec(
    "router.observation.ignored", "{observation}", "Observations that were read and not counted, by reason."
)


class ObservationSink(Protocol):
    """What is needed of `servicekit.kafka.RecordSink`."""

    async def send(self, topic: str, *, key: bytes, value: bytes | None, headers: Mapping[str, str]) -> None:
        """Send a record and wait until it is acknowledged.

        Raises:
            BusUnavailableError: try again later.
            RecordTooLargeError: never send it again.
        """
        ...


@dataclass(frozen=True, slots=True)
class Observer:
    """Who observes: the router, the region that it calls from, and the start of its run in Unix milliseconds."""

    instance: str
    region: str
    epoch: int


class ObservationPublisher(Component):
    """Tells the other routers once a second what this one's calls have shown, if they have shown anything."""

    name = "observation-publisher"

    def __init__(
        self, sink: ObservationSink, health: FleetHealth, observer: Observer, clock: Clock, meter: Meter
    ) -> None:
        """Make the publisher.

        Args:
            sink: to write to.
            health: has the counts.
            observer: this router.
            clock: of this process.
            meter: counts what is sent and what is not.
        """
        self._sink = sink
        self._health = health
        self._observer = observer
        self._clock = clock
        self._sent = _SENT.create(meter)
        self._dropped = _DROPPED.create(meter)
        self._sequence = 0
        # As many as can still count for anybody: older ones are refused by those who read them.
        self._waiting: deque[Observation] = deque(maxlen=WINDOW_SECONDS)
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Observe and send until stopped."""
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(self._observe_forever()), tasks.create_task(self._send_forever())]
            await self._stopping.wait()
            for task in working:
                task.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Stop at once: what is not sent is seconds old and has been acted upon here."""
        self._stopping.set()

    async def _observe_forever(self) -> None:
        while True:
            await self._clock.sleep(_TICK_SECONDS)
            self._observe()

    def _observe(self) -> None:
        now = self._clock.now()
        seen = self._health.observed(self._clock.monotonic(), now)
        if not seen:
            return
        self._sequence += 1
        observer = self._observer
        if len(self._waiting) == self._waiting.maxlen:
            self._drop("too_late")
        self._waiting.append(
            Observation(
                instance=observer.instance,
                epoch=observer.epoch,
                sequence=self._sequence,
                # The second in which most of the time since the last tick lies.
                second=math.floor(now.timestamp() - _TICK_SECONDS / 2),
                region=observer.region,
                endpoints=seen,
            )
        )
        self._wake.set()

    async def _send_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._send(self._waiting[0])

    async def _send(self, observation: Observation) -> None:
        if observation.second <= self._clock.now().timestamp() - WINDOW_SECONDS:
            self._drop("too_late")
            self._forget(observation)
            return
        headers = topics.cloud_event_headers(
            topics.OBSERVATIONS,
            event_id=f"{observation.instance}-{observation.epoch}-{observation.sequence}",
            source=f"/router/{observation.instance}",
            time=datetime.fromtimestamp(observation.second, UTC),
            subject=observation.instance,
        )
        value = observation_to_proto(observation).SerializeToString()
        try:
            await self._sink.send(
                topics.OBSERVATIONS.name, key=observation.instance.encode(), value=value, headers=headers
            )
        except BusUnavailableError:
            await self._clock.sleep(_RETRY_SECONDS)
            return
        except RecordTooLargeError:
            self._drop("too_large")
        else:
            self._sent.add(1)
        self._forget(observation)

    def _drop(self, reason: str) -> None:
        self._dropped.add(1, {"reason": reason})

    def _forget(self, observation: Observation) -> None:
        # It may have been pushed out while it was on its way.
        if self._waiting and self._waiting[0] is observation:
            self._waiting.popleft()


class ObservationListener:
    """Takes in what other routers have told."""

    def __init__(
        self,
        health: FleetHealth,
        observer: Observer,
        *,
        is_known: Callable[[EndpointId], bool],
        clock: Clock,
        meter: Meter,
    ) -> None:
        """Make the listener.

        Args:
            health: takes in what counts.
            observer: this router, whose own observations do not count.
            is_known: whether an endpoint is in the catalogue; what is said of others is not kept.
            clock: of this process.
            meter: counts what is heard.
        """
        self._health = health
        self._region = observer.region
        self._filter = ObservationFilter(observer.instance)
        self._is_known = is_known
        self._clock = clock
        self._heard = _HEARD.create(meter)
        self._ignored = _IGNORED.create(meter)

    def take(self, data: bytes) -> None:
        """Take in a record."""
        try:
            observation = observation_from_bytes(data)
        except ValueError as error:
            _log.warning("observation.rejected", error=str(error))
            self._ignored.add(1, {"reason": "malformed"})
            return
        now = self._clock.now()
        reason = self._filter.refuse(observation, now.timestamp())
        if reason is not None:
            self._ignored.add(1, {"reason": str(reason)})
            return
        endpoints = tuple(seen for seen in observation.endpoints if self._is_known(seen.endpoint_id))
        self._health.heard(
            replace(observation, endpoints=endpoints),
            self._clock.monotonic(),
            now,
            same_region=observation.region == self._region,
        )
        self._heard.add(1)
