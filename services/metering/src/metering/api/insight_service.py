"""The gRPC service of figures over all organisations."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from metering.api.errors import aborting
from metering.domain.endpoint_stats import EndpointStatsStore
from metering.domain.errors import InvalidQuestionError
from metering.domain.insight import (
    MAX_PROVIDER_DAYS,
    TURN_RANGES,
    Insight,
    Period,
    RankedKind,
    RankingQuestion,
    SessionQuestion,
    ShareHolder,
    TrafficFilter,
    check_days,
    context_bucket_of,
)
from metering.domain.rollups import UnixSeconds
from metering.stats_convert import stats_to_proto
from servicekit.clock import Clock
from turnpike.metering.v1 import insight_service_pb2 as messages
from turnpike.metering.v1 import insight_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["InsightService"].full_name

_MAX_ENDPOINTS: Final = 1_000
_MAX_RANKED: Final = 100
_MAX_OFFSET: Final = 1_000
_MAX_SESSION_ROWS: Final = 500
_MAX_SESSION_OFFSET: Final = 5_000
_PERIODS: Final = {
    messages.PERIOD_UNSPECIFIED: Period.DAY,
    messages.PERIOD_DAY: Period.DAY,
    messages.PERIOD_WEEK: Period.WEEK,
    messages.PERIOD_MONTH: Period.MONTH,
}
_KINDS: Final = {messages.RANKED_KIND_MODEL: RankedKind.MODEL, messages.RANKED_KIND_APP: RankedKind.APP}
_HOLDERS: Final = {
    messages.SHARE_HOLDER_AUTHOR: ShareHolder.AUTHOR,
    messages.SHARE_HOLDER_PROVIDER: ShareHolder.PROVIDER,
}
_Context = grpc.aio.ServicerContext[Any, Any]


class InsightServicer(stubs.InsightServiceServicer):
    """Answers out of the rollups."""

    def __init__(self, endpoints: EndpointStatsStore, insight: Insight, clock: Clock) -> None:
        self._endpoints = endpoints
        self._insight = insight
        self._clock = clock

    async def GetEndpointStats(  # noqa: N802 - named by the wire
        self, request: messages.GetEndpointStatsRequest, context: _Context
    ) -> messages.GetEndpointStatsResponse:
        """Return what endpoints did lately."""
        async with aborting(context):
            if len(request.endpoint_ids) > _MAX_ENDPOINTS:
                raise InvalidQuestionError("endpoint_ids", f"has more than {_MAX_ENDPOINTS}")
            now = UnixSeconds(int(self._clock.now().timestamp()))
            stats = await self._endpoints.endpoint_stats(now, request.endpoint_ids)
            return messages.GetEndpointStatsResponse(stats=[stats_to_proto(each) for each in stats])

    async def GetModelSeries(  # noqa: N802 - named by the wire
        self, request: messages.GetModelSeriesRequest, context: _Context
    ) -> messages.GetModelSeriesResponse:
        """Return the models with the most traffic over time."""
        async with aborting(context):
            _check("top", request.top, 1, _MAX_RANKED)
            rows = await self._insight.model_series(
                _filter(request.filter), _period(request.period), request.top, by_requests=request.by_requests
            )
            return messages.GetModelSeriesResponse(rows=[messages.ModelTraffic(**row._asdict()) for row in rows])

    async def GetRankings(  # noqa: N802 - named by the wire
        self, request: messages.GetRankingsRequest, context: _Context
    ) -> messages.GetRankingsResponse:
        """Return models or applications in order."""
        async with aborting(context):
            kind = _KINDS.get(request.kind)
            if kind is None:
                raise InvalidQuestionError("kind", "must be models or applications")
            _check("limit", request.limit, 1, _MAX_RANKED)
            _check("offset", request.offset, 0, _MAX_OFFSET)
            question = RankingQuestion(
                _filter(request.filter), kind, request.trending, request.by_requests, request.limit, request.offset
            )
            rows = await self._insight.rankings(question)
            return messages.GetRankingsResponse(rows=[messages.Ranked(**row._asdict()) for row in rows])

    async def GetMarketShares(  # noqa: N802 - named by the wire
        self, request: messages.GetMarketSharesRequest, context: _Context
    ) -> messages.GetMarketSharesResponse:
        """Return shares of the traffic."""
        async with aborting(context):
            holder = _HOLDERS.get(request.holder)
            if holder is None:
                raise InvalidQuestionError("holder", "must be authors or providers")
            traffic = _filter(request.filter)
            if traffic.categories:
                raise InvalidQuestionError("categories", "cannot be asked for with shares")
            rows = await self._insight.market_shares(traffic, holder, _period(request.period))
            return messages.GetMarketSharesResponse(rows=[messages.MarketShare(**row._asdict()) for row in rows])

    async def GetSessionCosts(  # noqa: N802 - named by the wire
        self, request: messages.GetSessionCostsRequest, context: _Context
    ) -> messages.GetSessionCostsResponse:
        """Return what sessions cost."""
        async with aborting(context):
            start, end = _seconds(request.start), _seconds(request.end)
            check_days(start, end, MAX_PROVIDER_DAYS)
            if request.turn_range and request.turn_range not in TURN_RANGES:
                raise InvalidQuestionError("turn_range", f"must be one of {', '.join(TURN_RANGES)}")
            _check("limit", request.limit, 1, _MAX_SESSION_ROWS)
            _check("offset", request.offset, 0, _MAX_SESSION_OFFSET)
            question = SessionQuestion(
                start, end, tuple(request.apps), request.model, request.turn_range, request.limit, request.offset
            )
            rows = await self._insight.session_costs(question)
            return messages.GetSessionCostsResponse(rows=[messages.SessionCost(**row._asdict()) for row in rows])

    async def GetProviderDays(  # noqa: N802 - named by the wire
        self, request: messages.GetProviderDaysRequest, context: _Context
    ) -> messages.GetProviderDaysResponse:
        """Return how reliable providers were."""
        async with aborting(context):
            start, end = _seconds(request.start), _seconds(request.end)
            check_days(start, end, MAX_PROVIDER_DAYS)
            rows = await self._insight.provider_days(start, end, request.provider)
            return messages.GetProviderDaysResponse(
                rows=[
                    messages.ProviderDay(
                        provider=row.provider,
                        date=row.date,
                        successes=row.successes,
                        errors=row.errors,
                        rate_limited=row.rate_limited,
                        uptime=row.uptime,
                        good_minutes=row.share_of_good_minutes,
                    )
                    for row in rows
                ]
            )


def _filter(message: messages.TrafficFilter) -> TrafficFilter:
    return TrafficFilter(
        start=_seconds(message.start),
        end=_seconds(message.end),
        categories=tuple(message.categories),
        models=tuple(message.models) if message.only_models else None,
        context_bucket=context_bucket_of(message.context_bucket),
        with_tools=message.with_tools,
    )


def _period(number: messages.Period.ValueType) -> Period:
    period = _PERIODS.get(number)
    if period is None:
        raise InvalidQuestionError("period", "is unknown")
    return period


def _seconds(timestamp: Timestamp) -> UnixSeconds:
    return UnixSeconds(timestamp.seconds)


def _check(field: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise InvalidQuestionError(field, f"must be from {lowest} to {highest}")
