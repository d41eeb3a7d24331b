"""`POST /v1/chat/completions`: reads a request and serves the answer, or the fault, that the model name asks for."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import struct
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, NoReturn

import msgspec
from aiohttp import web

from sim.answer import Answer, Json, compose_answer, strikes
from sim.behaviour import Behaviour, Fault, UnknownModelError, parse_behaviour
from sim.streaming import EVENT_ERROR, first_token_ms, stream_answer, token_gap_ms


class ConnectionBrokenError(Exception):
    """The connection is broken on purpose, and there is nobody to answer."""


class _Request(msgspec.Struct):
    model: str
    messages: list[dict[str, Any]]
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(_Request)


@dataclass(slots=True)
class Count:
    """What happened to requests that named one model."""

    started: int = 0
    finished: int = 0
    refused: int = 0
    cancelled: int = 0


@dataclass(slots=True)
class _Bucket:
    """At most `rate` requests in any second, refilled evenly."""

    tokens: float
    at: float

    def take(self, rate: int, now: float) -> float:
        """Take one request's share; returns 0, or the seconds until one is there."""
        self.tokens = min(float(rate), self.tokens + (now - self.at) * rate)
        self.at = now
        if self.tokens < 1:
            return (1 - self.tokens) / rate
        self.tokens -= 1
        return 0.0


class Chat:
    """Serves chat completions; remembers only what it counts."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._counts: defaultdict[str, Count] = defaultdict(Count)
        self._buckets: dict[str, _Bucket] = {}

    def counts(self) -> dict[str, dict[str, int]]:
        """Counts by model name."""
        return {model: asdict(count) for model, count in self._counts.items()}

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        try:
            body = _DECODER.decode(await request.read())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return refusal(400, f"simulated: {error}", "invalid_request_error")
        try:
            behaviour = parse_behaviour(body.model)
        except UnknownModelError as error:
            return refusal(404, f"simulated: {error}", "invalid_request_error", code="model_not_found")
        count = self._counts[body.model]
        count.started += 1
        try:
            response = await self._answer(request, body, behaviour, count)
        except (asyncio.CancelledError, ConnectionError):
            count.cancelled += 1
            raise
        except ConnectionBrokenError:
            count.cancelled += 1
            # Nobody gets it. An exception would be logged with its trace as a fault of this server.
            return web.Response()
        count.finished += response.status == 200
        count.refused += response.status != 200
        return response

    async def _answer(
        self, request: web.Request, body: _Request, behaviour: Behaviour, count: Count
    ) -> web.StreamResponse:
        if behaviour.rate_limit:
            now = asyncio.get_running_loop().time()
            bucket = self._buckets.setdefault(body.model, _Bucket(float(behaviour.rate_limit), now))
            if wait := bucket.take(behaviour.rate_limit, now):
                return refusal(429, "simulated: rate limit", "rate_limit_error", retry_after=str(ceil(wait)))
        fault = strikes(self._seed, body.model, behaviour, body.messages, count.started)
        if response := await fault_instead(request, behaviour, fault):
            return response
        limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
        answer = compose_answer(
            self._seed,
            body.model,
            behaviour,
            body.messages,
            limit,
            empty=fault is Fault.EMPTY,
            request={"tools": body.tools, "tool_choice": body.tool_choice, "response_format": body.response_format},
        )
        if body.stream:
            counted = bool((body.stream_options or {}).get("include_usage")) and fault is not Fault.MISSING_USAGE
            return await stream_answer(request, answer, behaviour, fault, with_usage=counted)
        return await _whole_answer(request, answer, behaviour, fault)


async def fault_instead(request: web.Request, behaviour: Behaviour, fault: Fault | None) -> web.StreamResponse | None:
    """Serve the faults that leave no answer to start."""
    if fault in {Fault.ERROR, Fault.ECHO}:
        retry_after = _retry_after(behaviour.retry_after) if behaviour.status in {429, 503, 529} else None
        message = f"simulated: error {behaviour.status}"
        if fault is Fault.ECHO:
            # Some providers repeat what they were sent, the key with it.
            given = request.headers.get("Authorization", "")
            message += f": {given} {(await request.read()).decode(errors='replace')}"
        return refusal(behaviour.status, message, "api_error", retry_after=retry_after)
    if fault is Fault.HTML_200:
        return web.Response(text="<html><body>simulated: not an answer</body></html>", content_type="text/html")
    if fault is Fault.EMPTY_BODY:
        return web.Response(body=b"", content_type="application/json")
    if fault is Fault.STALL_BEFORE:
        await asyncio.sleep(behaviour.stall_ms / 1000)
        reset(request)
    if fault is Fault.RESET:
        reset(request)
    return None


async def _whole_answer(
    request: web.Request, answer: Answer, behaviour: Behaviour, fault: Fault | None
) -> web.StreamResponse:
    body = msgspec.json.encode(answer.completion(with_usage=fault is not Fault.MISSING_USAGE))
    return await serve_whole(request, body, "application/json", behaviour, fault, tokens=answer.completion_tokens)


async def serve_whole(
    request: web.Request, body: bytes, media_type: str, behaviour: Behaviour, fault: Fault | None, *, tokens: int
) -> web.StreamResponse:
    """Serve an answer in one piece, well or with a fault, after as long as its tokens take."""
    if delay := first_token_ms(behaviour, fault) + token_gap_ms(behaviour, fault) * tokens:
        await asyncio.sleep(delay / 1000)
    if fault in {Fault.ERROR_AFTER_200, Fault.FIRST_THEN_ERROR}:
        return web.Response(body=EVENT_ERROR, content_type="application/json")
    if fault is Fault.STALL_WITHIN:
        await asyncio.sleep(behaviour.stall_ms / 1000)
        reset(request)
    if fault is Fault.TRUNCATED:
        body = body[: len(body) // 2]
    elif fault is Fault.MALFORMED_EVENT:
        body = body[:-1] + b",}"
    if fault in {Fault.WRONG_CONTENT_LENGTH, Fault.CUT}:
        promised = len(body) + 100 if fault is Fault.WRONG_CONTENT_LENGTH else len(body)
        response = web.StreamResponse(headers={"Content-Type": media_type, "Content-Length": str(promised)})
        await response.prepare(request)
        await response.write(body if fault is Fault.WRONG_CONTENT_LENGTH else body[: len(body) // 2])
        close(request)
        return response
    return web.Response(body=body, content_type=media_type)


def refusal(
    status: int, message: str, kind: str, *, code: str | None = None, retry_after: str | None = None
) -> web.Response:
    """Build an error in OpenAI's form."""
    error: Json = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    headers = {"Retry-After": retry_after} if retry_after is not None else {}
    return web.Response(
        status=status, body=msgspec.json.encode(error), headers=headers, content_type="application/json"
    )


def reset(request: web.Request) -> NoReturn:
    """Break the connection so that the client sees a reset.

    Raises:
        ConnectionBrokenError: always, to leave the handler.
    """
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        # Closing a socket that does not linger sends RST in place of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    raise ConnectionBrokenError


def close(request: web.Request) -> None:
    """End the connection in order, after what is written, in the middle of the answer."""
    if request.transport is not None:
        request.transport.close()


def _retry_after(form: str) -> str | None:
    if form == "none":
        return None
    if form.startswith("date-"):
        return email.utils.formatdate(time.time() + int(form.removeprefix("date-")), usegmt=True)
    return form
