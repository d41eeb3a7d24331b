"""`GET /datasets/cost-effectiveness` and `GET /datasets/provider-status`: what endpoints did, by model and by provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from edge.api.datasets.answers import Dataset, Effectiveness, ProviderStatusItem
from edge.api.datasets.windows import Now, meta, timestamp
from edge.api.http.days import Days, midnight
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.catalog import CatalogMirror
from edge.insight_ports import Insight
from turnpike.metering.v1 import endpoint_stats_pb2
from turnpike.metering.v1 import insight_service_pb2 as messages

_encode = msgspec.json.Encoder().encode
# Pico-dollars a token to dollars a million tokens.
_PICO_TO_PER_MILLION: Final = 1e-6
_PROMPT_PARTS: Final = 3


class EffectivenessQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which models."""

    model: Annotated[str, Meta(description="Only this model.")] | None = None


class StatusQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which providers, and how far back."""

    provider: Annotated[str, Meta(description="Only this provider, by its slug.")] | None = None
    days: Annotated[int, Meta(ge=1, le=30, description="Completed UTC days besides today.")] = 30


_EFFECTIVENESS: Final = Operation(
    id="getCostEffectiveness",
    tag="Datasets",
    summary="Get what endpoints cost against how fast they are",
    description="Over the last day, as it was paid and measured. Endpoints that nobody called in it are not listed.",
    query=EffectivenessQuery,
    answer=Effectiveness,
    errors=(504,),
)
_STATUS: Final = Operation(
    id="getProviderStatus",
    tag="Datasets",
    summary="Get how reliable providers are, now and day by day",
    description=(
        "Against a provider count answers of 401, 402, 404 and 5xx, broken answers and calls without an answer in time; 400, "
        "403, 413 and 429 do not. Every call counts, private ones too."
    ),
    query=StatusQuery,
    answer=Dataset[ProviderStatusItem],
    errors=(504,),
)


class EndpointFigures:
    """Serves figures of endpoints."""

    def __init__(self, insight: Insight, mirror: CatalogMirror, now: Now) -> None:
        """Make the handler.

        Args:
            insight: counts.
            mirror: knows whose endpoints they are.
            now: says what today is.
        """
        self._insight = insight
        self._mirror = mirror
        self._now = now

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/datasets/cost-effectiveness", Access.ANY_KEY, self.effectiveness, _EFFECTIVENESS),
            Route("GET", "/datasets/provider-status", Access.ANY_KEY, self.status, _STATUS),
        )

    async def effectiveness(self, exchange: Exchange) -> web.StreamResponse:
        """Return price against speed.

        Raises:
            InvalidInputError: the query is not valid.
            DependencyError: nobody could say.
        """
        query = read_query(exchange.request, EffectivenessQuery)
        catalog = self._mirror.catalog
        listed = None if catalog is None or query.model is None else catalog.find_listed(query.model)
        wanted = query.model if listed is None else listed.id
        names: Mapping[str, str] = {} if catalog is None else catalog.provider_names
        answer = await self._insight.endpoint_stats(messages.GetEndpointStatsRequest())
        items = [_item(stats, names) for stats in answer.stats if wanted in (None, model_of(stats.endpoint_id))]
        for item in items:
            item["is_efficient"] = _is_efficient(item, items)
        return exchange.json(_encode({"data": items, "as_of": timestamp(self._now())}))

    async def status(self, exchange: Exchange) -> web.StreamResponse:
        """Return how reliable providers are.

        Raises:
            InvalidInputError: the query is not valid.
            DependencyError: nobody could say.
        """
        query = read_query(exchange.request, StatusQuery)
        now = self._now()
        today = now.astimezone(UTC).date()
        days = Days(today - timedelta(days=query.days), today)
        history = await self._insight.provider_days(
            messages.GetProviderDaysRequest(
                start=midnight(days.first), end=midnight(today + timedelta(days=1)), provider=query.provider or ""
            )
        )
        stats = await self._insight.endpoint_stats(messages.GetEndpointStatsRequest())
        lately: dict[str, list[endpoint_stats_pb2.EndpointStats]] = {}
        names: dict[str, str] = {}
        for row in stats.stats:
            lately.setdefault(provider_of(row.endpoint_id), []).append(row)
        if self._mirror.catalog is not None:
            names = {
                provider_of(endpoint_id): name for endpoint_id, name in self._mirror.catalog.provider_names.items()
            }
        by_provider: dict[str, list[dict[str, Any]]] = {}
        for day in history.rows:
            by_provider.setdefault(day.provider, []).append(_day(day))
        data = [
            {
                "provider": provider,
                "provider_name": names.get(provider, provider),
                "uptime_last_5m": _uptime(row.last_5m for row in lately.get(provider, ())),
                "uptime_last_30m": _uptime(row.last_30m for row in lately.get(provider, ())),
                "uptime_last_1d": _uptime(row.last_1d for row in lately.get(provider, ())),
                "days": of_provider,
            }
            for provider, of_provider in by_provider.items()
        ]
        return exchange.json(_encode({"data": data, "meta": meta(days, now)}))


def model_of(endpoint_id: str) -> str:
    """The model of an endpoint, whose id is `<model>@<tag>`."""
    return endpoint_id.rpartition("@")[0]


def provider_of(endpoint_id: str) -> str:
    """The slug of an endpoint's provider, with which its tag begins."""
    return endpoint_id.rpartition("@")[2].partition("/")[0]


def _item(stats: endpoint_stats_pb2.EndpointStats, names: Mapping[str, str]) -> dict[str, Any]:
    day = stats.last_1d
    prompt = day.prompt_pico_usd * _PICO_TO_PER_MILLION if day.HasField("prompt_pico_usd") else None
    completion = day.completion_pico_usd * _PICO_TO_PER_MILLION if day.HasField("completion_pico_usd") else None
    blended = None
    if prompt is not None and completion is not None:
        blended = (_PROMPT_PARTS * prompt + completion) / (_PROMPT_PARTS + 1)
    return {
        "model_permaslug": model_of(stats.endpoint_id),
        "endpoint_id": stats.endpoint_id,
        "provider_name": names.get(stats.endpoint_id, provider_of(stats.endpoint_id)),
        "prompt_price": prompt,
        "completion_price": completion,
        "blended_price": blended,
        "throughput_p50": day.tokens_per_second.p50 if day.HasField("tokens_per_second") else None,
        "latency_p50_ms": day.first_token_ms.p50 if day.HasField("first_token_ms") else None,
        "uptime_last_1d": day.uptime * 100 if day.HasField("uptime") else None,
        "quality": None,
        "is_efficient": False,
    }


def _is_efficient(item: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> bool:
    """Whether no other endpoint of the model is as good in both and better in one; never of one that is not known."""
    price, speed = item["blended_price"], item["throughput_p50"]
    if price is None or speed is None:
        return False
    return not any(
        other["model_permaslug"] == item["model_permaslug"]
        and other["blended_price"] is not None
        and other["throughput_p50"] is not None
        and other["blended_price"] <= price
        and other["throughput_p50"] >= speed
        and (other["blended_price"], other["throughput_p50"]) != (price, speed)
        for other in others
    )


def _uptime(windows: Iterable[endpoint_stats_pb2.EndpointWindow]) -> float | None:
    successes = errors = 0
    for each in windows:
        successes += each.successes
        errors += each.errors
    return successes * 100 / (successes + errors) if successes + errors else None


def _day(day: messages.ProviderDay) -> dict[str, Any]:
    return {
        "date": day.date,
        "successes": day.successes,
        "errors": day.errors,
        "rate_limited": day.rate_limited,
        "uptime": day.uptime * 100 if day.HasField("uptime") else None,
        "good_minutes": day.good_minutes * 100 if day.HasField("good_minutes") else None,
    }
