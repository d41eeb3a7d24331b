"""Every way in for inference: one handler that runs a request of any skin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from aiohttp import web

from dialects.chat import ChatRequest
from edge.api.http.bodies import JsonBodies
from edge.api.http.errors import problem_of
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Route
from edge.api.inference.answer_stream import AnswerStream
from edge.api.inference.attribution import application_of
from edge.api.inference.preparation import Preparation
from edge.api.inference.skin import AnswerWriter, Heading, Skin, SkinRequest
from edge.api.inference.stream_watch import StreamWatch
from edge.domain.admission import Capacity
from edge.domain.request_rate import RequestRate
from edge.generations import Generation, Generations, failure_of, unix_ms
from servicekit.clock import Clock


class Inference:
    """Answers requests for inference, whole or streamed, in the dialect that they came in."""

    def __init__(
        self,
        skins: Sequence[Skin],
        generations: Generations,
        bodies: JsonBodies,
        capacity: Capacity,
        watch: StreamWatch,
        rate: RequestRate,
        preparation: Preparation,
        clock: Clock,
    ) -> None:
        """Make the handler.

        Args:
            skins: dialects that are spoken.
            generations: starts them.
            bodies: reads requests.
            capacity: bounds how many there are at the same time.
            watch: looks after streams.
            rate: bounds how many a key may send.
            preparation: of requests.
            clock: dates their events.
        """
        self._skins = skins
        self._generations = generations
        self._bodies = bodies
        self._capacity = capacity
        self._watch = watch
        self._rate = rate
        self._preparation = preparation
        self._clock = clock

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        return [skin.route(partial(self._answer, skin)) for skin in self._skins]

    async def _answer(self, skin: Skin, exchange: Exchange) -> web.StreamResponse:
        """Answer a request.

        Raises:
            EdgeError: it is refused.
            InvalidRequestError: it is not valid.
        """
        with self._capacity.place():
            self._rate.count(exchange.principal.key.key_id, unix_ms(self._clock.now()))
            headers = exchange.request.headers
            request = skin.decode(await self._bodies.read(exchange.request), headers)
            request = _with_session(request, headers.get("x-session-id"))
            prepared = await self._preparation.prepare(exchange.principal, request)
            request = prepared.request
            application = application_of(exchange)
            async with self._generations.begin(exchange.principal, request.chat, application) as generation:
                exchange.generation_id = generation.generation_id
                heading = Heading(generation.generation_id, generation.created, _requested_model(request.chat))
                if request.streamed:
                    exchange.streamed = True
                    return await AnswerStream(exchange, generation, request, heading, self._clock).send(self._watch)
                return await _whole(exchange, generation, request, heading)


async def _whole(
    exchange: Exchange, generation: Generation, request: SkinRequest, heading: Heading
) -> web.StreamResponse:
    answer = request.answer(heading)
    try:
        document = await _collect(exchange, generation, answer)
    except Exception as error:
        problem = problem_of(error)
        if not request.absorbs(problem):
            raise
        exchange.error_type = problem.error_type
        document = answer.failed(problem)
    response = exchange.json(document)
    # Sent here, before the router's orderly end is waited for.
    await response.prepare(exchange.request)
    await response.write_eof()
    return response


async def _collect(exchange: Exchange, generation: Generation, answer: AnswerWriter) -> bytes:
    while (message := await generation.read()) is not None:
        if message.HasField("route"):
            exchange.model, exchange.provider = message.route.model, message.route.provider_name
            answer.route(message.route)
        for delta in message.deltas:
            answer.add(delta)
        if message.HasField("outcome"):
            failure = failure_of(message.outcome)
            if failure is not None:
                raise failure
            return answer.render(message.outcome)
    raise AssertionError("a generation ends with an outcome or an error")


def _with_session(request: SkinRequest, session_id: str | None) -> SkinRequest:
    """The header says the same as the member, which wins."""
    if not session_id or request.chat.body.session_id is not None:
        return request
    return request.with_chat(request.chat.with_members({"session_id": session_id}))


def _requested_model(request: ChatRequest) -> str:
    body = request.body
    return body.model or (body.models[0] if body.models else "")
