"""The latest usage events in memory, so that a generation can be read before its batch is in the store."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple


class RecentEvent(NamedTuple):
    """A usage event as it was read. `value` is the record's protobuf: a tenth of the memory of a decoded row."""

    org_id: str
    rank: int
    value: bytes


class RecentEvents:
    """The last `limit` events by generation id. Whoever adds keeps `limit` above what may wait for the store."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._events: OrderedDict[str, RecentEvent] = OrderedDict()

    def __len__(self) -> int:
        return len(self._events)

    def put(self, generation_id: str, event: RecentEvent) -> None:
        """Remember an event, unless one of a higher rank is known for the generation."""
        known = self._events.get(generation_id)
        if known is not None:
            if known.rank > event.rank:
                return
            self._events.move_to_end(generation_id)
        self._events[generation_id] = event
        if len(self._events) > self._limit:
            self._events.popitem(last=False)

    def get(self, generation_id: str) -> RecentEvent | None:
        """Give the event of a generation, of whichever organisation."""
        return self._events.get(generation_id)
