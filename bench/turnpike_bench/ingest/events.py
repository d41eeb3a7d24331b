"""Many usage events from a seed, fast: a few thousand kinds of them, each event with an id and a time of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple

from contracts.ids import new_generation_id, usage_event_id
from contracts.usage import InvalidUsageEventError, validate_usage_event
from metering.testing.seeded_usage import SeededUsage
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

_KINDS: Final = 2_000
_MS: Final = 1_000


class Event(NamedTuple):
    """A record of the usage topic, and what of it is recounted. Times in Unix milliseconds."""

    key: bytes
    value: bytes
    event_id: str
    started_ms: int
    cost_nano_usd: int


def _is_valid(event: UsageEvent) -> bool:
    """Some of the seeded ones break a rule that the store does not know of, only its door."""
    try:
        validate_usage_event(event)
    except InvalidUsageEventError:
        return False
    return True


def seeded_events(
    count: int, seed: int, start: datetime | None = None, over: timedelta = timedelta(hours=6)
) -> Iterator[Event]:
    """Make events that start evenly spread over a time, in order.

    Args:
        count: how many.
        seed: the same events for the same seed.
        start: when the first one starts; some hours ago if it is not said.
        over: which the starts are spread over.
    """
    random = Random(seed)
    begin = start or datetime.now(UTC) - over
    kinds = [
        event for event in SeededUsage(random, begin, begin + timedelta(seconds=1)).events(_KINDS) if _is_valid(event)
    ]
    first = int(begin.timestamp() * _MS)
    span = int(over.total_seconds() * _MS)
    for number in range(count):
        event = kinds[number % len(kinds)]
        lasted = event.ended_at.ToMilliseconds() - event.started_at.ToMilliseconds()
        started = first + number * span // count
        event.started_at.FromMilliseconds(started)
        event.ended_at.FromMilliseconds(started + lasted)
        event.generation_id = new_generation_id(started // _MS, random)
        event.event_id = usage_event_id(event.generation_id)
        yield Event(event.org_id.encode(), event.SerializeToString(), event.event_id, started, event.cost_nano_usd)
