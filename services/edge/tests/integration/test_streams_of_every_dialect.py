"""What holds for a stream whatever its dialect, on real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from edge.settings import StreamSettings
from edge.testing.router import Message, Request, Stall, completed, piece, route, scripted
from edge.testing.stack import EdgeStack, Neighbours, OpenEdge
from servicekit.durations import parse_duration

MESSAGES = [{"role": "user", "content": "Say something"}]
BODIES: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": MESSAGES},
    "/completions": {"prompt": "Say something"},
    "/responses": {"input": "Say something"},
    "/messages": {"messages": MESSAGES, "max_tokens": 100},
}
every_dialect = pytest.mark.parametrize("path", BODIES)
# The end of a complete stream.
ENDS = {"/messages": b'data: {"type":"message_stop"}\n\n'}
DONE = b"data: [DONE]\n\n"


def body_of(path: str) -> dict[str, Any]:
    return {"model": "acme/one", "stream": True, **BODIES[path]}


def ask(edge: EdgeStack, path: str) -> Any:
    headers = {"Authorization": f"Bearer {edge.key}"}
    return edge.http.post(edge.url + path, json=body_of(path), headers=headers)


async def read_until(content: aiohttp.StreamReader, wanted: bytes) -> bytes:
    received = b""
    while wanted not in received:
        received += await content.readany()
        assert not content.at_eof() or wanted in received
    return received


@every_dialect
async def test_the_first_token_is_sent_at_once(path: str, edge: EdgeStack) -> None:
    stall = Stall("FIRST", "SECOND")
    edge.around.router.script = stall
    async with ask(edge, path) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert "Content-Encoding" not in response.headers
        received = await read_until(response.content, b"FIRST")
        # The router says nothing more before this, so nothing was waited for.
        stall.go_on.set()
        received += await response.read()
    assert received.index(b"FIRST") < received.index(b"SECOND")
    assert received.endswith(ENDS.get(path, DONE))


@every_dialect
async def test_what_waits_is_sent_together_and_each_piece_is_an_event(path: str, edge: EdgeStack) -> None:
    words = [f"word{number} " for number in range(50)]
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece(words[0])]),
        Message(deltas=[piece(word) for word in words[1:]]),
        Message(deltas=[piece(finish_reason="stop")], outcome=completed()),
    )
    writes, piled = [], b""
    async with ask(edge, path) as response:
        async for data, ended in response.content.iter_chunks():
            piled += data
            if ended:
                writes.append(piled)
                piled = b""
    assert len(writes) <= 3
    received = b"".join(writes)
    deltas = received.split(b"\n\n")
    # Each piece is an event of its own, in order; the whole text may be repeated at the end.
    places = [next(at for at, event in enumerate(deltas) if word.encode() in event) for word in words]
    assert places == sorted(set(places))


class Flood(Stall):
    """Says more than any buffer holds, until it is cancelled.

    Attributes:
        said: bytes so far.
    """

    said = 0

    async def __call__(self, request: Request) -> AsyncGenerator[Message, None]:
        try:
            yield Message(route=route(), deltas=[piece("x")])
            while True:
                self.said += 100_000
                yield Message(deltas=[piece("x" * 100_000)])
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise


@every_dialect
async def test_a_reader_that_takes_nothing_holds_up_its_own_answer_only_and_is_let_go(
    path: str, open_edge: OpenEdge, around: Neighbours
) -> None:
    edge = await open_edge(stream=StreamSettings(reader_timeout=parse_duration("1s")))
    flood = Flood()
    around.router.script = flood
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(slow, ("127.0.0.1", edge.port))
    body = json.dumps(body_of(path)).encode()
    head = (
        f"POST /v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {edge.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    await loop.sock_sendall(slow, head.encode() + body)
    async with asyncio.timeout(30):
        await flood.cancelled.wait()
    slow.close()
    # What piled up is what the buffers of sockets and of flow control hold, not what the provider had to say in that time.
    assert flood.said < 40_000_000


@every_dialect
async def test_a_caller_that_leaves_is_noticed_while_nothing_is_said(path: str, edge: EdgeStack) -> None:
    stall = Stall("FIRST")
    edge.around.router.script = stall
    async with ask(edge, path) as response:
        await read_until(response.content, b"FIRST")
        response.close()
    async with asyncio.timeout(20):
        await stall.cancelled.wait()


@every_dialect
async def test_a_silent_provider_is_filled_in_for(path: str, open_edge: OpenEdge, around: Neighbours) -> None:
    edge = await open_edge(stream=StreamSettings(keep_alive=parse_duration("50ms")))
    stall = Stall("FIRST")
    around.router.script = stall
    sign = b"event: ping" if path == "/messages" else b": TURNPIKE PROCESSING\n\n"
    async with ask(edge, path) as response:
        received = await read_until(response.content, b"FIRST")
        received += await read_until(response.content, sign)
        stall.go_on.set()
        received += await response.read()
    assert received.endswith(ENDS.get(path, DONE))
