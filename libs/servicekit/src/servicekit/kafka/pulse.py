"""Whether a consumer still gets on: by progress, because aiokafka can wait for ever without saying so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import aiokafka
from aiokafka import AIOKafkaConsumer

from servicekit.interruption import Interruption
from servicekit.kafka.client_errors import CLIENT_ERRORS
from servicekit.kafka.records import TopicPartition
from servicekit.settings import KafkaSettings

_ANSWER_SECONDS: Final = 5.0


class Pulse:
    """Ends a consumer that does not answer, does not get its partitions, or does not get records that are there."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        settings: KafkaSettings,
        end: Interruption,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._consumer = consumer
        self._end = end
        self._on_progress = on_progress
        self._stall = settings.stall_timeout.total_seconds()
        # A group may wait for members that died, up to their session's end.
        self._longest_pause = self._stall + settings.session_timeout.total_seconds()
        self.seconds = max(0.2, min(2.0, self._stall / 5))
        """Between two beats."""
        self._ends: dict[TopicPartition, int] = {}
        self._answered = self._progressed = self._now()
        self._paused_at: float | None = None

    def pause(self) -> None:
        """The group balances."""
        self._paused_at = self._now()

    def resume(self) -> None:
        """The partitions are known."""
        self._paused_at = None
        self._answered = self._progressed = self._now()

    def note_progress(self) -> None:
        """Records came, or the handler took or refused them."""
        self._progressed = self._now()
        self._on_progress()

    def lag(self, positions: Mapping[TopicPartition, int]) -> int:
        """Records between the positions and the ends, as of the last beat."""
        return sum(max(0, self._ends.get(partition, 0) - position) for partition, position in positions.items())

    async def beat(self, positions: Mapping[TopicPartition, int], *, busy: bool) -> bool:
        """Look once; say whether the cluster answered.

        Args:
            positions: next offset of each partition.
            busy: the handler has records, so that none being fetched is no wonder.
        """
        now = self._now()
        if self._paused_at is not None:
            if now - self._paused_at > self._longest_pause:
                self._end.happen("no partitions")
            return False
        answered = await self._ask(positions)
        now = self._now()
        if answered:
            self._answered = now
        elif now - self._answered > self._stall:
            self._end.happen("no answer")
        if answered and not self.lag(positions):
            self._on_progress()
        if busy or not self.lag(positions):
            self._progressed = now
        elif now - self._progressed > self._stall:
            self._end.happen("no records")
        return answered

    async def _ask(self, positions: Mapping[TopicPartition, int]) -> bool:
        if not positions:
            return True
        asked = [aiokafka.TopicPartition(*partition) for partition in positions]
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                ends = await self._consumer.end_offsets(asked)
        except CLIENT_ERRORS:
            return False
        self._ends = {TopicPartition(*partition): end for partition, end in ends.items()}
        return True

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
