"""Sending of records, each acknowledged by the cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from opentelemetry.metrics import Meter, NoOpMeter

from servicekit.clock import Clock
from servicekit.interruption import raise_if_ours
from servicekit.kafka.cluster import ClusterState, ClusterView, client_options
from servicekit.kafka.disposal import dispose_producer, open_client
from servicekit.kafka.records import BusUnavailableError, RecordTooLargeError
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec
from servicekit.settings import KafkaSettings

_log = get_logger(__name__)

_START_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.5
_BATCH_BYTES: Final = 256 * 1024
_SENT: Final = CounterSpec(
    "messaging.client.sent.messages", "{message}", "Records that were sent, or not (error.type)."
)


class RecordSink(Component):
    """An idempotent producer that survives its brokers.

    It is made anew after any error of the producer and when the cluster was replaced. It starts without a broker; until
    there is one, `send` raises.
    """

    def __init__(self, settings: KafkaSettings, clock: Clock, client_id: str, *, meter: Meter | None = None) -> None:
        """Make a sink.

        Args:
            settings: of the cluster.
            clock: paces the retries.
            client_id: how brokers name this client in their logs.
            meter: counts what is sent.
        """
        self.name = f"kafka-sink:{client_id}"
        self.on_new_cluster: list[Callable[[str], None]] = []
        """Called with the id whenever this sink first reaches a cluster: at the first contact and after a replacement."""
        self._settings = settings
        self._clock = clock
        self._client_id = client_id
        self._sent = _SENT.create(meter or NoOpMeter("servicekit"))
        self._state = ClusterState(settings, clock, client_id)
        self._slots = asyncio.Semaphore(settings.max_in_flight)
        self._producer: AIOKafkaProducer | None = None
        self._view: ClusterView | None = None
        self._turned = asyncio.Event()
        self._broken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failed_attempt = False
        self._waiting = 0
        self._idle = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether there is a producer and the cluster answered lately."""
        return self._producer is not None and self._state.reachable is True

    async def send(self, topic: str, *, key: bytes, value: bytes | None, headers: Mapping[str, str]) -> None:
        """Send a record; it is written to all in-sync replicas when this returns.

        Args:
            topic: where to.
            key: chooses the partition; records with one key keep their order if each is sent after the one before.
            value: None deletes the key from a compacted topic.
            headers: with the trace context, if any (`tracing.inject_headers`).

        Raises:
            BusUnavailableError: no acknowledgement in time. The record may have been written all the same.
            RecordTooLargeError: never send it again.
        """
        self._waiting += 1
        self._idle.clear()
        producer: AIOKafkaProducer | None = None
        encoded = [(name, text.encode()) for name, text in headers.items()]
        try:
            async with asyncio.timeout(self._settings.send_timeout.total_seconds()), self._slots:
                producer = await self._usable()
                acknowledgement = await producer.send(topic, value=value, key=key, headers=encoded)
                await acknowledgement
        except TimeoutError:
            self._fail(producer, topic, "TimeoutError")
            raise BusUnavailableError(f"no acknowledgement from {topic} in {self._settings.send_timeout}") from None
        except MessageSizeTooLargeError as error:
            self._sent.add(1, {"messaging.destination.name": topic, "error.type": "RecordTooLargeError"})
            raise RecordTooLargeError(f"too large for {topic}") from error
        except (KafkaError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError):
                raise_if_ours(error)
            self._fail(producer, topic, type(error).__name__)
            raise BusUnavailableError(f"{topic}: {type(error).__name__}") from error
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._idle.set()
        self._sent.add(1, {"messaging.destination.name": topic})

    async def cluster_id(self) -> str:
        """The id of the cluster that records go to now.

        Raises:
            BusUnavailableError: no contact within the send timeout.
        """
        try:
            async with asyncio.timeout(self._settings.send_timeout.total_seconds()):
                await self._usable()
        except TimeoutError:
            raise BusUnavailableError("no contact with the cluster") from None
        if self._view is None:
            raise BusUnavailableError("no contact with the cluster")
        return self._view.cluster_id

    async def run(self) -> None:
        """Keep a producer."""
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._state.watch())
                serving = tasks.create_task(self._serve())
                await self._stopping.wait()
                serving.cancel()
                watching.cancel()
        finally:
            # A producer that was being opened when `stop` closed the one that there was.
            await self._drop()

    async def stop(self, grace: timedelta) -> None:
        """Wait for the acknowledgement of what was sent, then close."""
        if self._waiting and self._producer is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace.total_seconds()):
                    await self._idle.wait()
        self._stopping.set()
        self._turn()
        await self._drop()

    def in_flight(self) -> int:
        """Records that wait for their acknowledgement."""
        return self._waiting

    async def _usable(self) -> AIOKafkaProducer:
        while self._producer is None:
            if self._stopping.is_set():
                raise BusUnavailableError("the sink has stopped")
            if self._failed_attempt:
                raise BusUnavailableError("no contact with the cluster")
            await self._turned.wait()
        return self._producer

    async def _serve(self) -> None:
        while True:
            if self._state.reachable is False:
                self._failed_attempt = True
                self._turn()
                await self._state.wait_change()
                continue
            view = await self._first_view()
            if view is None:
                continue
            if not await self._open(view):
                self._failed_attempt = True
                self._turn()
                await self._clock.sleep(_RETRY_SECONDS)
                continue
            await self._until_lost(view)
            await self._drop()

    async def _first_view(self) -> ClusterView | None:
        if self._state.view is None or self._state.reachable is not True:
            await self._state.wait_change()
            return None
        return self._state.view

    async def _open(self, view: ClusterView) -> bool:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.brokers,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            linger_ms=int(self._settings.linger.total_seconds() * 1000),
            max_batch_size=_BATCH_BYTES,
            compression_type=None if self._settings.compression == "none" else self._settings.compression,
            **client_options(self._settings),
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                await open_client(producer)
        except (KafkaError, OSError, TimeoutError) as error:
            _log.warning("sink.open_failed", client=self._client_id, error=type(error).__name__)
            await dispose_producer(producer)
            return False
        except asyncio.CancelledError:
            await dispose_producer(producer)
            raise
        is_new = self._view is None or self._view.cluster_id != view.cluster_id
        self._producer, self._view, self._failed_attempt = producer, view, False
        self._broken = asyncio.Event()
        self._turn()
        _log.info("sink.opened", client=self._client_id, cluster=view.cluster_id, new=is_new)
        if is_new:
            for callback in self.on_new_cluster:
                callback(view.cluster_id)
        return True

    async def _until_lost(self, view: ClusterView) -> None:
        async with asyncio.TaskGroup() as tasks:
            waits = [tasks.create_task(self._state.wait_replaced(view)), tasks.create_task(self._wait_broken())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _wait_broken(self) -> None:
        await self._broken.wait()

    async def _drop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await dispose_producer(producer)

    def _fail(self, producer: AIOKafkaProducer | None, topic: str, kind: str) -> None:
        self._sent.add(1, {"messaging.destination.name": topic, "error.type": kind})
        if producer is not None and producer is self._producer and not self._broken.is_set():
            # After a lost batch the sequence numbers of an idempotent producer are of no use.
            _log.warning("sink.broken", client=self._client_id, topic=topic, error=kind)
            self._broken.set()

    def _turn(self) -> None:
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()
