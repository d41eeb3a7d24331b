"""Everybody's traffic in memory, and behind gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import grpc

from edge.domain.errors import DependencyError
from edge.insight_ports import Insight
from edge.testing.refusals import aborting
from turnpike.metering.v1 import endpoint_stats_pb2
from turnpike.metering.v1 import insight_service_pb2 as messages
from turnpike.metering.v1 import insight_service_pb2_grpc as stubs

Context = grpc.aio.ServicerContext[Any, Any]


class MemoryInsight:
    """One application used one model of one provider, on the first day that is asked about.

    Attributes:
        stats: of endpoints, whoever asks.
        down: whether every call fails.
    """

    def __init__(self) -> None:
        lately = endpoint_stats_pb2.EndpointWindow(successes=90, errors=10)
        self.stats = [
            endpoint_stats_pb2.EndpointStats(
                endpoint_id="acme/one@acme", last_5m=lately, last_30m=lately, last_1d=lately
            )
        ]
        self.down = False

    async def endpoint_stats(self, request: messages.GetEndpointStatsRequest) -> messages.GetEndpointStatsResponse:
        """Return the statistics of the endpoints that are asked for, or all."""
        self._check_up()
        asked = set(request.endpoint_ids)
        return messages.GetEndpointStatsResponse(
            stats=[each for each in self.stats if not asked or each.endpoint_id in asked]
        )

    async def model_series(self, request: messages.GetModelSeriesRequest) -> messages.GetModelSeriesResponse:
        """Return a model and the others."""
        self._check_up()
        date = _first_day(request.filter)
        return messages.GetModelSeriesResponse(
            rows=[
                messages.ModelTraffic(date=date, model="acme/one", tokens=2**60, requests=3),
                messages.ModelTraffic(date=date, model="other", tokens=7, requests=1),
            ]
        )

    async def rankings(self, request: messages.GetRankingsRequest) -> messages.GetRankingsResponse:
        """Return one model or one application, in the first place."""
        self._check_up()
        if request.offset:
            return messages.GetRankingsResponse()
        row = messages.Ranked(rank=1, name="acme/one", tokens=2**60, requests=3, score=2.0**60)
        if request.kind == messages.RANKED_KIND_APP:
            row.name, row.app_id, row.title = "https://app.example", 7, "App"
        return messages.GetRankingsResponse(rows=[row])

    async def market_shares(self, request: messages.GetMarketSharesRequest) -> messages.GetMarketSharesResponse:
        """Return who has the whole market."""
        self._check_up()
        share = messages.MarketShare(
            date=_first_day(request.filter), name="acme", tokens=2**60, requests=3, token_share=1.0, request_share=1.0
        )
        return messages.GetMarketSharesResponse(rows=[share])

    async def session_costs(self, request: messages.GetSessionCostsRequest) -> messages.GetSessionCostsResponse:
        """Return what the sessions of the application cost."""
        self._check_up()
        cost = messages.SessionCost(
            app="https://app.example",
            app_id=7,
            title="App",
            model="acme/one",
            turn_range=request.turn_range or "1-turn",
            median_nano_usd=1_500.5,
            sessions=5,
        )
        return messages.GetSessionCostsResponse(rows=[] if request.offset else [cost])

    async def provider_days(self, request: messages.GetProviderDaysRequest) -> messages.GetProviderDaysResponse:
        """Return a day of a provider."""
        self._check_up()
        day = messages.ProviderDay(
            provider="acme",
            date=request.start.ToDatetime(UTC).strftime("%Y-%m-%d"),
            successes=90,
            errors=10,
            rate_limited=1,
            uptime=0.9,
        )
        return messages.GetProviderDaysResponse(rows=[day] if request.provider in ("", "acme") else [])

    def _check_up(self) -> None:
        if self.down:
            raise DependencyError("metering")


class InsightServicer(stubs.InsightServiceServicer):
    """Everybody's traffic."""

    def __init__(self, insight: Insight) -> None:
        self._insight = insight

    async def GetEndpointStats(self, request: Any, context: Context) -> messages.GetEndpointStatsResponse:  # noqa: N802 - named by the wire
        """Return what endpoints did lately."""
        async with aborting(context):
            return await self._insight.endpoint_stats(request)

    async def GetModelSeries(self, request: Any, context: Context) -> messages.GetModelSeriesResponse:  # noqa: N802 - named by the wire
        """Return the models with the most traffic over time."""
        async with aborting(context):
            return await self._insight.model_series(request)

    async def GetRankings(self, request: Any, context: Context) -> messages.GetRankingsResponse:  # noqa: N802 - named by the wire
        """Return models or applications in order."""
        async with aborting(context):
            return await self._insight.rankings(request)

    async def GetMarketShares(self, request: Any, context: Context) -> messages.GetMarketSharesResponse:  # noqa: N802 - named by the wire
        """Return shares of authors or providers."""
        async with aborting(context):
            return await self._insight.market_shares(request)

    async def GetSessionCosts(self, request: Any, context: Context) -> messages.GetSessionCostsResponse:  # noqa: N802 - named by the wire
        """Return what sessions cost."""
        async with aborting(context):
            return await self._insight.session_costs(request)

    async def GetProviderDays(self, request: Any, context: Context) -> messages.GetProviderDaysResponse:  # noqa: N802 - named by the wire
        """Return how reliable providers were."""
        async with aborting(context):
            return await self._insight.provider_days(request)


def register_insight(server: grpc.aio.Server, insight: Insight) -> Sequence[str]:
    """Serve everybody's traffic."""
    stubs.add_InsightServiceServicer_to_server(InsightServicer(insight), server)
    return []


def _first_day(traffic: messages.TrafficFilter) -> str:
    return traffic.start.ToDatetime(UTC).strftime("%Y-%m-%d")
