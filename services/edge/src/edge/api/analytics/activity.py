"""`GET /activity`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from contracts import money
from edge.api.analytics.answers import ActivityItem
from edge.api.http.answer import Data
from edge.api.http.days import Day, Days, day_of, midnight
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.catalog import CatalogMirror
from edge.domain.errors import InvalidInputError, NotFoundError, WrongRoleError
from edge.insight_ports import Analytics
from edge.ports import KeyRegistry
from servicekit.clock import Clock
from turnpike.metering.v1 import analytics_service_pb2 as messages

_encode = msgspec.json.Encoder().encode
_DAYS: Final = 30
_AT_A_TIME: Final = 500  # rows, before other requests have their turn: some 5 ms
_SPLITS: Final = {
    "workspace": messages.ACTIVITY_SPLIT_WORKSPACE,
    "api_key": messages.ACTIVITY_SPLIT_KEY,
    "user": messages.ACTIVITY_SPLIT_MEMBER,
    "app": messages.ACTIVITY_SPLIT_APP,
}


class ActivityQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which usage."""

    date: Day | None = None
    api_key_hash: Annotated[str, Meta(description="Only this key, by its hash.")] | None = None
    user_id: Annotated[str, Meta(description="Only keys of this member.")] | None = None
    workspace_id: Annotated[str, Meta(description="Only keys of this workspace.")] | None = None
    group_by: (
        Annotated[Literal["workspace", "api_key", "user", "app"], Meta(description="Split every row by this, too.")]
        | None
    ) = None


_GET: Final = Operation(
    id="getUserActivity",
    tag="Analytics",
    summary="Get usage by day, model and endpoint",
    description="Of the last 30 completed UTC days. Requests that no endpoint answered are not in it.",
    query=ActivityQuery,
    answer=Data[list[ActivityItem]],
    errors=(404, 504),
)


class Activity:
    """Serves what an organisation used."""

    def __init__(self, analytics: Analytics, registry: KeyRegistry, mirror: CatalogMirror, clock: Clock) -> None:
        """Make the handler.

        Args:
            analytics: counts.
            registry: knows the keys by their hashes.
            mirror: knows the names of models and providers; without a catalogue their slugs do.
            clock: says what today is.
        """
        self._analytics = analytics
        self._registry = registry
        self._mirror = mirror
        self._clock = clock

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (Route("GET", "/activity", Access.USAGE, self.get, _GET),)

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return usage by day, model and endpoint.

        Raises:
            InvalidInputError: the day is not one of the last 30 completed ones.
            NotFoundError: there is no such key in the organisation, or the caller sees only keys of their own.
            WrongRoleError: it is another member's, and the caller sees only what their own keys used.
            DependencyError: nobody could say.
        """
        query = read_query(exchange.request, ActivityQuery)
        org_id, only = exchange.principal.org.org_id, exchange.principal.sees_keys_of
        if only and query.user_id not in (None, only):
            raise WrongRoleError
        days = self._days(query.date)
        key_id = ""
        if query.api_key_hash is not None:
            key = (await self._registry.get(org_id, query.api_key_hash)).key
            if only not in ("", key.creator_user_id):
                raise NotFoundError("Key not found")
            key_id = key.key_id
        answer = await self._analytics.activity(
            messages.QueryActivityRequest(
                org_id=org_id,
                start=midnight(days.first),
                end=midnight(days.last + timedelta(days=1)),
                key_id=key_id,
                member_id=only or query.user_id or "",
                workspace_id=query.workspace_id or "",
                splits=[] if query.group_by is None else [_SPLITS[query.group_by]],
            )
        )
        pieces = []
        for at in range(0, len(answer.rows), _AT_A_TIME):
            rows = answer.rows[at : at + _AT_A_TIME]
            pieces.append(_encode([self._item(row, query.group_by) for row in rows])[1:-1])
            await asyncio.sleep(0)
        return exchange.json(b'{"data":[' + b",".join(pieces) + b"]}")

    def _days(self, date: str | None) -> Days:
        yesterday = self._clock.now().astimezone(UTC).date() - timedelta(days=1)
        days = Days(yesterday - timedelta(days=_DAYS - 1), yesterday)
        if date is None:
            return days
        day = day_of(date, "date")
        if not days.first <= day <= days.last:
            raise InvalidInputError(f"date: expected one of the last {_DAYS} completed UTC days", "date")
        return Days(day, day)

    def _item(self, row: messages.ActivityRow, group_by: str | None) -> Mapping[str, Any]:
        catalog = self._mirror.catalog
        model = None if catalog is None else catalog.find_listed(row.model)
        names: Mapping[str, str] = {} if catalog is None else catalog.provider_names
        item: dict[str, Any] = {
            "date": row.date,
            "model": row.model,
            "model_permaslug": row.model if model is None else model.canonical_slug or row.model,
            "endpoint_id": row.endpoint_id,
            "provider_name": names.get(row.endpoint_id, row.provider),
            "usage": usd(row.cost_nano_usd),
            "byok_usage_inference": usd(row.byok_cost_nano_usd),
            "requests": row.requests,
            "byok_requests": row.byok_requests,
            "prompt_tokens": row.prompt_tokens,
            "completion_tokens": row.completion_tokens,
            "reasoning_tokens": row.reasoning_tokens,
            "cached_tokens": row.cached_tokens,
        }
        split = {
            "workspace": {"workspace_id": row.workspace_id},
            "api_key": {"api_key_id": row.key_id},
            "user": {"user_id": row.member_id},
            "app": {"app": row.app},
        }
        return item | (split[group_by] if group_by is not None else {})


def usd(nano: int) -> msgspec.Raw:
    """An amount as an exact decimal number of dollars."""
    return msgspec.Raw(money.usd_text(nano).encode())
