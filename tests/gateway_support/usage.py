"""An edge in front of a metering that holds seeded usage, and what recounts of it need."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from edge.testing.stack import EdgeStack
from gateway_support.metering import MeteringStack
from metering.testing.seeded_usage import SeededUsage
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

TODAY = datetime.now(UTC).date()
Events = Sequence[usage_pb.UsageEvent]


@dataclass
class Filled:
    """An edge in front of a metering that holds events, three organisations' in all, from before `now`."""

    edge: EdgeStack
    metering: MeteringStack
    events: Events
    now: datetime

    async def get(self, path: str, *, key: str | None = None, status: int = 200) -> Any:
        answer = await self.edge.call("GET", path, key=self.edge.management_key if key is None else key)
        assert answer.status == status, answer.body
        return json.loads(answer.body, parse_float=Decimal)

    async def query(self, *, status: int = 200, **body: Any) -> Any:
        answer = await self.edge.call("POST", "/analytics/query", body, key=self.edge.management_key)
        assert answer.status == status, answer.body
        return json.loads(answer.body, parse_float=Decimal)

    def ours(self, first: date, last: date = TODAY) -> list[usage_pb.UsageEvent]:
        org_id = self.edge.org.org_id
        return [event for event in between(self.events, first, last) if event.org_id == org_id]

    def public(self, first: date, last: date) -> list[usage_pb.UsageEvent]:
        return [event for event in between(self.events, first, last) if event.endpoint_id and not event.private]


def seeded_events(now: datetime) -> list[usage_pb.UsageEvent]:
    """What three organisations did in the five weeks before a moment."""
    events = SeededUsage(Random(31), now - timedelta(days=34), now).events(1_500)
    events += SeededUsage(Random(32), now - timedelta(days=6), now).events(500)
    # Enough of the last half-hour that every endpoint has done something in it, and minutes in which providers were busy.
    events += SeededUsage(Random(33), now - timedelta(minutes=28), now).events(120)
    for ago in (timedelta(days=2), timedelta(minutes=10)):
        events += SeededUsage(Random(34), now - ago, now - ago + timedelta(seconds=30)).events(60)
    return events


def between(events: Events, first: date, last: date) -> list[usage_pb.UsageEvent]:
    return [event for event in events if first <= event.started_at.ToDatetime().date() <= last]


def tokens_of(events: Events) -> int:
    return sum(event.usage.prompt_tokens + event.usage.completion_tokens for event in events)


def grouped(events: Events, key: Callable[[usage_pb.UsageEvent], Any]) -> dict[Any, list[usage_pb.UsageEvent]]:
    groups: dict[Any, list[usage_pb.UsageEvent]] = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return groups


def usd(nano: int) -> Decimal:
    return Decimal(nano) / 10**9
