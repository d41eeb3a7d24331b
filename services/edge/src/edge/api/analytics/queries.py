"""`GET /analytics/meta` and `POST /analytics/query`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from contracts import analytics
from contracts.errors import ErrorReason
from edge.api.analytics.activity import usd
from edge.api.analytics.answers import AnalyticsMeta, AnalyticsResult
from edge.api.analytics.names import UsageNames
from edge.api.analytics.query_body import AnalyticsQuery, query_of, request_of
from edge.api.http.answer import Data
from edge.api.http.bodies import JsonBodies
from edge.api.http.errors import HttpError
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import Access, Route
from edge.domain.errors import NotFoundError, RefusedError
from edge.insight_ports import Analytics
from edge.ports import KeyRegistry
from servicekit.clock import Clock
from turnpike.metering.v1 import analytics_service_pb2 as messages

_encode = msgspec.json.Encoder().encode
_DATE: Final = "date"
_KEY: Final = "api_key_id"
_HASH_LENGTH: Final = 64

_META: Final = Operation(
    id="getAnalyticsMeta",
    tag="Analytics",
    summary="Get the metrics, dimensions, operators and granularities of queries",
    answer=Data[AnalyticsMeta],
)
_QUERY: Final = Operation(
    id="queryAnalytics",
    tag="Analytics",
    summary="Count usage by dimensions and time",
    description=(
        "Money is in dollars, latency in milliseconds, throughput in tokens per second: 90 % of the answers reached "
        "`p90_throughput`. Latency, throughput and `generation_id` cover at most 31 days, everything else 366."
    ),
    body=AnalyticsQuery,
    answer=Data[AnalyticsResult],
    errors=(408,),
)


class AnalyticsQueries:
    """Serves counts of an organisation's usage."""

    def __init__(
        self, store: Analytics, registry: KeyRegistry, names: UsageNames, bodies: JsonBodies, clock: Clock
    ) -> None:
        """Make the handler.

        Args:
            store: counts.
            registry: knows the keys by their hashes.
            names: knows the names of keys and workspaces.
            bodies: reads requests.
            clock: says what now is, and how long an answer took.
        """
        self._store = store
        self._registry = registry
        self._names = names
        self._bodies = bodies
        self._clock = clock
        self._meta = _encode({"data": _meta()})

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/analytics/meta", Access.MANAGEMENT_KEY, self.meta, _META),
            Route("POST", "/analytics/query", Access.MANAGEMENT_KEY, self.query, _QUERY),
        )

    async def meta(self, exchange: Exchange) -> web.StreamResponse:
        """Return what can be asked for."""
        return exchange.json(self._meta)

    async def query(self, exchange: Exchange) -> web.StreamResponse:
        """Count.

        Raises:
            InvalidInputError: the body is not valid.
            RefusedError: a name is unknown or a limit is exceeded; the member is named.
            HttpError: 408, the question takes too long.
            DependencyError: nobody could say.
        """
        query = query_of(await self._bodies.read(exchange.request))
        org_id = exchange.principal.org.org_id
        began = self._clock.monotonic()
        request = request_of(query, org_id, self._clock.now())
        warnings = [text for condition in request.filters for text in await self._resolve(condition, org_id)]
        answer = await self._count(request)
        names = await self._names.of(exchange, frozenset(answer.columns))
        rows = [_row(answer.columns, row, query.granularity, names) for row in answer.rows]
        result: dict[str, Any] = {
            "data": rows,
            "metadata": {
                "row_count": len(rows),
                "truncated": answer.truncated,
                "query_time_ms": round((self._clock.monotonic() - began) * 1_000, 3),
            },
        }
        if warnings:
            result["warnings"] = warnings
        return exchange.json(_encode({"data": result}))

    async def _count(self, request: messages.QueryAnalyticsRequest) -> messages.QueryAnalyticsResponse:
        try:
            return await self._store.analytics(request)
        except RefusedError as error:
            if error.reason is not ErrorReason.TIMEOUT:
                raise
            # OpenRouter's word for a question that takes too long: the caller can make it smaller.
            raise HttpError(HTTPStatus.REQUEST_TIMEOUT, error.message, "timeout") from error

    async def _resolve(self, condition: messages.AnalyticsFilter, org_id: str) -> list[str]:
        """Put the ids of keys where their hashes are; say which hashes are of no key."""
        if condition.field != _KEY:
            return []
        warnings, values = [], []
        for value in condition.values:
            if len(value) != _HASH_LENGTH:
                values.append(value)
                continue
            try:
                values.append((await self._registry.get(org_id, value)).key.key_id)
            except (NotFoundError, RefusedError):
                warnings.append(f"filters: there is no API key with the hash {value}")
                values.append(value)
        del condition.values[:]
        condition.values.extend(values)
        return warnings


def _row(
    columns: Sequence[str], row: messages.AnalyticsRow, granularity: str | None, names: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column, cell in zip(columns, row.values, strict=True):
        if column == _DATE:
            moment = datetime.fromtimestamp(cell.unix_seconds, UTC)
            found[f"date__{granularity}"] = moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        elif column in names:
            found[column] = names[column].get(cell.text) or cell.text or None
        else:
            found[column] = _value(cell)
    return found


def _value(cell: messages.AnalyticsValue) -> Any:
    match cell.WhichOneof("kind"):
        case "text":
            return cell.text or None
        case "count":
            return cell.count
        case "number":
            return cell.number
        case "nano_usd":
            return usd(cell.nano_usd)
        case _:
            return None


def _meta() -> dict[str, Any]:
    return {
        "metrics": [
            {
                "name": metric.name,
                "display_label": metric.label,
                "is_rate": metric.is_rate,
                "display_format": metric.format.value,
            }
            for metric in analytics.METRICS.values()
        ],
        "dimensions": [{"name": each.name, "display_label": each.label} for each in analytics.DIMENSIONS.values()],
        "operators": [
            {"name": each.value, "value_type": "array" if each in analytics.SETS else "scalar"}
            for each in analytics.Operator
        ],
        "granularities": [
            {"name": each.value, "display_label": each.value.capitalize()} for each in analytics.Granularity
        ],
    }
