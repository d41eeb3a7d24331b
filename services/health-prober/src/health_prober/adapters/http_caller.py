"""Calls endpoints over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp

from contracts.catalog import Endpoint
from health_prober.domain.errors import ProbeTimeoutError, UnreachableError

# A probe's answer is a few hundred bytes. Of a longer one the rest stays unread, and it then reads as a bad answer.
_MAX_ANSWER = 256 * 1024


class HttpEndpointCaller:
    """Calls endpoints, each time over a new connection: that one can be made is part of what a probe shows."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls, *, call_timeout: timedelta, concurrency: int) -> AsyncIterator[HttpEndpointCaller]:
        """Make a caller for the length of a `with` block; `call_timeout` is for one whole call."""
        connector = aiohttp.TCPConnector(limit=concurrency, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=call_timeout.total_seconds()),
            headers={"User-Agent": "turnpike-health-prober", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        ) as session:
            yield cls(session)

    async def call(self, endpoint: Endpoint, api_key: str, body: bytes) -> tuple[int, bytes]:
        """Return status and body of the answer.

        Raises:
            UnreachableError: no connection, or it broke.
            ProbeTimeoutError: no whole answer in time.
        """
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        url = f"{endpoint.provider.base_url}/chat/completions"
        try:
            # A redirect would carry the key to wherever it says.
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
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
