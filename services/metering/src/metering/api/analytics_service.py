"""The gRPC service of what one organisation used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc

from contracts import analytics
from contracts.analytics import Format
from metering.api.errors import aborting
from metering.convert import unix_ms_from_proto
from metering.domain.analytics import (
    DATE,
    Activity,
    ActivityQuestion,
    Analytics,
    AnalyticsAnswer,
    Split,
    filter_of,
    question_of,
)
from metering.domain.errors import InvalidQuestionError
from metering.domain.export import ExportFormat, UsageExport
from metering.domain.usage import UnixMs
from turnpike.metering.v1 import analytics_service_pb2 as messages
from turnpike.metering.v1 import analytics_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["AnalyticsService"].full_name

_SPLITS: Final = {
    messages.ACTIVITY_SPLIT_WORKSPACE: Split.WORKSPACE,
    messages.ACTIVITY_SPLIT_KEY: Split.KEY,
    messages.ACTIVITY_SPLIT_MEMBER: Split.MEMBER,
    messages.ACTIVITY_SPLIT_APP: Split.APP,
}
_FORMATS: Final = {
    messages.EXPORT_FORMAT_CSV: ExportFormat.CSV,
    messages.EXPORT_FORMAT_PARQUET: ExportFormat.PARQUET,
}
_CHUNK: Final = 256 * 1024
_AT_A_TIME: Final = 1_000  # rows, before others have their turn: some 3 ms
_DAY_MS: Final = 86_400_000
_MAX_DAYS: Final = 366
_MAX_ENDED_DAYS: Final = 32
_Context = grpc.aio.ServicerContext[Any, Any]


class AnalyticsServicer(stubs.AnalyticsServiceServicer):
    """Answers out of the store."""

    def __init__(self, store: Analytics, export: UsageExport) -> None:
        self._store = store
        self._export = export

    async def QueryActivity(  # noqa: N802 - named by the wire
        self, request: messages.QueryActivityRequest, context: _Context
    ) -> messages.QueryActivityResponse:
        """Return usage by day and endpoint."""
        async with aborting(context):
            rows = await self._store.activity(_activity_question(request))
            answer = messages.QueryActivityResponse()
            for at in range(0, len(rows), _AT_A_TIME):
                answer.rows.extend([_activity_to_proto(row) for row in rows[at : at + _AT_A_TIME]])
                await asyncio.sleep(0)
            return answer

    async def QueryAnalytics(  # noqa: N802 - named by the wire
        self, request: messages.QueryAnalyticsRequest, context: _Context
    ) -> messages.QueryAnalyticsResponse:
        """Return metrics by dimensions and time."""
        async with aborting(context):
            start, end = _period(request)
            question = question_of(
                org_id=request.org_id,
                start=start,
                end=end,
                metrics=request.metrics,
                dimensions=request.dimensions,
                filters=[
                    filter_of(each.field, each.operator, each.values, include_unset=each.include_unset)
                    for each in request.filters
                ],
                granularity=request.granularity,
                order_by=request.order_by,
                descending=request.descending,
                limit=request.limit,
                group_limit=request.group_limit,
            )
            return _answer_to_proto(await self._store.analytics(question))

    async def QueryEndedUsage(  # noqa: N802 - named by the wire
        self, request: messages.QueryEndedUsageRequest, context: _Context
    ) -> messages.QueryEndedUsageResponse:
        """Return what generations cost that ended in a period."""
        async with aborting(context):
            start, end = _period(request)
            if end - start > _MAX_ENDED_DAYS * _DAY_MS:
                raise InvalidQuestionError("end", f"is more than {_MAX_ENDED_DAYS} days after start")
            rows = await self._store.ended_usage(request.org_id, start, end)
            return messages.QueryEndedUsageResponse(rows=[messages.EndedUsage(**row._asdict()) for row in rows])

    async def ExportUsage(  # noqa: N802 - named by the wire
        self, request: messages.ExportUsageRequest, context: _Context
    ) -> AsyncIterator[messages.ExportUsageResponse]:
        """Return usage events as a file, in pieces."""
        async with aborting(context):
            form = _FORMATS.get(request.format)
            if form is None:
                raise InvalidQuestionError("format", "must be csv or parquet")
            start, end = _period(request)
            if end - start > analytics.DETAILED_RANGE.days * _DAY_MS:
                raise InvalidQuestionError("end", f"is more than {analytics.DETAILED_RANGE.days} days after start")
            async for piece in self._export.export(request.org_id, start, end, form):
                for at in range(0, len(piece), _CHUNK):
                    yield messages.ExportUsageResponse(chunk=piece[at : at + _CHUNK])


def _period(
    request: messages.QueryActivityRequest
    | messages.QueryAnalyticsRequest
    | messages.ExportUsageRequest
    | messages.QueryEndedUsageRequest,
) -> tuple[UnixMs, UnixMs]:
    if not request.org_id:
        raise InvalidQuestionError("org_id", "is empty")
    for name in ("start", "end"):
        if not request.HasField(name):
            raise InvalidQuestionError(name, "is absent")
    start, end = unix_ms_from_proto(request.start), unix_ms_from_proto(request.end)
    if start >= end:
        raise InvalidQuestionError("start", "is not before end")
    return start, end


def _activity_question(request: messages.QueryActivityRequest) -> ActivityQuestion:
    start, end = _period(request)
    if start % _DAY_MS or end % _DAY_MS:
        raise InvalidQuestionError("start", "and end must be the beginning of a UTC day")
    if end - start > _MAX_DAYS * _DAY_MS:
        raise InvalidQuestionError("end", f"is more than {_MAX_DAYS} days after start")
    if not set(request.splits) <= set(_SPLITS):
        raise InvalidQuestionError("splits", "has an unknown value")
    return ActivityQuestion(
        org_id=request.org_id,
        start=start,
        end=end,
        key_id=request.key_id,
        member_id=request.member_id,
        workspace_id=request.workspace_id,
        splits=frozenset(_SPLITS[split] for split in request.splits),
    )


def _activity_to_proto(row: Activity) -> messages.ActivityRow:
    return messages.ActivityRow(**row._asdict())


def _answer_to_proto(answer: AnalyticsAnswer) -> messages.QueryAnalyticsResponse:
    return messages.QueryAnalyticsResponse(
        columns=answer.columns,
        rows=[_row_to_proto(answer.columns, row) for row in answer.rows],
        truncated=answer.truncated,
    )


def _row_to_proto(columns: Sequence[str], row: Sequence[object]) -> messages.AnalyticsRow:
    message = messages.AnalyticsRow()
    for name, value in zip(columns, row, strict=True):
        cell = message.values.add()
        if value is None:
            continue
        metric = analytics.METRICS.get(name)
        if name == DATE:
            cell.unix_seconds = int(str(value))
        elif metric is not None and metric.format is Format.CURRENCY:
            cell.nano_usd = int(str(value))
        elif isinstance(value, int):
            cell.count = value
        elif isinstance(value, float):
            cell.number = value
        else:
            cell.text = str(value)
    return message
