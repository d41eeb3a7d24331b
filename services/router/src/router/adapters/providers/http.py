"""Calls of providers over HTTP, each in its own dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import aiohttp
from aiohttp.abc import AbstractResolver

from contracts.catalog import Endpoint
from contracts.sealed_secrets import SealError
from dialects.registry import dialect_named
from dialects.upstream import UpstreamDialect, UpstreamRequest
from router.adapters.providers.answers import StreamCall, WholeCall, media_type, read_bounded
from router.adapters.providers.key_ring import KeyRing
from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.errors import AttemptFailedError, KeyHostMismatchError
from router.domain.ports import UpstreamCall
from router.domain.retry_after import read_limit_reset, read_retry_after
from router.domain.upstream_failures import failure_of
from servicekit.clock import Clock
from servicekit.lifecycle import Component

# An error body is read for its kind only, and a provider in trouble may drip it.
_MAX_ERROR_BYTES = 64 * 1024
_ERROR_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of the connections and of what is read from them.

    Attributes:
        connect: seconds for a connection, its place in the pool included.
        connections: to all providers together.
        connections_per_host: to one host.
        answer_bytes: of one answer, streamed or not.
    """

    connect: float = 5.0
    connections: int = 4_000
    connections_per_host: int = 1_000
    answer_bytes: int = 64 * 1024 * 1024


class HttpProviders(Component):
    """The providers of the catalogue. Redirects are not followed, proxies of the environment are not used (S16)."""

    name = "providers"

    def __init__(
        self,
        keys: Callable[[], KeyRing],
        clock: Clock,
        limits: HttpLimits,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Make the adapter.

        Args:
            keys: gives the credentials in force.
            clock: for waits that providers state as a date.
            limits: of connections and answers.
            resolver: finds the addresses of hosts; None for the system's.
        """
        self._keys = keys
        self._clock = clock
        self._limits = limits
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the connection pool; nothing is connected yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._limits.connections,
                limit_per_host=self._limits.connections_per_host,
                ttl_dns_cache=30,
                resolver=self._resolver,
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect, sock_read=None),
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Content-Type": "application/json",
                # A compressed answer could unfold to any size (S33); tokens are too small to gain from it.
                "Accept-Encoding": "identity",
                "User-Agent": "turnpike",
            },
        )

    async def stop(self, grace: timedelta) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        endpoint: Endpoint,
        request: UpstreamRequest,
        *,
        key: int = 0,
        stream: bool,
        within: float,
        credential: Callable[[], str] | None = None,
    ) -> UpstreamCall:
        """Send a request and wait for the start of its answer. See `router.domain.ports.Providers`."""
        if self._session is None:
            raise RuntimeError("not started")
        try:
            own = None if credential is None else credential()
            url, headers = self._keys().request_to(endpoint.provider, request, self._clock.now(), key, own)
        except SealError:
            raise AttemptFailedError(AttemptFailure(FailureKind.KEY_REJECTED, detail="unreadable")) from None
        except KeyHostMismatchError as error:
            raise AttemptFailedError(AttemptFailure(FailureKind.CONNECT, detail=str(error))) from None
        except ValueError as error:
            raise AttemptFailedError(AttemptFailure(FailureKind.KEY_REJECTED, detail=str(error))) from None
        try:
            async with asyncio.timeout(within):
                response = await self._session.post(url, data=request.body, headers=headers, allow_redirects=False)
        except aiohttp.ServerTimeoutError:
            raise AttemptFailedError(AttemptFailure(FailureKind.CONNECT, detail="connect timeout")) from None
        except TimeoutError:
            raise AttemptFailedError(AttemptFailure(FailureKind.TIMEOUT, detail="no answer")) from None
        except aiohttp.ClientResponseError:
            raise AttemptFailedError(AttemptFailure(FailureKind.BAD_ANSWER, detail="not HTTP")) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The text of these errors may hold the address, and that the operator's account.
            raise AttemptFailedError(AttemptFailure(FailureKind.CONNECT, detail=type(error).__name__)) from None
        try:
            return await self._judge(response, dialect_named(endpoint.provider.dialect), request, stream)
        except BaseException:
            response.close()
            raise

    async def _judge(
        self, response: aiohttp.ClientResponse, dialect: UpstreamDialect, request: UpstreamRequest, stream: bool
    ) -> UpstreamCall:
        if response.status != 200:
            raise AttemptFailedError(await self._refusal(response, dialect))
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise AttemptFailedError(AttemptFailure(FailureKind.BAD_ANSWER, 200, "compressed answer"))
        kind = media_type(response)
        if kind == "text/html":
            raise AttemptFailedError(AttemptFailure(FailureKind.BAD_ANSWER, 200, "HTML instead of an answer"))
        # A server that does not stream, or has only an error to say, answers a stream's request with plain JSON.
        if stream and kind != "application/json":
            return StreamCall(response, self._limits.answer_bytes, dialect.read_stream())
        read = request.read or (lambda body, _: dialect.read_answer(body))
        return WholeCall(response, self._limits.answer_bytes, read)

    async def _refusal(self, response: aiohttp.ClientResponse, dialect: UpstreamDialect) -> AttemptFailure:
        if 200 <= response.status < 400:
            return AttemptFailure(FailureKind.BAD_ANSWER, response.status, "unexpected status")
        retry_after = read_retry_after(response.headers, self._clock.now())
        try:
            async with asyncio.timeout(_ERROR_SECONDS):
                body = await read_bounded(response, _MAX_ERROR_BYTES)
        except (TimeoutError, aiohttp.ClientError, OSError, AttemptFailedError):
            body = b""
        failure = failure_of(dialect.read_error(body, response.status), retry_after)
        if failure.kind is FailureKind.RATE_LIMITED and failure.retry_after is None:
            failure = replace(failure, retry_after=read_limit_reset(response.headers, self._clock.now()))
        return failure
