"""Metering's answers about usage, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Final, TypeVar

import grpc

from edge.adapters.grpc_status import error_from_status
from edge.domain.errors import DependencyError
from turnpike.metering.v1 import (
    analytics_service_pb2,
    analytics_service_pb2_grpc,
    insight_service_pb2,
    insight_service_pb2_grpc,
)

Request = TypeVar("Request")
Response = TypeVar("Response")
_DEPENDENCY: Final = "metering"
# Of a whole file, which also waits for a caller who is slow to take it; a piece has the time that any answer has.
_EXPORT_LIMIT_S: Final = 3600.0


class GrpcAnalytics:
    """The Analytics of metering."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._stub = analytics_service_pb2_grpc.AnalyticsServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def activity(
        self, request: analytics_service_pb2.QueryActivityRequest
    ) -> analytics_service_pb2.QueryActivityResponse:
        """Usage by day and endpoint."""
        return await _call(self._stub.QueryActivity, request, self._timeout_s)

    async def analytics(
        self, request: analytics_service_pb2.QueryAnalyticsRequest
    ) -> analytics_service_pb2.QueryAnalyticsResponse:
        """Metrics by dimensions and time."""
        return await _call(self._stub.QueryAnalytics, request, self._timeout_s)

    async def ended_usage(
        self, request: analytics_service_pb2.QueryEndedUsageRequest
    ) -> analytics_service_pb2.QueryEndedUsageResponse:
        """What generations cost that ended in a period, by model."""
        return await _call(self._stub.QueryEndedUsage, request, self._timeout_s)

    async def export(self, request: analytics_service_pb2.ExportUsageRequest) -> AsyncGenerator[bytes]:
        """A file of usage events, in pieces."""
        call = self._stub.ExportUsage(request, timeout=_EXPORT_LIMIT_S)
        try:
            while True:
                async with asyncio.timeout(self._timeout_s):
                    piece = await call.read()
                if not isinstance(piece, analytics_service_pb2.ExportUsageResponse):
                    return
                yield piece.chunk
        except grpc.aio.AioRpcError as error:
            raise error_from_status(error, _DEPENDENCY) from None
        except TimeoutError:
            raise DependencyError(_DEPENDENCY) from None
        finally:
            call.cancel()


class GrpcInsight:
    """The Insight of metering."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._stub = insight_service_pb2_grpc.InsightServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def endpoint_stats(
        self, request: insight_service_pb2.GetEndpointStatsRequest
    ) -> insight_service_pb2.GetEndpointStatsResponse:
        """What endpoints did lately."""
        return await _call(self._stub.GetEndpointStats, request, self._timeout_s)

    async def model_series(
        self, request: insight_service_pb2.GetModelSeriesRequest
    ) -> insight_service_pb2.GetModelSeriesResponse:
        """Models with the most traffic over time."""
        return await _call(self._stub.GetModelSeries, request, self._timeout_s)

    async def rankings(
        self, request: insight_service_pb2.GetRankingsRequest
    ) -> insight_service_pb2.GetRankingsResponse:
        """Models or applications in order."""
        return await _call(self._stub.GetRankings, request, self._timeout_s)

    async def market_shares(
        self, request: insight_service_pb2.GetMarketSharesRequest
    ) -> insight_service_pb2.GetMarketSharesResponse:
        """Shares of authors or providers."""
        return await _call(self._stub.GetMarketShares, request, self._timeout_s)

    async def session_costs(
        self, request: insight_service_pb2.GetSessionCostsRequest
    ) -> insight_service_pb2.GetSessionCostsResponse:
        """What sessions cost."""
        return await _call(self._stub.GetSessionCosts, request, self._timeout_s)

    async def provider_days(
        self, request: insight_service_pb2.GetProviderDaysRequest
    ) -> insight_service_pb2.GetProviderDaysResponse:
        """How reliable providers were."""
        return await _call(self._stub.GetProviderDays, request, self._timeout_s)


async def _call(
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request, timeout_s: float
) -> Response:
    try:
        return await method(request, timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        raise error_from_status(error, _DEPENDENCY) from None
