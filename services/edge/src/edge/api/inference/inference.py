"""Every way in for inference: one handler that runs a request of any skin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from aiohttp import web

from dialects.chat import ChatRequest
from edge.api.http.bodies import JsonBodies
from edge.api.http.errors import problem_of
from edge.api.http.exchange import Exchange
from edge.api.http.routes import Route
from edge.api.inference.answer_stream import AnswerStream
from edge.api.inference.attribution import application_of
from edge.api.inference.preparation import Preparation, Prepared
from edge.api.inference.skin import AnswerWriter, Heading, Skin, SkinRequest
from edge.api.inference.stream_watch import StreamWatch
from edge.content_log import ContentLog
from edge.domain.cache_wish import CacheWish, cache_wish
from edge.domain.capacity import Capacity
from edge.domain.errors import RefusedError
from edge.domain.request_rate import RequestRate
from edge.generations import Generation, Generations, failure_of, unix_ms
from edge.request_rules import Ruled
from edge.response_cache import Message, Recorder, ResponseCache, cache_key
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
        cache: ResponseCache,
        content_log: ContentLog,
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
            cache: keeps answers.
            content_log: keeps what was said, for keys that opted in.
            clock: dates their events.
        """
        self._skins = skins
        self._generations = generations
        self._bodies = bodies
        self._capacity = capacity
        self._watch = watch
        self._rate = rate
        self._preparation = preparation
        self._cache = cache
        self._content_log = content_log
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
            prepared = await self._preparation.prepare(exchange.principal, request)
            wish = cache_wish(headers, prepared.cache_wishes)
            if wish is None:
                return await self._generate(exchange, prepared)
            return await self._cached(exchange, prepared, skin, wish)

    async def _cached(self, exchange: Exchange, prepared: Prepared, skin: Skin, wish: CacheWish) -> web.StreamResponse:
        """Answer from what is kept, or keep the answer."""
        principal, request = exchange.principal, prepared.request
        ruled = await self._generations.ruled(principal, request.chat)
        policy = b"" if ruled.policy is None else ruled.policy.SerializeToString(deterministic=True)
        region = application_of(exchange).data_region
        key = cache_key(
            principal, type(skin).__name__, ruled.request, policy, streamed=request.streamed, data_region=region
        )
        kept = self._cache.find(key, wish)
        status = {"X-OpenRouter-Cache-Status": "MISS" if kept is None else "HIT"}
        if kept is None:
            exchange.more_headers = status | {"X-OpenRouter-Cache-TTL": str(wish.ttl_s)}
            return await self._generate(exchange, prepared, partial(self._cache.recorder, key, wish), ruled)
        exchange.more_headers = status | {
            "X-OpenRouter-Cache-Age": str(self._cache.age_s(kept)),
            "X-OpenRouter-Cache-TTL": str(kept.ttl_s),
            "X-OpenRouter-Cache-Source-Id": kept.source_id,
        }
        return await self._send(exchange, self._cache.replay(kept, *self._generations.new_id()), request)

    async def _generate(
        self,
        exchange: Exchange,
        prepared: Prepared,
        recorder: Callable[[str], Recorder] | None = None,
        ruled: Ruled | None = None,
    ) -> web.StreamResponse:
        """Have a request answered by the router.

        Args:
            exchange: with the caller.
            prepared: what is asked for.
            recorder: makes what notes the answer of a generation.
            ruled: the request as the caller's rules leave it, where they were applied to find a kept answer.
        """
        session_id = exchange.request.headers.get("x-session-id")
        request, chat = prepared.request, _with_session(prepared.request.chat, session_id)
        if chat is not request.chat:
            request = request.with_chat(chat)
        if ruled is not None:
            ruled = replace(ruled, request=_with_session(ruled.request, session_id))
        async with self._generations.begin(
            exchange.principal, request.chat, application_of(exchange), ruled=ruled, limits=exchange.limits
        ) as generation:
            if prepared.amendments:
                generation.amend = prepared.amendments.apply
            takers = [] if recorder is None else [recorder(generation.generation_id).take]
            content = self._content_log.recorder(
                exchange.principal, generation.request or request.chat, generation.generation_id
            )
            if content is not None:
                takers.append(content.take)
            generation.on_message = _all_of(takers)
            try:
                return await self._send(exchange, generation, request)
            except RefusedError as error:
                if content is not None:
                    content.refused(error)
                raise

    async def _send(self, exchange: Exchange, generation: Generation, request: SkinRequest) -> web.StreamResponse:
        exchange.generation_id = generation.generation_id
        heading = Heading(generation.generation_id, generation.created, _requested_model(request.chat))
        if request.streamed:
            exchange.streamed = True
            return await AnswerStream(exchange, generation, request, heading, self._clock).send(self._watch)
        return await _whole(exchange, generation, request, heading)


def _all_of(takers: Sequence[Callable[[Message], None]]) -> Callable[[Message], None] | None:
    if not takers:
        return None

    def take(message: Message) -> None:
        for taker in takers:
            taker(message)

    return take


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
    exchange.leave()
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


def _with_session(request: ChatRequest, session_id: str | None) -> ChatRequest:
    """The header says the same as the member, which wins."""
    if not session_id or request.body.session_id is not None:
        return request
    return request.with_members({"session_id": session_id})


def _requested_model(request: ChatRequest) -> str:
    body = request.body
    return body.model or (body.models[0] if body.models else "")
