"""The faults of providers, each in every dialect: what a provider does, and what a router must make of it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from router.domain.attempts import FailureKind
from router.testing import scripts
from router.testing.scripted_provider import Exchange, Script, ScriptedProvider
from router.testing.wires import Said, Wire

BAD = FailureKind.BAD_ANSWER
GOOD_DAY = Said()
# What a provider says before it fails late.
SPOKEN = Said(words=("Go",))


def answering(wire: Wire, said: Said = GOOD_DAY) -> Script:
    """Say this, streamed or not, and end well."""

    async def script(exchange: Exchange) -> None:
        if not wire.asks_for_stream(exchange.received):
            await exchange.reply(wire.whole(said))
            return
        parts = wire.parts(said)
        await streamed(exchange, wire, (*parts.opening, *parts.output, *parts.closing))
        await exchange.end_stream()

    return script


async def streamed(exchange: Exchange, wire: Wire, events: Sequence[bytes]) -> None:
    """Begin a stream and send these events, each in a chunk of its own."""
    await exchange.begin_stream(wire.stream_type)
    for event in events:
        await exchange.chunk(event)


@dataclass(frozen=True)
class Early:
    """A fault before anything is shown to the caller.

    Attributes:
        script: what the provider does, given its dialect.
        kind: what kind of failure it is.
        elsewhere: the kind where a dialect has another word for it.
        in_streams, in_whole_answers: where it makes sense.
        is_silent: whether nothing comes, so that only the limit ends it.
    """

    script: Callable[[Wire], Script]
    kind: FailureKind
    elsewhere: Mapping[str, FailureKind] = field(default_factory=dict)
    in_streams: bool = True
    in_whole_answers: bool = True
    is_silent: bool = False

    def kind_at(self, wire: Wire) -> FailureKind:
        """What kind of failure it is in a dialect."""
        return self.elsewhere.get(wire.dialect, self.kind)


def _refusal(status: int, message: str = "no") -> Callable[[Wire], Script]:
    return lambda wire: scripts.refuse(status, wire.refusal(status, message))


def _only(*, opening: bool, then: Callable[[Wire], bytes], end: bool = True) -> Callable[[Wire], Script]:
    """Stream what comes before the first token, or nothing, and then something that is no answer."""

    def make(wire: Wire) -> Script:
        async def script(exchange: Exchange) -> None:
            await streamed(exchange, wire, wire.parts(SPOKEN).opening if opening else ())
            last = then(wire)
            if last:
                await exchange.chunk(last)
            if end:
                await exchange.end_stream()
            else:
                exchange.reset()

        return script

    return make


def _nothing(wire: Wire) -> bytes:
    return b""


def _stalled(wire: Wire) -> Script:
    async def script(exchange: Exchange) -> None:
        await streamed(exchange, wire, wire.parts(SPOKEN).opening)
        await exchange.gone()

    return script


def _promising(factor: float, *, then_stalls: bool = False) -> Callable[[Wire], Script]:
    """State a length that is not the body's; of a stream, what is within it has no token."""

    def make(wire: Wire) -> Script:
        async def script(exchange: Exchange) -> None:
            is_stream = wire.asks_for_stream(exchange.received)
            parts = wire.parts(SPOKEN)
            body = json.dumps(wire.whole(SPOKEN)).encode()
            if is_stream:
                body = b"".join(parts.opening) if factor > 1 else parts.whole
            length = int(len(body) * factor)
            if is_stream and factor < 1:
                length = len(b"".join(parts.opening))
            kind = wire.stream_type if is_stream else "application/json"
            await exchange.head(200, {"Content-Type": kind, "Content-Length": str(length)})
            await exchange.send(body)
            if then_stalls:
                await exchange.gone()
            else:
                exchange.close()

        return script

    return make


# Before the first token. What is said of both ways of answering is done in both.
EARLY: dict[str, Early] = {
    "reset": Early(lambda wire: scripts.reset, FailureKind.CONNECT),
    "silence": Early(lambda wire: scripts.silence, FailureKind.TIMEOUT, is_silent=True),
    "status 500": Early(_refusal(500, "Internal server error"), FailureKind.SERVER_ERROR),
    "status 529": Early(_refusal(529, "Overloaded"), FailureKind.OVERLOADED),
    "status 401": Early(_refusal(401, "Invalid credentials"), FailureKind.KEY_REJECTED),
    "200 and HTML": Early(lambda wire: scripts.reply(b"<html>Welcome</html>", "text/html"), BAD),
    "200 and HTML under a wrong name": Early(lambda wire: scripts.reply(b"<html>Welcome</html>"), BAD),
    "200 and an error": Early(
        lambda wire: scripts.reply(wire.late_failure()), FailureKind.SERVER_ERROR, elsewhere={"bedrock": BAD}
    ),
    "200 and nothing": Early(lambda wire: scripts.reply(b""), BAD),
    "200 and an empty answer": Early(lambda wire: answering(wire, Said(words=(), counts=None)), BAD),
    "a length that is too long": Early(_promising(1.5), BAD),
    "a length that is too short": Early(_promising(0.5), BAD),
    "a length that is never reached": Early(_promising(1.5, then_stalls=True), FailureKind.TIMEOUT, is_silent=True),
    "error event first": Early(
        _only(opening=False, then=lambda wire: wire.failure()), FailureKind.SERVER_ERROR, in_whole_answers=False
    ),
    "first event, then an error": Early(
        _only(opening=True, then=lambda wire: wire.failure()), FailureKind.SERVER_ERROR, in_whole_answers=False
    ),
    "malformed event first": Early(_only(opening=False, then=lambda wire: wire.garbage()), BAD, in_whole_answers=False),
    "first event, then a malformed one": Early(
        _only(opening=True, then=lambda wire: wire.garbage()), BAD, in_whole_answers=False
    ),
    "only the end mark": Early(
        _only(opening=False, then=lambda wire: wire.parts(Said(words=(), counts=None)).mark), BAD, in_whole_answers=False
    ),
    "a stream of nothing": Early(_only(opening=False, then=_nothing), BAD, in_whole_answers=False),
    "ends before the first token": Early(_only(opening=True, then=_nothing), BAD, in_whole_answers=False),
    "cut before the first token": Early(_only(opening=True, then=_nothing, end=False), BAD, in_whole_answers=False),
    "stalls before the first token": Early(
        _stalled, FailureKind.TIMEOUT, in_whole_answers=False, is_silent=True
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Late:
    """A fault after the caller has seen the first token. `error_type` and `status` are what it is told."""

    then: Callable[[Exchange, Wire], Awaitable[None]]
    status: int = 502
    error_type: str = "provider_unavailable"
    is_silent: bool = False
    states_length: bool = False
    """Whether the stream has a length, longer than what comes."""

    def script(self, wire: Wire, shown: asyncio.Event) -> Script:
        """Say `SPOKEN` without its end, wait until it was shown, and then do it."""

        async def script(exchange: Exchange) -> None:
            parts = wire.parts(SPOKEN)
            if self.states_length:
                headers = {"Content-Type": wire.stream_type, "Content-Length": str(len(parts.whole) + 100)}
                await exchange.head(200, headers)
                await exchange.send(b"".join((*parts.opening, *parts.output)))
            else:
                await streamed(exchange, wire, (*parts.opening, *parts.output))
            await shown.wait()
            await self.then(exchange, wire)

        return script


async def _break(exchange: Exchange, wire: Wire) -> None:
    exchange.reset()


async def _close(exchange: Exchange, wire: Wire) -> None:
    exchange.close()


async def _end(exchange: Exchange, wire: Wire) -> None:
    await exchange.end_stream()


async def _stall(exchange: Exchange, wire: Wire) -> None:
    await exchange.gone()


async def _fail(exchange: Exchange, wire: Wire) -> None:
    await exchange.chunk(wire.failure())
    await exchange.end_stream()


async def _garble(exchange: Exchange, wire: Wire) -> None:
    await exchange.chunk(wire.garbage())
    await exchange.end_stream()


async def _cut_in_an_event(exchange: Exchange, wire: Wire) -> None:
    last = wire.parts(SPOKEN).closing[0]
    await exchange.chunk(last[: len(last) // 2])
    await exchange.end_stream()


LATE: dict[str, Late] = {
    "reset": Late(_break),
    "the body ends": Late(_end),
    "the body ends within an event": Late(_cut_in_an_event),
    "error event": Late(_fail),
    "malformed event": Late(_garble),
    "stall": Late(_stall, 504, "timeout", is_silent=True),
    "a length that is too long": Late(_close, states_length=True),
}


@dataclass(frozen=True)
class RetryAfter:
    """A way to say how long to wait. `seconds` is what it comes to, None when nothing is said."""

    headers: Callable[[], Mapping[str, str]] = dict
    body: Any = None
    seconds: float | None = 37.0


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


RETRY_AFTER: dict[str, RetryAfter] = {
    "nothing": RetryAfter(seconds=None),
    "seconds": RetryAfter(lambda: {"Retry-After": "37"}),
    "HTTP date": RetryAfter(lambda: {"Retry-After": format_datetime(_in(37), usegmt=True)}),
    "retry-after-ms": RetryAfter(lambda: {"retry-after-ms": "37000"}),
    "x-ratelimit-reset in seconds": RetryAfter(lambda: {"x-ratelimit-reset": "37"}),
    "x-ratelimit-reset as a Unix time": RetryAfter(lambda: {"x-ratelimit-reset": str(int(_in(37).timestamp()))}),
    "x-ratelimit-reset in Unix milliseconds": RetryAfter(
        lambda: {"x-ratelimit-reset": str(int(_in(37).timestamp() * 1000))}
    ),
    "x-ratelimit-reset-requests": RetryAfter(
        lambda: {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "37s",
            "x-ratelimit-remaining-tokens": "9000",
            "x-ratelimit-reset-tokens": "6m0s",
        }
    ),
    "anthropic-ratelimit-requests-reset": RetryAfter(
        lambda: {
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": _in(37).isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
    ),
    "RetryInfo in the body": RetryAfter(
        body={
            "error": {
                "code": 429,
                "message": "Quota exceeded",
                "status": "RESOURCE_EXHAUSTED",
                "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}],
            }
        }
    ),
}


def limiting(wire: Wire, form: RetryAfter) -> Script:
    """Answer 429 and say how long to wait in this form."""

    async def script(exchange: Exchange) -> None:
        await exchange.reply(form.body or wire.refusal(429, "Too many requests"), 429, form.headers())

    return script


@asynccontextmanager
async def _refused(tls: ssl.SSLContext) -> AsyncIterator[str]:
    # Bound, so that nobody else listens there, and not listening.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@asynccontextmanager
async def _stranger(tls: ssl.SSLContext) -> AsyncIterator[str]:
    async with ScriptedProvider(scripts.reply({}), tls=tls) as provider:
        yield provider.origin
        assert not provider.received, "a request was sent to somebody who has not shown who it is"


@asynccontextmanager
async def _plain(tls: ssl.SSLContext) -> AsyncIterator[str]:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def _nowhere(tls: ssl.SSLContext) -> AsyncIterator[str]:
    yield "http://nowhere.invalid"


@asynccontextmanager
async def mute_at_https() -> AsyncIterator[str]:
    """The origin of a server that answers no handshake."""
    # It waits for the end of a request's head, which a handshake does not have.
    async with ScriptedProvider(scripts.reply({})) as provider:
        yield provider.origin.replace("http:", "https:")
        assert not provider.received


# Where nothing can be sent to. Each gives an origin, and is given a TLS context that nobody has a reason to trust.
UNREACHABLE: dict[str, Callable[[ssl.SSLContext], AbstractAsyncContextManager[str]]] = {
    "connection refused": _refused,
    "self-signed certificate": _stranger,
    "plain text at an https address": _plain,
    "no such name": _nowhere,
}
