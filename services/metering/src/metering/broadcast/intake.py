"""From the usage topic into the spool: which events wait for which destinations. Nothing here waits for a destination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from contracts.usage import InvalidUsageEventError
from metering.broadcast.board import Board
from metering.broadcast.domain.deliveries import WaitingEvent
from metering.broadcast.domain.filters import Search, asks_for_content, lets_through
from metering.broadcast.domain.ports import KeyNames, Spool, TargetDirectory
from metering.broadcast.domain.spans import facts_of
from metering.broadcast.domain.targets import Target
from metering.convert import usage_event_from_bytes, usage_row_from_proto
from metering.domain.usage import UsageRow
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.kafka import Record, TopicPartition
from servicekit.logs import get_logger

_log = get_logger(__name__)


class Intake:
    """Takes records of the usage topic. Its offsets are in the spool, so an event waits there before it counts as read."""

    def __init__(
        self,
        spool: Spool,
        board: Board,
        targets: TargetDirectory,
        names: KeyNames,
        search: Search,
        clock: Clock,
        failpoints: Failpoints,
        *,
        most_of_one: int,
        most: int,
    ) -> None:
        """Make a handler.

        Args:
            spool: where events wait.
            board: knows how many.
            targets: the destinations.
            names: of API keys.
            search: finds regular expressions.
            clock: says when an event came.
            failpoints: for tests.
            most_of_one: events that wait for one destination.
            most: events that wait in all.
        """
        self._spool, self._board, self._targets, self._names = spool, board, targets, names
        self._search, self._clock, self._failpoints = search, clock, failpoints
        self._most_of_one, self._most = most_of_one, most

    async def start_offsets(
        self, cluster_id: str, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Where to begin; a partition that was never read begins at its first record."""
        found = await self._spool.offsets(cluster_id)
        return {each: found[each] for each in partitions if each in found}

    async def handle(self, cluster_id: str, partition: TopicPartition, records: Sequence[Record]) -> None:
        """Take records: they wait in the spool when this returns."""
        # A destination that was made before these events were read gets them.
        await self._targets.refresh()
        now_ms = int(self._clock.now().timestamp() * 1000)
        waiting: list[tuple[str, WaitingEvent]] = []
        for record in records:
            waiting.extend(self._chosen(record, now_ms))
        position = (cluster_id, partition.topic, partition.partition, records[-1].offset + 1)
        await self._spool.put(position, waiting)
        self._failpoints.reach("events-spooled")
        for name, count in Counter(name for name, _ in waiting).items():
            self._board.added(name, count)
            await self._shorten(name, self._board.of(name).waiting - self._most_of_one)
        while (over := self._board.total - self._most) > 0:
            name = self._board.longest() or ""
            if not await self._shorten(name, over):
                break

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is held that belongs to a partition."""

    def _chosen(self, record: Record, now_ms: int) -> list[tuple[str, WaitingEvent]]:
        try:
            event = usage_event_from_bytes(record.value)
        except InvalidUsageEventError:
            # Metering sends it to the dead letters.
            return []
        row = usage_row_from_proto(event)
        targets = self._targets.of(row.org_id, row.workspace_id or row.org_id)
        if not targets:
            return []
        key_name, digest = self._names.name_of(row.key_id), self._names.digest_of(row.key_id)
        waiting = WaitingEvent(row.event_id, row.rank, row.ended_at, now_ms, key_name, record.value or b"")
        return [(each.destination_id, waiting) for each in targets if self._wants(each, row, key_name, digest)]

    def _wants(self, target: Target, row: UsageRow, key_name: str, digest: str) -> bool:
        if row.ended_at < target.created_ms or not target.samples(row.session_id, row.generation_id):
            return False
        if not digest:
            # A key that was made a moment ago: who it is is known when the event is sent.
            return True
        if target.allowed_digests is not None and digest not in target.allowed_digests:
            return False
        # What was said is asked for when it is sent.
        return asks_for_content(target.rules) or lets_through(target.rules, facts_of(row, key_name, None), self._search)

    async def _shorten(self, name: str, over: int) -> int:
        if over <= 0:
            return 0
        dropped = await self._spool.drop_oldest(name, over, self._board.of(name).totals)
        if dropped:
            self._board.removed(name, dropped, "dropped")
            _log.warning("events.dropped", destination_id=name, count=dropped)
        return dropped
