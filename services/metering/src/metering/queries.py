"""What may be asked of the usage events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from contracts.ids import parse_generation_id
from metering.convert import usage_row_from_proto
from metering.domain.errors import GenerationNotFoundError, InvalidQuestionError, NotReadingError
from metering.domain.ports import UsageLog
from metering.domain.usage import Dimension, UnixMs, UsageQuestion, UsageRow, UsageTotals
from metering.recent import RecentEvents
from servicekit.clock import Clock
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

_DEFAULT_PERIOD_MS: Final = timedelta(days=30) // timedelta(milliseconds=1)


class UsageQueries:
    """Answers from memory and from the store.

    A generation is found as soon as its record was read. Totals are those of the store, so an event counts after the next
    flush: half a second later, or when the store is back.
    """

    def __init__(self, log: UsageLog, recent: RecentEvents, clock: Clock, *, is_reading: Callable[[], bool]) -> None:
        """Make queries.

        Args:
            log: the store.
            recent: what was read lately.
            clock: says what now is.
            is_reading: whether usage events are being read as they come; while they are not, nobody can say that one does not exist.
        """
        self._log = log
        self._recent = recent
        self._clock = clock
        self._is_reading = is_reading

    async def generation(self, org_id: str, generation_id: str) -> UsageRow:
        """Give the usage event of a generation.

        Raises:
            InvalidQuestionError: no organisation is named.
            GenerationNotFoundError: there is none, or it belongs to another organisation.
            UsageLogError: it is not in memory, and the store cannot say.
            NotReadingError: it is neither in memory nor in the store, but it may be on its way.
        """
        if not org_id:
            raise InvalidQuestionError("org_id", "is empty")
        try:
            parse_generation_id(generation_id)
        except ValueError:
            raise GenerationNotFoundError(generation_id) from None
        recent = self._recent.get(generation_id)
        if recent is not None:
            if recent.org_id != org_id:
                raise GenerationNotFoundError(generation_id)
            return usage_row_from_proto(UsageEvent.FromString(recent.value))
        row = await self._log.find(org_id, generation_id)
        if row is None and not self._is_reading():
            raise NotReadingError("usage events are not being read")
        if row is None:
            raise GenerationNotFoundError(generation_id)
        return row

    async def usage(
        self, org_id: str, start: UnixMs | None, end: UnixMs | None, dimension: Dimension
    ) -> Sequence[UsageTotals]:
        """Add an organisation's usage up: by default of the 30 days before `end`, which is now by default.

        Raises:
            InvalidQuestionError: no organisation is named, or the period is empty.
            UsageLogError: the store cannot say.
        """
        if not org_id:
            raise InvalidQuestionError("org_id", "is empty")
        if end is None:
            end = UnixMs(int(self._clock.now().timestamp() * 1_000))
        if start is None:
            start = UnixMs(end - _DEFAULT_PERIOD_MS)
        if start >= end:
            raise InvalidQuestionError("start", "is not before end")
        return await self._log.totals(UsageQuestion(org_id, start, end, dimension))
