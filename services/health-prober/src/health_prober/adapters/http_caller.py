"""Calls endpoints over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
from yarl import URL

from contracts.catalog import Endpoint
from dialects.credentials import credential_headers
from dialects.upstream import UpstreamRequest
from health_prober.domain.errors import ProbeTimeoutError, UnreachableError
from servicekit.clock import Clock

# A probe's answer is a few hundred bytes. Of a longer one the rest stays unread, and it then reads as a bad answer.
_MAX_ANSWER = 256 * 1024


class HttpEndpointCaller:
    """Calls endpoints, each time over a new connection: that one can be made is part of what a probe shows."""

    def __init__(self, session: aiohttp.ClientSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, call_timeout: timedelta, concurrency: int, clock: Clock
    ) -> AsyncIterator[HttpEndpointCaller]:
        """Make a caller for the length of a `with` block; `call_timeout` is for one whole call."""
        connector = aiohttp.TCPConnector(limit=concurrency, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=call_timeout.total_seconds()),
            headers={"User-Agent": "turnpike-health-prober", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        ) as session:
            yield cls(session, clock)

    async def call(self, endpoint: Endpoint, api_key: str, request: UpstreamRequest) -> tuple[int, bytes]:
        """Return status and body of the answer.

        Raises:
            UnreachableError: no connection, or it broke.
            ProbeTimeoutError: no whole answer in time.
        """
        # The dialect has encoded the path.
        url = URL(endpoint.provider.base_url + request.path, encoded=True)
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            **request.headers,
            **credential_headers(
                endpoint.provider.dialect, api_key, url=str(url), body=request.body, now=self._clock.now()
            ),
        }
        try:
            # A redirect would carry the key to wherever it says.
            async with self._session.post(url, data=request.body, headers=headers, allow_redirects=False) as response:
                return response.status, await _read(response)
        except TimeoutError as error:
            raise ProbeTimeoutError from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise UnreachableError from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > _MAX_ANSWER:
            break
    return bytes(body)
