"""The newest value of every key of a compacted topic, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, KeysView
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Generic, TypeVar

from google.protobuf.message import DecodeError
from opentelemetry.metrics import Meter, NoOpMeter

from servicekit.clock import Clock
from servicekit.interruption import Interruption
from servicekit.kafka.cluster import ClusterState, ClusterView
from servicekit.kafka.records import TopicPartition
from servicekit.kafka.snapshot import Snapshot, read_snapshot, renew_snapshot, write_snapshot
from servicekit.kafka.topic_reader import TopicReader
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import GaugeSpec
from servicekit.settings import KafkaSettings

_log = get_logger(__name__)

V = TypeVar("V")

_RETRY_SECONDS: Final = 0.5
_SAVE_SECONDS: Final = 10.0
_ENTRIES: Final = GaugeSpec("messaging.table.entries", "{entry}", "Entries of tables kept from compacted topics.")
_AGE: Final = GaugeSpec("messaging.table.age", "s", "Time since a table was last known to be current.")


class CompactedTable(Component, Generic[V]):
    """Reads a compacted topic from its start to the end that it has then, and follows it from there.

    When the cluster is replaced by an empty one, the entries stay: they are replaced one by one by what comes. When there
    is no cluster at the start, a snapshot that is young enough does.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        clock: Clock,
        *,
        topic: str,
        decode: Callable[[bytes], V],
        supersedes: Callable[[V, V], bool],
        snapshot: Path | None = None,
        encode: Callable[[V], bytes] | None = None,
        max_snapshot_age: timedelta = timedelta(minutes=15),
        on_change: Callable[[str, V | None], None] | None = None,
        required: bool = True,
        patience: timedelta = timedelta(seconds=3),
        meter: Meter | None = None,
    ) -> None:
        """Make a table.

        Args:
            settings: of the cluster.
            clock: tells the age.
            topic: whose keys are UTF-8 text.
            decode: makes a value of a record's; raises ValueError (or protobuf's DecodeError) for one that is to be
                ignored.
            supersedes: (new, old): whether a record that was read replaces what is there. An older version that is
                read again, as after a replacement of the cluster, must not.
            snapshot: file to keep the entries in.
            encode: for the snapshot; the reverse of `decode`.
            max_snapshot_age: contact with the cluster must not be longer ago than this to start from a snapshot.
            on_change: called with the key and the new value (None: deleted) after each change, also while starting.
            required: whether `start` waits as long as it takes when there is neither a cluster nor a snapshot.
            patience: how long `start` tries to reach the cluster before it takes the snapshot, or goes on without.
            meter: measures entries and age.

        Raises:
            ValueError: `snapshot` without `encode`.
        """
        if snapshot is not None and encode is None:
            raise ValueError("a snapshot needs an encoder")
        self.name = f"kafka-table:{topic}"
        self.caught_up = False
        """Whether everything was read that the cluster had when it was last opened."""
        self._settings, self._clock, self._topic = settings, clock, topic
        self._decode, self._supersedes, self._encode, self._on_change = decode, supersedes, encode, on_change
        self._path, self._max_snapshot_age = snapshot, max_snapshot_age
        self._required, self._patience = required, patience
        self._state = ClusterState(settings, clock, self.name)
        self._stop = Interruption()
        self._finished = asyncio.Event()
        self._running = False
        self._entries: dict[str, V] = {}
        self._positions: tuple[str, dict[TopicPartition, int]] = ("", {})
        self._contact: datetime | None = None
        self._reader: TopicReader | None = None
        self._changed_since_save = False
        meter = meter or NoOpMeter("servicekit")
        attributes = {"messaging.destination.name": topic}
        _ENTRIES.create(meter, lambda: [(len(self._entries), attributes)])
        _AGE.create(meter, lambda: [(self.age().total_seconds(), attributes)] if self._contact else [])

    def get(self, key: str) -> V | None:
        """The value of a key."""
        return self._entries.get(key)

    def items(self) -> Iterator[tuple[str, V]]:
        """All entries. Not to be used across an `await`."""
        return iter(self._entries.items())

    def keys(self) -> KeysView[str]:
        """All keys, as a live view."""
        return self._entries.keys()

    def __len__(self) -> int:
        return len(self._entries)

    def age(self) -> timedelta:
        """Time since the entries were last known to be what the cluster has; `timedelta.max` if they never were."""
        return timedelta.max if self._contact is None else max(timedelta(0), self._clock.now() - self._contact)

    async def start(self) -> None:
        """Read to the end that there is now, from the beginning again if the cluster is lost on the way; or take the snapshot."""
        snapshot = await self._load()
        while not self.caught_up:
            found = await self._stop.guard(self._first_reader(), seconds=self._patience.total_seconds())
            if found.value is None and not self._stop.happened:
                if self._restore(snapshot) or not self._required:
                    return
                _log.warning("table.waiting", topic=self._topic, reason="neither a cluster nor a young snapshot")
                found = await self._stop.guard(self._first_reader())
            if found.value is None:
                return
            self._reader = found.value
            await self._catch_up(found.value)
            if found.value.end.happened:
                # Lost before the end: half a table is no table.
                await self._leave(found.value)
                await self._stop.guard(self._clock.sleep(_RETRY_SECONDS))

    async def run(self) -> None:
        """Follow the topic, on whichever cluster there is."""
        self._running = True
        try:
            async with asyncio.TaskGroup() as tasks:
                # Not cancelled: a snapshot that is being written is not to be written a second time beside it.
                tasks.create_task(self._save_often())
                watching = tasks.create_task(self._state.watch())
                try:
                    await self._follow()
                finally:
                    watching.cancel()
            await self._save()
        finally:
            self._finished.set()

    async def stop(self, grace: timedelta) -> None:
        """Stop following and write the snapshot."""
        self._stop.happen("stop")
        if self._running:
            await self._finished.wait()
            return
        if self._reader is not None:
            await self._leave(self._reader)
        self._state.close()

    async def _first_reader(self) -> TopicReader:
        while True:
            view = await self._state.refresh()
            reader = None if view is None else await self._open(view)
            if reader is not None:
                return reader
            await self._clock.sleep(_RETRY_SECONDS)

    async def _open(self, view: ClusterView) -> TopicReader | None:
        cluster_id, positions = self._positions
        reader = TopicReader(self._settings, self._topic, view, self._apply)
        if await reader.open(positions if cluster_id == view.cluster_id else {}):
            return reader
        return None

    async def _catch_up(self, reader: TopicReader) -> None:
        began = self._clock.monotonic()
        self.caught_up = False
        if (await self._stop.guard(reader.catch_up())).value:
            self.caught_up = True
            self._note_contact(reader)
            seconds = round(self._clock.monotonic() - began, 3)
            _log.info("table.caught_up", topic=self._topic, entries=len(self._entries), seconds=seconds)

    async def _follow(self) -> None:
        while not self._stop.happened:
            reader, self._reader = self._reader, None
            if reader is None:
                view = (await self._stop.guard(self._state.wait_reachable())).value
                if view is None:
                    return
                reader = (await self._stop.guard(self._open(view))).value
                if reader is None:
                    await self._stop.guard(self._clock.sleep(_RETRY_SECONDS))
                    continue
                await self._catch_up(reader)
            await self._follow_reader(reader)

    async def _follow_reader(self, reader: TopicReader) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                causes = [
                    tasks.create_task(self._end_on_replacement(reader)),
                    tasks.create_task(self._end_on_stop(reader)),
                ]
                try:
                    await reader.follow(on_current=lambda: self._note_contact(reader))
                finally:
                    for cause in causes:
                        cause.cancel()
        finally:
            await self._leave(reader)
        if not self._stop.happened:
            _log.warning("table.ended", topic=self._topic, reason=reader.end.reason)
            await self._stop.guard(self._clock.sleep(_RETRY_SECONDS))

    async def _leave(self, reader: TopicReader) -> None:
        self._reader = None
        self._positions = (reader.view.cluster_id, reader.positions)
        await reader.close()

    async def _end_on_replacement(self, reader: TopicReader) -> None:
        await self._state.wait_replaced(reader.view)
        reader.end.happen("the cluster was replaced")

    async def _end_on_stop(self, reader: TopicReader) -> None:
        await self._stop.wait()
        reader.end.happen("stop")

    def _note_contact(self, reader: TopicReader) -> None:
        self._contact = self._clock.now()
        self._positions = (reader.view.cluster_id, reader.positions)

    def _apply(self, key: str, raw: bytes | None) -> None:
        if raw is None:
            # Told even when it was not held: somebody may have learnt of the entry in another way, and must forget it.
            self._entries.pop(key, None)
            self._changed(key, None)
            return
        try:
            value = self._decode(raw)
        except (ValueError, DecodeError) as error:
            _log.error("table.record_rejected", topic=self._topic, error=type(error).__name__)
            return
        old = self._entries.get(key)
        if old is None or self._supersedes(value, old):
            self._entries[key] = value
            self._changed(key, value)

    def _changed(self, key: str, value: V | None) -> None:
        self._changed_since_save = True
        if self._on_change is not None:
            self._on_change(key, value)

    async def _load(self) -> Snapshot | None:
        if self._path is None:
            return None
        snapshot = await asyncio.to_thread(read_snapshot, self._path)
        if snapshot is None or self._clock.now() - snapshot.contact > self._max_snapshot_age:
            return None
        return snapshot

    def _restore(self, snapshot: Snapshot | None) -> bool:
        if snapshot is None:
            return False
        for key, raw in snapshot.entries:
            self._apply(key, raw)
        self._contact = snapshot.contact
        self._changed_since_save = False
        _log.warning(
            "table.restored", topic=self._topic, entries=len(self._entries), contact=snapshot.contact.isoformat()
        )
        return True

    async def _save_often(self) -> None:
        while (await self._stop.guard(self._clock.sleep(_SAVE_SECONDS))).done:
            await self._save()

    async def _save(self) -> None:
        if self._path is None or self._encode is None or self._contact is None:
            return
        try:
            if self._changed_since_save or not self._path.exists():
                self._changed_since_save = False
                entries = [(key, self._encode(value)) for key, value in self._entries.items()]
                await asyncio.to_thread(write_snapshot, self._path, self._contact, entries)
            else:
                await asyncio.to_thread(renew_snapshot, self._path, self._contact)
        except OSError as error:
            self._changed_since_save = True
            _log.error("table.snapshot_failed", topic=self._topic, path=str(self._path), error=str(error))
