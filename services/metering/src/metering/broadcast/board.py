"""How every destination is doing, in memory: what the intake adds to and the deliveries take from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from opentelemetry.metrics import Meter

from metering.broadcast.domain.deliveries import Progress
from servicekit.metrics import CounterSpec, GaugeSpec

_WAITING = GaugeSpec(
    "broadcast.events.waiting", "{event}", "Usage events that wait to be sent, to all destinations together."
)
_FAILING = GaugeSpec("broadcast.destinations.failing", "{destination}", "Destinations whose last attempt failed.")
_EVENTS = CounterSpec(
    "broadcast.events.ended",
    "{event}",
    "Usage events that wait no more, by result: delivered, refused, dropped, filtered.",
)


class Board:
    """Progress by destination, and who waits for news of it."""

    def __init__(self, meter: Meter) -> None:
        self._progress: dict[str, Progress] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._ended = _EVENTS.create(meter)
        self.total = 0
        """Events that wait, in all."""
        _WAITING.create(meter, lambda: self.total)
        _FAILING.create(meter, self._failing)

    def load(self, found: Mapping[str, Progress]) -> None:
        """Begin with what a spool has."""
        self._progress = dict(found)
        self.total = sum(each.waiting for each in found.values())

    def of(self, destination_id: str) -> Progress:
        """How a destination is doing."""
        return self._progress.setdefault(destination_id, Progress())

    def all(self) -> Mapping[str, Progress]:
        """How all are doing."""
        return self._progress

    def added(self, destination_id: str, count: int) -> None:
        """Events wait from now on."""
        self.of(destination_id).waiting += count
        self.total += count
        self.news(destination_id).set()

    def removed(self, destination_id: str, count: int, result: str) -> None:
        """Events wait no more."""
        self.of(destination_id).waiting -= count
        self.total -= count
        self._ended.add(count, {"broadcast.result": result})

    def news(self, destination_id: str) -> asyncio.Event:
        """Set when events came for a destination, or it changed."""
        return self._news.setdefault(destination_id, asyncio.Event())

    def longest(self) -> str | None:
        """The destination for which most events wait."""
        name = max(self._progress, key=lambda each: self._progress[each].waiting, default=None)
        return name if name is not None and self._progress[name].waiting else None

    def _failing(self) -> int:
        return sum(1 for each in list(self._progress.values()) if each.totals.failing_since_ms is not None)
