"""Publication: the outbox to Kafka, and everything to a broker that is new."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from opentelemetry.metrics import Meter

from accounts.domain.errors import StoreUnavailableError
from accounts.domain.ports import Outbox, OutboxMessage
from servicekit.clock import Clock
from servicekit.kafka import BusUnavailableError, RecordSink, RecordTooLargeError
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec

_log = get_logger(__name__)

PUBLISHED: Final = CounterSpec("accounts.publication.messages", "{message}", "Changes that reached Kafka.")
_BACKOFF_S: Final = 1.0


class Publication(Component):
    """Publishes changes soon after they are committed."""

    name = "publication"

    def __init__(
        self, outbox: Outbox, sink: RecordSink, clock: Clock, meter: Meter, *, interval: timedelta, batch: int
    ):
        """Make a publication.

        Args:
            outbox: what to publish.
            sink: where to.
            clock: paces the attempts.
            meter: counts what is published.
            interval: between two looks at an empty outbox.
            batch: changes at a time.
        """
        self._outbox = outbox
        self._sink = sink
        self._clock = clock
        self._published = PUBLISHED.create(meter)
        self._interval = interval.total_seconds()
        self._batch = batch
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Publish until `stop`."""
        while not self._stopping.is_set():
            try:
                busy = await self.publish_once()
                pause = 0.0 if busy else self._interval
            except (StoreUnavailableError, BusUnavailableError) as error:
                _log.warning("publication.deferred", error=type(error).__name__, reason=str(error))
                pause = _BACKOFF_S
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        """Publish what is committed, if that is possible within the grace."""
        self._stopping.set()
        with suppress(StoreUnavailableError, BusUnavailableError, TimeoutError):
            async with asyncio.timeout(grace.total_seconds()):
                while await self.publish_once():
                    pass

    async def publish_once(self) -> bool:
        """Publish one batch; to a cluster that is new, everything first.

        Returns:
            Whether there may be more.

        Raises:
            StoreUnavailableError: the database cannot be reached.
            BusUnavailableError: the broker cannot be reached.
        """
        cluster_id = await self._sink.cluster_id()
        published = await self._outbox.publish(cluster_id, self._batch, self._send, self._clock.now())
        if published.everything:
            _log.info("publication.completed", cluster=cluster_id, messages=published.messages)
        return published.messages >= self._batch

    async def _send(self, messages: Sequence[OutboxMessage]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for message in messages:
                    group.create_task(self._send_one(message))
        except* BusUnavailableError as errors:
            raise BusUnavailableError("the broker did not acknowledge every change") from errors
        self._published.add(len(messages))

    async def _send_one(self, message: OutboxMessage) -> None:
        try:
            await self._sink.send(
                message.topic, key=message.key.encode(), value=message.value, headers=dict(message.headers)
            )
        except RecordTooLargeError:
            # Only a dead letter can be: the quarantine table has it, and it must not hold up the others.
            _log.error("message.refused", topic=message.topic, size=len(message.value or b""))
