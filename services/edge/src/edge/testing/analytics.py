"""One organisation's usage in memory, and behind gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from datetime import UTC
from typing import Any, Final

import grpc

from contracts import analytics
from contracts.analytics import Format
from contracts.errors import ErrorReason
from edge.domain.errors import DependencyError, RefusedError
from edge.insight_ports import Analytics
from edge.testing.organizations import wrong
from edge.testing.refusals import aborting
from turnpike.metering.v1 import analytics_service_pb2 as messages
from turnpike.metering.v1 import analytics_service_pb2_grpc as stubs

Context = grpc.aio.ServicerContext[Any, Any]
_DATE: Final = "date"
_APP: Final = "app"
_MOST_ENDED_S: Final = 32 * 86_400


class MemoryAnalytics:
    """Everybody used one endpoint, on the first day that is asked about.

    Attributes:
        chunks: of every exported file.
        breaks_off: whether every file breaks off after them.
        down: whether every call fails.
        too_heavy: whether every count takes too long.
        asked: for activity, in order.
        ended: what ended in whatever period is asked about.
    """

    def __init__(self) -> None:
        self.chunks = [b"generation_id,model\n", b"gen-1,acme/one\n"]
        self.breaks_off = False
        self.down = False
        self.too_heavy = False
        self.asked: list[messages.QueryActivityRequest] = []
        self.ended: list[messages.EndedUsage] = []

    async def activity(self, request: messages.QueryActivityRequest) -> messages.QueryActivityResponse:
        """Return one row, with what it is split by."""
        self._check_up()
        self.asked.append(request)
        split = set(request.splits)
        row = messages.ActivityRow(
            date=request.start.ToDatetime(UTC).strftime("%Y-%m-%d"),
            model="acme/one",
            endpoint_id="acme/one@acme",
            provider="acme",
            requests=3,
            prompt_tokens=21,
            completion_tokens=9,
            reasoning_tokens=2,
            cached_tokens=1,
            cost_nano_usd=39_000,
            byok_cost_nano_usd=7,
            byok_requests=1,
            workspace_id=request.org_id if messages.ACTIVITY_SPLIT_WORKSPACE in split else "",
            key_id="key-1" if messages.ACTIVITY_SPLIT_KEY in split else "",
            member_id="user-1" if messages.ACTIVITY_SPLIT_MEMBER in split else "",
            app="https://app.example" if messages.ACTIVITY_SPLIT_APP in split else "",
        )
        return messages.QueryActivityResponse(rows=[row])

    async def analytics(self, request: messages.QueryAnalyticsRequest) -> messages.QueryAnalyticsResponse:
        """Return one row of known metrics and dimensions."""
        self._check_up()
        if self.too_heavy:
            raise RefusedError(ErrorReason.TIMEOUT, "The question takes too long: ask for a shorter period")
        _check_names("metrics", request.metrics, analytics.METRICS)
        _check_names("dimensions", request.dimensions, analytics.DIMENSIONS)
        _check_names("filters", [each.field for each in request.filters], analytics.DIMENSIONS)
        _check_names("filters", [each.operator for each in request.filters], list(analytics.Operator))
        ordered_by = {*request.metrics, *request.dimensions, "request_count"}
        if request.granularity:
            ordered_by.add(_DATE)
        if request.order_by:
            _check_names("order_by", [request.order_by], ordered_by)
        answer = messages.QueryAnalyticsResponse()
        row = answer.rows.add()
        if request.granularity:
            answer.columns.append(_DATE)
            row.values.add(unix_seconds=request.start.seconds)
        for name in request.dimensions:
            answer.columns.append(name)
            row.values.add(text=f"a {name}")
            if name == _APP:
                answer.columns.append("app_id")
                row.values.add(count=1)
        for name in request.metrics:
            answer.columns.append(name)
            row.values.append(_value(analytics.METRICS[name]))
        return answer

    async def ended_usage(self, request: messages.QueryEndedUsageRequest) -> messages.QueryEndedUsageResponse:
        """Return what ended."""
        self._check_up()
        if self.too_heavy:
            raise RefusedError(ErrorReason.TIMEOUT, "The question takes too long: ask for a shorter period")
        if request.end.seconds - request.start.seconds > _MOST_ENDED_S:
            raise wrong("end", "is too long after start")
        return messages.QueryEndedUsageResponse(rows=self.ended)

    async def export(self, request: messages.ExportUsageRequest) -> AsyncGenerator[bytes]:
        """Return the same file in whatever form."""
        self._check_up()
        if request.end.seconds - request.start.seconds > analytics.DETAILED_RANGE.total_seconds():
            raise wrong("end", "is too long after start")
        for chunk in self.chunks:
            yield chunk
        if self.breaks_off:
            raise DependencyError("metering")

    def _check_up(self) -> None:
        if self.down:
            raise DependencyError("metering")


class AnalyticsServicer(stubs.AnalyticsServiceServicer):
    """Usage."""

    def __init__(self, store: Analytics) -> None:
        self._store = store

    async def QueryActivity(self, request: Any, context: Context) -> messages.QueryActivityResponse:  # noqa: N802 - named by the wire
        """Return usage by day and endpoint."""
        async with aborting(context):
            return await self._store.activity(request)

    async def QueryAnalytics(self, request: Any, context: Context) -> messages.QueryAnalyticsResponse:  # noqa: N802 - named by the wire
        """Return metrics by dimensions and time."""
        async with aborting(context):
            return await self._store.analytics(request)

    async def QueryEndedUsage(self, request: Any, context: Context) -> messages.QueryEndedUsageResponse:  # noqa: N802 - named by the wire
        """Return what ended in a period."""
        async with aborting(context):
            return await self._store.ended_usage(request)

    async def ExportUsage(self, request: Any, context: Context) -> AsyncIterator[messages.ExportUsageResponse]:  # noqa: N802 - named by the wire
        """Return a file in pieces."""
        async with aborting(context):
            async for chunk in self._store.export(request):
                yield messages.ExportUsageResponse(chunk=chunk)


def register_analytics(server: grpc.aio.Server, store: Analytics) -> Sequence[str]:
    """Serve usage."""
    stubs.add_AnalyticsServiceServicer_to_server(AnalyticsServicer(store), server)
    return []


def _value(metric: analytics.Metric) -> messages.AnalyticsValue:
    match metric.format:
        case Format.CURRENCY:
            return messages.AnalyticsValue(nano_usd=39_000)
        case Format.NUMBER:
            return messages.AnalyticsValue(count=3)
        case _:
            # Of a share or a speed there is none where nothing was measured.
            return messages.AnalyticsValue(number=0.25) if metric.detailed else messages.AnalyticsValue()


def _check_names(field: str, names: Iterable[str], known: Iterable[str]) -> None:
    found = list(names)
    if not set(found) <= set(known):
        raise wrong(field, "has an unknown name")
    if field in ("metrics", "dimensions") and len(set(found)) != len(found):
        raise wrong(field, "has a name twice")
