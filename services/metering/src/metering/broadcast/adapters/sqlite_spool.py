"""The spool as an SQLite file: what waits for each destination, and how far the usage topic was read.

Every change is one transaction that is on the disk before it returns (`synchronous=FULL`). One thread has the file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar
from uuid import uuid4

from metering.broadcast.domain.deliveries import Batch, Progress, Totals, WaitingEvent
from servicekit.lifecycle import Component

T = TypeVar("T")

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS spool (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS offsets (
    cluster_id TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
    PRIMARY KEY (cluster_id, topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    destination_id TEXT NOT NULL, event_id TEXT NOT NULL, rank INTEGER NOT NULL, ended_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL, key_name TEXT NOT NULL, payload BLOB NOT NULL,
    planned INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS events_once ON events (destination_id, event_id, rank);
CREATE INDEX IF NOT EXISTS events_in_order ON events (destination_id, planned, sequence);
CREATE TABLE IF NOT EXISTS totals (
    destination_id TEXT PRIMARY KEY, delivered INTEGER NOT NULL, refused INTEGER NOT NULL, dropped INTEGER NOT NULL,
    failures INTEGER NOT NULL, delivered_ms INTEGER, failing_since_ms INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS targets (destination_id TEXT PRIMARY KEY, revision INTEGER NOT NULL, record BLOB NOT NULL)
    WITHOUT ROWID;
"""
_COLUMNS: Final = "event_id, rank, ended_ms, received_ms, key_name, payload"
_HOUR_MS: Final = 3_600_000


class SqliteSpool(Component):
    """The Spool in a file."""

    name = "spool"

    def __init__(self, folder: Path) -> None:
        """Make a spool.

        Args:
            folder: that the file is in; it is made when it is not there.
        """
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._database: sqlite3.Connection | None = None
        self.identity = ""
        """Names this spool for ever: what is counted here is counted under it."""

    async def start(self) -> None:
        """Open the file."""
        self.identity = await self._do(self._open)

    async def stop(self, grace: timedelta) -> None:
        """Close the file."""
        await self._do(self._close)
        self._thread.shutdown()

    async def offsets(self, cluster_id: str) -> Mapping[tuple[str, int], int]:
        """Return the next offset by topic and partition."""

        def read(database: sqlite3.Connection) -> Mapping[tuple[str, int], int]:
            rows = database.execute(
                "SELECT topic, partition, next_offset FROM offsets WHERE cluster_id = ?", (cluster_id,)
            )
            return {(topic, partition): offset for topic, partition, offset in rows}

        return await self._in_transaction(read)

    async def put(self, position: tuple[str, str, int, int], events: Sequence[tuple[str, WaitingEvent]]) -> None:
        """Keep events by destination, and the position in the topic, in one transaction."""

        def write(database: sqlite3.Connection) -> None:
            database.executemany(
                "INSERT OR IGNORE INTO events (destination_id, event_id, rank, ended_ms, received_ms, key_name, payload) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (name, each.event_id, each.rank, each.ended_ms, each.received_ms, each.key_name, each.payload)
                    for name, each in events
                ],
            )
            database.execute(
                "INSERT INTO offsets VALUES (?, ?, ?, ?) "
                "ON CONFLICT (cluster_id, topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
                position,
            )

        await self._in_transaction(write)

    async def plan(
        self, destination_id: str, *, limit: int, ripe_until_ms: int, received_until_ms: int
    ) -> Batch | None:
        """Return the batch that is being sent, or put one together: of the oldest events, all of one hour."""

        def write(database: sqlite3.Connection) -> Batch | None:
            planned = database.execute(
                f"SELECT {_COLUMNS} FROM events WHERE destination_id = ? AND planned = 1 ORDER BY sequence",  # noqa: S608 - constant columns
                (destination_id,),
            ).fetchall()
            if planned:
                return Batch(destination_id, [WaitingEvent(*row) for row in planned])
            rows = database.execute(
                f"SELECT {_COLUMNS}, sequence FROM events "  # noqa: S608 - constant columns
                "WHERE destination_id = ? AND planned = 0 AND received_ms <= ? ORDER BY sequence LIMIT ?",
                (destination_id, received_until_ms, limit),
            ).fetchall()
            events = [WaitingEvent(*row[:-1]) for row in rows]
            if not events or (len(events) < limit and events[0].received_ms > ripe_until_ms):
                return None
            hour = events[0].ended_ms // _HOUR_MS
            chosen = [
                (event, row[-1]) for event, row in zip(events, rows, strict=True) if event.ended_ms // _HOUR_MS == hour
            ]
            database.executemany(
                "UPDATE events SET planned = 1 WHERE sequence = ?", [(number,) for _, number in chosen]
            )
            return Batch(destination_id, [event for event, _ in chosen])

        return await self._in_transaction(write)

    async def split(self, destination_id: str) -> None:
        """Take the batch that is being sent apart: its events wait again."""

        def write(database: sqlite3.Connection) -> None:
            database.execute(
                "UPDATE events SET planned = 0 WHERE destination_id = ? AND planned = 1", (destination_id,)
            )

        await self._in_transaction(write)

    async def finish(self, batch: Batch, totals: Totals) -> None:
        """Forget the events of a batch, and keep the totals, in one transaction."""

        def write(database: sqlite3.Connection) -> None:
            database.executemany(
                "DELETE FROM events WHERE destination_id = ? AND event_id = ? AND rank = ?",
                [(batch.destination_id, event.event_id, event.rank) for event in batch.events],
            )
            _put_totals(database, batch.destination_id, totals)

        await self._in_transaction(write)

    async def keep_totals(self, destination_id: str, totals: Totals) -> None:
        """Keep what was counted."""
        await self._in_transaction(lambda database: _put_totals(database, destination_id, totals))

    async def drop_oldest(self, destination_id: str, count: int, totals: Totals) -> int:
        """Forget the oldest events that are not being sent, so many at most, count them as dropped; return how many."""

        def write(database: sqlite3.Connection) -> int:
            dropped = database.execute(
                "DELETE FROM events WHERE sequence IN ("
                "SELECT sequence FROM events WHERE destination_id = ? AND planned = 0 ORDER BY sequence LIMIT ?)",
                (destination_id, count),
            ).rowcount
            totals.dropped += dropped
            _put_totals(database, destination_id, totals)
            return dropped

        return await self._in_transaction(write)

    async def progress(self) -> Mapping[str, Progress]:
        """Return how every destination is doing."""

        def read(database: sqlite3.Connection) -> Mapping[str, Progress]:
            found = {
                name: Progress(Totals(*counts)) for name, *counts in database.execute("SELECT * FROM totals").fetchall()
            }
            waiting = database.execute("SELECT destination_id, count(*) FROM events GROUP BY destination_id")
            for name, count in waiting.fetchall():
                found.setdefault(name, Progress()).waiting = count
            return found

        return await self._in_transaction(read)

    async def targets(self) -> list[tuple[int, bytes]]:
        """Return the destinations that were kept, with their revisions, sealed as they came."""

        def read(database: sqlite3.Connection) -> list[tuple[int, bytes]]:
            return database.execute("SELECT revision, record FROM targets ORDER BY revision").fetchall()

        return await self._in_transaction(read)

    async def keep_targets(self, records: Sequence[tuple[str, int, bytes]]) -> None:
        """Keep destinations by id with their revisions, in place of what was kept of them."""

        def write(database: sqlite3.Connection) -> None:
            database.executemany(
                "INSERT INTO targets VALUES (?, ?, ?) ON CONFLICT (destination_id) "
                "DO UPDATE SET revision = excluded.revision, record = excluded.record",
                records,
            )

        await self._in_transaction(write)

    def _open(self) -> str:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        database = sqlite3.connect(self._folder / "spool.sqlite", isolation_level=None, check_same_thread=True)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA busy_timeout = 5000")
        database.executescript(_SCHEMA)
        database.execute("INSERT OR IGNORE INTO spool VALUES ('identity', ?)", (uuid4().hex,))
        self._database = database
        return str(database.execute("SELECT value FROM spool WHERE name = 'identity'").fetchone()[0])

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    async def _in_transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            if self._database is None:
                raise RuntimeError("not started")
            database = self._database
            database.execute("BEGIN IMMEDIATE")
            try:
                result = work(database)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
            return result

        return await self._do(run)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _put_totals(database: sqlite3.Connection, destination_id: str, totals: Totals) -> None:
    values = (
        destination_id, totals.delivered, totals.refused, totals.dropped, totals.failures, totals.delivered_ms,
        totals.failing_since_ms,
    )  # fmt: skip
    database.execute("INSERT OR REPLACE INTO totals VALUES (?, ?, ?, ?, ?, ?, ?)", values)
