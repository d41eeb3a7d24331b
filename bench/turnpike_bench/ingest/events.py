"""Many usage events from a seed, fast: a few thousand kinds of them, each event with an id and a time of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple

from contracts.ids import new_generation_id, usage_event_id
from contracts.usage import InvalidUsageEventError, validate_usage_event
from metering.testing.seeded_usage import SeededUsage
from turnpike.usage.v1.usage_event_pb2 import (
    ATTEMPT_OUTCOME_RATE_LIMITED,
    ATTEMPT_OUTCOME_SUCCESS,
    GENERATION_STATUS_COMPLETED,
    UsageEvent,
)

_KINDS: Final = 2_000
_MS: Final = 1_000


class Call(NamedTuple):
    """What one attempt adds to the minute of its endpoint. `prompt_tokens` is that of the answer, if it gave one."""

    endpoint_id: str
    successes: int
    rate_limited: int
    prompt_tokens: int


class Event(NamedTuple):
    """A record of the usage topic, and what of it is recounted. Times in Unix milliseconds."""

    key: bytes
    value: bytes
    event_id: str
    started_ms: int
    cost_nano_usd: int
    calls: tuple[Call, ...]


def _calls(event: UsageEvent) -> tuple[Call, ...]:
    calls = []
    for attempt in event.attempts:
        succeeded = attempt.outcome == ATTEMPT_OUTCOME_SUCCESS
        answered = (
            succeeded and event.status == GENERATION_STATUS_COMPLETED and attempt.endpoint_id == event.endpoint_id
        )
        calls.append(
            Call(
                attempt.endpoint_id,
                int(succeeded),
                int(attempt.outcome == ATTEMPT_OUTCOME_RATE_LIMITED),
                event.usage.prompt_tokens if answered else 0,
            )
        )
    return tuple(calls)


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
    calls = [_calls(event) for event in kinds]
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
        yield Event(
            event.org_id.encode(),
            event.SerializeToString(),
            event.event_id,
            started,
            event.cost_nano_usd,
            calls[number % len(kinds)],
        )
