"""An answer as server-sent events, whatever its dialect."""

from __future__ import annotations

import asyncio

from aiohttp import web

from edge.api.http.errors import problem_of
from edge.api.http.exchange import Exchange
from edge.api.inference.skin import Heading, SkinRequest
from edge.api.inference.stream_watch import StreamWatch
from edge.domain.errors import BrokenAnswerError
from edge.generations import Generation, failure_of
from servicekit.clock import Clock
from servicekit.logs import get_logger

_log = get_logger(__name__)

_SHUTTING_DOWN = "The service is shutting down. Try again."


class AnswerStream:
    """One answer on its way to one reader.

    The status line waits for the router's first message, so that an error before it has its HTTP status; a caller that
    has waited for the keep-alive interval gets it earlier, and an error then becomes an event.
    """

    __slots__ = (
        "_abandoned", "_clock", "_events", "_exchange", "_generation", "_request", "_response", "_task", "blocked_since_s",
        "last_write_s",
    )  # fmt: skip

    def __init__(
        self, exchange: Exchange, generation: Generation, request: SkinRequest, heading: Heading, clock: Clock
    ) -> None:
        self._exchange = exchange
        self._generation = generation
        self._clock = clock
        self._request = request
        self._events = request.events(heading)
        self._response = web.StreamResponse()
        self._task = asyncio.current_task()
        self._abandoned = False
        self.last_write_s = clock.monotonic()
        self.blocked_since_s: float | None = None

    async def send(self, watch: StreamWatch) -> web.StreamResponse:
        """Send the answer to its end.

        Raises:
            EdgeError: nothing has been sent yet.
            ConnectionError: the reader is gone.
        """
        watch.add(self)
        try:
            await self._relay()
        except asyncio.CancelledError:
            if not self._abandoned or self._task is None or self._task.uncancel():
                raise
            await self._fail(BrokenAnswerError(_SHUTTING_DOWN, 503, "provider_overloaded"))
        except ConnectionError:
            # The reader is gone, so there is nobody to tell.
            raise
        except Exception as error:
            await self._fail(error)
        finally:
            watch.remove(self)
        await self._response.write_eof()
        return self._response

    async def keep_alive(self) -> None:
        """Send a comment, and the status line before it if need be."""
        if self._exchange.request.protocol.writing_paused:
            return
        self.last_write_s = self._clock.monotonic()
        await self._begin()
        await self._response.write(self._events.keep_alive)

    def abort(self) -> None:
        """Close the connection at once; that cancels this answer."""
        transport = self._exchange.request.transport
        if transport is not None:
            transport.abort()

    def abandon(self) -> None:
        """End with an error event, because the process ends."""
        if self._task is not None and not self._abandoned:
            self._abandoned = True
            self._task.cancel()

    async def _relay(self) -> None:
        while (message := await self._generation.read()) is not None:
            data = b""
            if message.HasField("route"):
                self._exchange.model, self._exchange.provider = message.route.model, message.route.provider_name
                data = self._events.route(message.route)
            if message.deltas:
                data += self._events.deltas(message.deltas)
            if message.HasField("outcome"):
                failure = failure_of(message.outcome)
                if failure is not None:
                    if data:
                        await self._write(data)
                    raise failure
                data += self._events.final(message.outcome)
                self._exchange.leave()
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        if not self._response.prepared:
            await self._begin()
        if not data:
            return
        self.last_write_s = self.blocked_since_s = self._clock.monotonic()
        await self._response.write(data)
        self.blocked_since_s = None

    async def _begin(self) -> None:
        if self._response.prepared:
            return
        headers = self._response.headers
        headers.update(self._exchange.headers())
        headers["Content-Type"] = "text/event-stream"
        headers["Cache-Control"] = "no-cache"
        # Otherwise nginx collects events until its buffer is full.
        headers["X-Accel-Buffering"] = "no"
        await self._response.prepare(self._exchange.request)

    async def _fail(self, error: Exception) -> None:
        """End with one error event; where nothing was sent yet, the error becomes a whole answer instead."""
        problem = problem_of(error)
        if not self._response.prepared and not self._request.absorbs(problem):
            raise error
        if problem.status == 500:
            # No other layer sees it: for them the answer has gone out.
            _log.error("stream.failed", exc_info=error)
        self._exchange.error_type = problem.error_type
        self._exchange.leave()
        await self._write(self._events.error(problem))
