"""What the edge asks of metering besides single generations. The messages are those of the contract."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from turnpike.metering.v1 import analytics_service_pb2, insight_service_pb2


class Analytics(Protocol):
    """What one organisation used. Every method may raise RefusedError and DependencyError."""

    async def activity(
        self, request: analytics_service_pb2.QueryActivityRequest
    ) -> analytics_service_pb2.QueryActivityResponse:
        """Usage by day and endpoint."""
        ...

    async def analytics(
        self, request: analytics_service_pb2.QueryAnalyticsRequest
    ) -> analytics_service_pb2.QueryAnalyticsResponse:
        """Metrics by dimensions and time."""
        ...

    async def ended_usage(
        self, request: analytics_service_pb2.QueryEndedUsageRequest
    ) -> analytics_service_pb2.QueryEndedUsageResponse:
        """What generations cost that ended in a period, by model."""
        ...

    def export(self, request: analytics_service_pb2.ExportUsageRequest) -> AsyncGenerator[bytes]:
        """A file of usage events, in pieces."""
        ...


class Insight(Protocol):
    """The traffic of everybody. Every method may raise RefusedError and DependencyError."""

    async def endpoint_stats(
        self, request: insight_service_pb2.GetEndpointStatsRequest
    ) -> insight_service_pb2.GetEndpointStatsResponse:
        """What endpoints did lately."""
        ...

    async def model_series(
        self, request: insight_service_pb2.GetModelSeriesRequest
    ) -> insight_service_pb2.GetModelSeriesResponse:
        """Models with the most traffic over time."""
        ...

    async def rankings(
        self, request: insight_service_pb2.GetRankingsRequest
    ) -> insight_service_pb2.GetRankingsResponse:
        """Models or applications in order."""
        ...

    async def market_shares(
        self, request: insight_service_pb2.GetMarketSharesRequest
    ) -> insight_service_pb2.GetMarketSharesResponse:
        """Shares of authors or providers."""
        ...

    async def session_costs(
        self, request: insight_service_pb2.GetSessionCostsRequest
    ) -> insight_service_pb2.GetSessionCostsResponse:
        """What sessions cost."""
        ...

    async def provider_days(
        self, request: insight_service_pb2.GetProviderDaysRequest
    ) -> insight_service_pb2.GetProviderDaysResponse:
        """How reliable providers were."""
        ...
