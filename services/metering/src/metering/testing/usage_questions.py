"""What tests of questions about usage have in common: events, the client, and what a refusal says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from metering.convert import usage_row_from_proto
from metering.domain.batch import BatchPlan, Span
from metering.domain.ports import UsageLog
from metering.domain.usage import UnixMs
from metering.rollups import Rollups
from metering.testing.seeded_usage import SeededUsage
from servicekit.grpc_errors import error_info
from turnpike.metering.v1 import analytics_service_pb2 as messages
from turnpike.metering.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START, END = TODAY - timedelta(days=6), TODAY + timedelta(days=1)
EVENTS = SeededUsage(Random(11), START - timedelta(days=2), datetime.now(UTC)).events(2_500)
ORG = "org-a"
Events = Sequence[usage_pb.UsageEvent]


def at(moment: datetime) -> Timestamp:
    """A moment on the wire."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


async def refused(call: Awaitable[object]) -> str:
    """The field that a call is refused for.

    Raises:
        AssertionError: it is not refused as invalid.
    """
    try:
        await call
    except grpc.aio.AioRpcError as error:
        refusal = error
    else:
        raise AssertionError("it was answered")
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT, refusal
    info = error_info(refusal)
    assert info is not None
    return info.metadata["param"]


def ours(events: Events = EVENTS, start: datetime = START, end: datetime = END) -> list[usage_pb.UsageEvent]:
    """The events of one organisation in a period."""
    return [each for each in events if each.org_id == ORG and start <= each.started_at.ToDatetime(UTC) < end]


class Asked:
    """The service, its store, and the means to fill it."""

    def __init__(
        self, log: UsageLog, rollups: Rollups, stub: AnalyticsServiceStub, empty: Callable[[str], Awaitable[None]]
    ) -> None:
        """Take what was made; `empty` takes the rows out of a table, to see who reads it."""
        self.log = log
        self.empty = empty
        self.rollups = rollups
        self.stub = stub

    async def insert(self, events: Events, batch: int = 0) -> None:
        """Put events into the store as one batch."""
        plan = BatchPlan("c", "turnpike.usage.v1", (Span(batch, 0, len(events) - 1),), UnixMs(batch))
        await self.log.append(plan, [usage_row_from_proto(event) for event in events])

    async def query(self, **members: Any) -> tuple[list[dict[str, Any]], bool]:
        """Rows by column, and whether there are more."""
        request = messages.QueryAnalyticsRequest(
            org_id=ORG, start=at(members.pop("start", START)), end=at(members.pop("end", END)), **members
        )
        answer = await self.stub.QueryAnalytics(request)
        rows = [
            {
                name: getattr(cell, kind) if (kind := cell.WhichOneof("kind")) else None
                for name, cell in zip(answer.columns, row.values, strict=True)
            }
            for row in answer.rows
        ]
        return rows, answer.truncated
