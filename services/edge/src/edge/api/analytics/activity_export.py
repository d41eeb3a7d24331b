"""`GET /activity/export`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, timedelta
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from edge.api.http.days import Day, day_of, midnight
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.domain.errors import InvalidInputError
from edge.insight_ports import Analytics
from servicekit.clock import Clock
from turnpike.metering.v1 import analytics_service_pb2 as messages

_MOST_DAYS: Final = 31
# Of a caller, to take a piece of a quarter of a megabyte: metering waits with them.
_WRITE_LIMIT_S: Final = 60.0
_FORMATS: Final = {
    "csv": (messages.EXPORT_FORMAT_CSV, "text/csv"),
    "parquet": (messages.EXPORT_FORMAT_PARQUET, "application/vnd.apache.parquet"),
}


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which usage, and how it is written."""

    format: Annotated[Literal["csv", "parquet"], Meta(description="Form of the file.")] = "csv"
    start_date: Day | None = None
    end_date: Day | None = None


_EXPORT: Final = Operation(
    id="exportActivity",
    tag="Analytics",
    summary="Get the generations of up to 31 days as a file",
    description="Every generation once, in order of its start. Both days are in it; by default the last 7 days.",
    query=ExportQuery,
    content={"text/csv": None, "application/vnd.apache.parquet": None},
    errors=(504,),
)


class ActivityExport:
    """Serves an organisation's generations as a file."""

    def __init__(self, analytics: Analytics, clock: Clock) -> None:
        """Make the handler.

        Args:
            analytics: makes the files.
            clock: says what today is.
        """
        self._analytics = analytics
        self._clock = clock

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (Route("GET", "/activity/export", Access.MANAGEMENT_KEY, self.export, _EXPORT),)

    async def export(self, exchange: Exchange) -> web.StreamResponse:
        """Return generations as a file.

        Raises:
            InvalidInputError: the period is empty or too long.
            DependencyError: nobody could say. When the file has begun, the connection is broken off instead.
        """
        query = read_query(exchange.request, ExportQuery)
        today = self._clock.now().astimezone(UTC).date()
        last = today if query.end_date is None else day_of(query.end_date, "end_date")
        first = last - timedelta(days=6) if query.start_date is None else day_of(query.start_date, "start_date")
        if first > last:
            raise InvalidInputError("start_date: must not be after end_date", "start_date")
        if (last - first).days >= _MOST_DAYS:
            raise InvalidInputError(f"start_date: must be less than {_MOST_DAYS} days before end_date", "start_date")
        form, media_type = _FORMATS[query.format]
        request = messages.ExportUsageRequest(
            org_id=exchange.principal.org.org_id,
            start=midnight(first),
            end=midnight(last + timedelta(days=1)),
            format=form,
        )
        name = f"usage-{first}-{last}.{query.format}"
        headers = {"Content-Type": media_type, "Content-Disposition": f'attachment; filename="{name}"'}
        # Whatever ends this, metering is told that nobody reads on.
        async with aclosing(self._analytics.export(request)) as pieces:
            return await _relay(exchange, headers, pieces)


async def _relay(exchange: Exchange, headers: dict[str, str], pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    # Only a first piece shows that there will be a file: a refusal is still an answer of its own.
    head = await anext(pieces, b"")
    response = web.StreamResponse(headers=exchange.headers() | headers)
    await response.prepare(exchange.request)
    try:
        await _write(response, head)
        async for piece in pieces:
            await _write(response, piece)
    except Exception:
        # The status has gone out. Half a file must not look like a whole one.
        if exchange.request.transport is not None:
            exchange.request.transport.abort()
        raise
    exchange.leave()
    await response.write_eof()
    return response


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    async with asyncio.timeout(_WRITE_LIMIT_S):
        await response.write(piece)
