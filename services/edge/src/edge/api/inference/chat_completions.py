"""`POST /chat/completions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from dialects.chat import ChatRequest, decode_chat_request
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Access, Route
from edge.api.inference.chat_result import ChatResult
from edge.api.inference.chat_stream import ChatStream
from edge.api.inference.stream_watch import StreamWatch
from edge.domain.admission import Capacity
from edge.generations import Application, Generation, Generations, failure_of
from servicekit.clock import Clock

# Longer ones are of no use to anybody who reads a list of applications.
_MAX_APPLICATION_LENGTH: Final = 256


class ChatCompletions:
    """Answers chat completions, whole or streamed."""

    def __init__(
        self, generations: Generations, bodies: JsonBodies, capacity: Capacity, watch: StreamWatch, clock: Clock
    ) -> None:
        """Make the handler.

        Args:
            generations: starts them.
            bodies: reads requests.
            capacity: bounds how many there are at the same time.
            watch: looks after streams.
            clock: dates their events.
        """
        self._generations = generations
        self._bodies = bodies
        self._capacity = capacity
        self._watch = watch
        self._clock = clock

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return (Route("POST", "/chat/completions", Access.INFERENCE_KEY, self.create),)

    async def create(self, exchange: Exchange) -> web.StreamResponse:
        """Answer a request.

        Raises:
            EdgeError: it is refused.
            InvalidRequestError: it is not valid.
        """
        with self._capacity.place():
            request = decode_chat_request(await self._bodies.read(exchange.request))
            async with self._generations.begin(
                exchange.principal, request, _application(exchange.request)
            ) as generation:
                exchange.generation_id = generation.generation_id
                if request.body.stream:
                    exchange.streamed = True
                    stream = ChatStream(exchange, generation, _requested_model(request), self._clock)
                    return await stream.send(self._watch)
                return await _whole(exchange, generation, _requested_model(request))


async def _whole(exchange: Exchange, generation: Generation, requested_model: str) -> web.StreamResponse:
    result = ChatResult(generation.generation_id, generation.created, requested_model)
    while (message := await generation.read()) is not None:
        if message.HasField("route"):
            exchange.model, exchange.provider = message.route.model, message.route.provider_name
            result.route(message.route)
        for delta in message.deltas:
            result.add(delta)
        if message.HasField("outcome"):
            failure = failure_of(message.outcome)
            if failure is not None:
                raise failure
            response = exchange.json(result.render(message.outcome))
            # Sent here, before the router's orderly end is waited for.
            await response.prepare(exchange.request)
            await response.write_eof()
            return response
    raise AssertionError("a generation ends with an outcome or an error")


def _requested_model(request: ChatRequest) -> str:
    body = request.body
    return body.model or (body.models[0] if body.models else "")


def _application(request: web.BaseRequest) -> Application:
    headers = request.headers
    title = headers.get("X-OpenRouter-Title") or headers.get("X-Title") or ""
    referer = headers.get("HTTP-Referer") or headers.get("Referer") or ""
    metadata = headers.get("X-OpenRouter-Metadata") or headers.get("X-OpenRouter-Experimental-Metadata") or ""
    return Application(
        referer[:_MAX_APPLICATION_LENGTH],
        title[:_MAX_APPLICATION_LENGTH],
        wants_metadata=metadata.strip().lower() == "enabled",
    )
