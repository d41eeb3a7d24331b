"""The public port: connections, their limits, and how they are let go.

aiohttp's low-level server is used without its application layer: requests that are not HTTP must get the envelope too, and
what the layer adds (a router, middlewares, signals) would cost more than all the work of the edge for a small request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

from aiohttp import http_parser, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from opentelemetry.metrics import Meter

from edge.api.http.errors import INTERNAL_MESSAGE, Problem
from edge.settings import HttpSettings
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec

_log = get_logger(__name__)

RequestHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_NOT_HTTP: Final = CounterSpec("edge.requests.malformed", "{request}", "Requests that were refused as not valid HTTP.")
_POLL_S: Final = 0.05
# More would be answers that nobody waits for.
_MAX_HEADERS: Final = 100


def require_c_parser(parser: object = http_parser.HttpRequestParser) -> None:
    """Refuse the HTTP parser in pure Python, which is lenient where request smuggling begins (S28).

    Raises:
        RuntimeError: aiohttp runs without its extension module.
    """
    if parser is http_parser.HttpRequestParserPy:
        raise RuntimeError("aiohttp runs without its C parser; the edge does not serve with the other one")


class Connection(web.RequestHandler):
    """One client connection, which must complete its headers in time."""

    __slots__ = ("_busy", "_head_timer", "_malformed", "_timeout_s")

    def __init__(self, server: PublicServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._timeout_s = server.header_timeout_s
        self._malformed = server.malformed
        self._head_timer: asyncio.TimerHandle | None = None
        self._busy = False

    def data_received(self, data: bytes) -> None:
        """Give the sender of a first byte its time for the rest of the headers."""
        super().data_received(data)
        if self._head_timer is None and not self._busy:
            loop = asyncio.get_running_loop()
            self._head_timer = loop.call_later(self._timeout_s, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer."""
        self._disarm()
        super().connection_lost(exc)

    def request_began(self) -> None:
        """The headers are complete."""
        self._busy = True
        self._disarm()

    def request_ended(self) -> None:
        """The next bytes are another request."""
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a request is in hand or on its way in."""
        return self._busy or self._head_timer is not None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed. aiohttp's own answer is not JSON, and quotes what was sent."""
        self._disarm()
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun; there is no place for another")
        if status >= 500:
            _log.error("request.failed", exc_info=exc)
            problem = Problem(500, "server", INTERNAL_MESSAGE)
        elif isinstance(exc, LineTooLong):
            problem = Problem(431, "invalid_request", "The request line or a header is too long")
        else:
            problem = Problem(400, "invalid_request", "The request is not valid HTTP")
        self._malformed.add(1, {"http.response.status_code": problem.status})
        _log.info("request.malformed", status=problem.status, error=type(exc).__name__)
        response = problem.response()
        response.headers["Server"] = "turnpike"
        response.force_close()
        return response

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class PublicServer(web.Server):
    """Makes connections."""

    def __init__(self, handler: RequestHandler, settings: HttpSettings, meter: Meter) -> None:
        # A client that goes away cancels what is done for it.
        super().__init__(handler, request_factory=self._request, handler_cancellation=True)
        self.header_timeout_s = settings.header_timeout.total_seconds()
        self.malformed = _NOT_HTTP.create(meter)
        self._body_limit = settings.body_limit
        self._loop_of_connections = asyncio.get_running_loop()
        self._options: dict[str, Any] = {
            "keepalive_timeout": settings.idle_timeout.total_seconds(),
            "max_line_size": settings.header_limit,
            "max_field_size": settings.header_limit,
            "max_headers": _MAX_HEADERS,
            # S30: bodies are refused when they are compressed, never inflated.
            "auto_decompress": False,
            "access_log": None,
        }

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self, loop=self._loop_of_connections, **self._options)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop_of_connections, client_max_size=self._body_limit
        )


class HttpServer(Component):
    """Listens on the public port."""

    name = "http-server"

    def __init__(self, handler: RequestHandler, settings: HttpSettings, clock: Clock, meter: Meter) -> None:
        """Make a server.

        Args:
            handler: answers requests; it raises nothing but cancellation.
            settings: address and limits.
            clock: to wait with.
            meter: counts what is not HTTP.
        """
        self._handler = handler
        self._settings = settings
        self._clock = clock
        self._meter = meter
        self._in_flight = 0
        self._server: PublicServer | None = None
        self._listener: asyncio.Server | None = None
        self._draining = False
        self._abandon: list[Callable[[], None]] = []
        self.port = 0

    def on_abandon(self, callback: Callable[[], None]) -> None:
        """Call this when the grace of the drain is over, before connections are closed."""
        self._abandon.append(callback)

    async def start(self) -> None:
        """Listen.

        Raises:
            RuntimeError: aiohttp runs without its C parser.
            OSError: the port is taken.
        """
        require_c_parser()
        self._server = PublicServer(self._handle, self._settings, self._meter)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, self._settings.host, self._settings.port, backlog=1024)
        self.port = int(self._listener.sockets[0].getsockname()[1])
        _log.info("http.listening", host=self._settings.host, port=self.port)

    async def stop(self, grace: timedelta) -> None:
        """Refuse connections, let requests in flight finish, then end them."""
        self._draining = True
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        self._close_idle(self._server)
        deadline = self._clock.monotonic() + grace.total_seconds()
        while self._in_flight and self._clock.monotonic() < deadline:
            await self._clock.sleep(_POLL_S)
            self._close_idle(self._server)
        if self._in_flight:
            for callback in self._abandon:
                callback()
            # For the last words that the callbacks make them say.
            await self._clock.sleep(_POLL_S)
        await self._server.shutdown(_POLL_S)

    def in_flight(self) -> int:
        """Requests that are being answered."""
        return self._in_flight

    def _close_idle(self, server: PublicServer) -> None:
        for connection in server.connections:
            if isinstance(connection, Connection) and not connection.busy:
                connection.force_close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        if isinstance(connection, Connection):
            connection.request_began()
        self._in_flight += 1
        try:
            response = await self._handler(request)
            if self._draining and not response.prepared:
                response.force_close()
            return response
        finally:
            self._in_flight -= 1
            if isinstance(connection, Connection):
                connection.request_ended()
