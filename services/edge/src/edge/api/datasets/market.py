"""`GET /datasets/market-share` and `GET /datasets/session-cost`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from edge.api.datasets.answers import Dataset, SessionCosts, ShareItem
from edge.api.datasets.windows import Now, meta, timestamp, traffic, window
from edge.api.http.days import Day, midnight
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.catalog import CatalogMirror
from edge.insight_ports import Insight
from turnpike.metering.v1 import insight_service_pb2 as messages

_encode = msgspec.json.Encoder().encode
_SESSION_DAYS: Final = 7
_NANO: Final = 10**9
_PERIODS: Final = {"day": messages.PERIOD_DAY, "week": messages.PERIOD_WEEK, "month": messages.PERIOD_MONTH}
_HOLDERS: Final = {"author": messages.SHARE_HOLDER_AUTHOR, "provider": messages.SHARE_HOLDER_PROVIDER}


class ShareQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose shares, and in what buckets."""

    by: Annotated[Literal["author", "provider"], Meta(description="Whose share.")] = "author"
    period: Annotated[Literal["day", "week", "month"], Meta(description="Length of a bucket.")] = "week"
    start_date: Day | None = None
    end_date: Day | None = None


class SessionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions."""

    app_slug: Annotated[str, Meta(description="Only this application.")] | None = None
    model: Annotated[str, Meta(description="Only this model.")] | None = None
    turn_range: Literal["1-turn", "2-9-turns", "10-49-turns", "50-plus-turns"] | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100
    offset: Annotated[int, Meta(ge=0, le=5_000)] = 0


_SHARES: Final = Operation(
    id="getMarketShare",
    tag="Datasets",
    summary="Get the shares of authors of models or of providers in the traffic",
    description="Private traffic is not in it.",
    query=ShareQuery,
    answer=Dataset[ShareItem],
    errors=(504,),
)
_COSTS: Final = Operation(
    id="getSessionCost",
    tag="Datasets",
    summary="Get what a session costs, by application, model and number of turns",
    description="Of the last seven completed UTC days. Kinds with fewer than five sessions and private traffic are not in it.",
    query=SessionQuery,
    answer=SessionCosts,
    errors=(504,),
)


class Market:
    """Serves shares and costs."""

    def __init__(self, insight: Insight, mirror: CatalogMirror, now: Now) -> None:
        """Make the handler.

        Args:
            insight: counts.
            mirror: knows models by their other names.
            now: says what today is.
        """
        self._insight = insight
        self._mirror = mirror
        self._now = now

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (
            Route("GET", "/datasets/market-share", Access.ANY_KEY, self.shares, _SHARES),
            Route("GET", "/datasets/session-cost", Access.ANY_KEY, self.costs, _COSTS),
        )

    async def shares(self, exchange: Exchange) -> web.StreamResponse:
        """Return shares over time.

        Raises:
            InvalidInputError: the query is not valid.
            DependencyError: nobody could say.
        """
        query = read_query(exchange.request, ShareQuery)
        now = self._now()
        days = window(query.start_date, query.end_date, now)
        answer = await self._insight.market_shares(
            messages.GetMarketSharesRequest(
                filter=traffic(days), holder=_HOLDERS[query.by], period=_PERIODS[query.period]
            )
        )
        rows = [
            {
                "date": row.date,
                "name": row.name,
                "total_tokens": str(row.tokens),
                "total_requests": row.requests,
                "token_share": row.token_share,
                "request_share": row.request_share,
            }
            for row in answer.rows
        ]
        return exchange.json(_encode({"data": rows, "meta": meta(days, now)}))

    async def costs(self, exchange: Exchange) -> web.StreamResponse:
        """Return what sessions cost.

        Raises:
            InvalidInputError: the query is not valid.
            DependencyError: nobody could say.
        """
        query = read_query(exchange.request, SessionQuery)
        now = self._now()
        today = now.astimezone(UTC).date()
        answer = await self._insight.session_costs(
            messages.GetSessionCostsRequest(
                start=midnight(today - timedelta(days=_SESSION_DAYS)),
                end=midnight(today),
                apps=[] if query.app_slug is None else _names_of(query.app_slug),
                model=self._model_of(query.model),
                turn_range=query.turn_range or "",
                limit=query.limit,
                offset=query.offset,
            )
        )
        rows = [
            {
                "app_slug": slug_of(row.app),
                "app_name": row.title or row.app,
                "model_permaslug": self._permaslug(row.model),
                "turn_range": row.turn_range,
                "median_session_cost_usd": row.median_nano_usd / _NANO,
            }
            for row in answer.rows
        ]
        about = {
            "as_of": timestamp(now),
            "version": "v1",
            "window_days": _SESSION_DAYS,
            "window_end_date": (today - timedelta(days=1)).isoformat(),
        }
        return exchange.json(_encode({"data": rows, "meta": about}))

    def _model_of(self, name: str | None) -> str:
        if name is None:
            return ""
        catalog = self._mirror.catalog
        found = None if catalog is None else catalog.find_listed(name)
        return name if found is None else found.id

    def _permaslug(self, model: str) -> str:
        catalog = self._mirror.catalog
        found = None if catalog is None else catalog.find_listed(model)
        return model if found is None else found.canonical_slug or model


def slug_of(app: str) -> str:
    """The short name of an application: its address without the scheme that nearly all have."""
    return app.removeprefix("https://")


def _names_of(slug: str) -> list[str]:
    """The names that a short name may stand for."""
    return [slug, f"https://{slug}"]
