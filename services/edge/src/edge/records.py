"""Records of generations, with some patience: a record is a moment behind the answer that it is about."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from contracts.ids import parse_generation_id
from edge.domain.errors import InvalidInputError, NotFoundError
from edge.ports import GenerationRecords
from servicekit.clock import Clock
from turnpike.usage.v1 import usage_event_pb2

_FIRST_PAUSE_S: Final = 0.05
# Clocks of two edges that differ must not make a record of the one final for the other.
_CLOCK_TOLERANCE_S: Final = 60.0


class Records:
    """Finds the record of a generation."""

    def __init__(
        self, records: GenerationRecords, clock: Clock, *, patience: timedelta, longest_generation: timedelta
    ) -> None:
        """Make the use case.

        Args:
            records: what is recorded.
            clock: to wait with.
            patience: how long a record that is not there yet is waited for.
            longest_generation: an older generation has its record or will never have one, so nobody waits for it.
        """
        self._records = records
        self._clock = clock
        self._patience_s = patience.total_seconds()
        self._longest_s = longest_generation.total_seconds() + self._patience_s + _CLOCK_TOLERANCE_S

    async def get(self, generation_id: str, org_id: str) -> usage_event_pb2.UsageEvent:
        """Return the record of a generation of an organisation.

        Raises:
            InvalidInputError: the id is not one of a generation.
            NotFoundError: there is none, or it belongs to another organisation.
            DependencyError: nobody could say.
        """
        try:
            parse_generation_id(generation_id)
        except ValueError as error:
            raise InvalidInputError(f"id: {error}", "id") from None
        deadline = self._clock.monotonic() + (self._patience_s if self._may_be_new(generation_id) else 0.0)
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await self._records.get(generation_id, org_id)
            except NotFoundError:
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    raise
            await self._clock.sleep(min(pause, left))
            pause *= 2

    def _may_be_new(self, generation_id: str) -> bool:
        age_s = self._clock.now().timestamp() - int(generation_id.split("-")[1])
        return -_CLOCK_TOLERANCE_S <= age_s <= self._longest_s
