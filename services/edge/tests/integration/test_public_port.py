"""What the public port takes and refuses, byte by byte."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import http_parser

from edge.api.http.http_server import require_c_parser
from edge.settings import HttpSettings, StreamSettings
from edge.testing.router import Message, Request, Stall, piece, route
from edge.testing.stack import EdgeStack, Neighbours, OpenEdge, chat_body
from servicekit.durations import parse_duration

CHAT = "/chat/completions"


@dataclass
class Raw:
    """An answer as its bytes say."""

    status: int
    head: bytes
    body: bytes

    @property
    def error(self) -> Any:
        return json.loads(self.body)["error"]


async def send(edge: EdgeStack, data: bytes, *, end: bool = False) -> Raw:
    """Send bytes and read one answer with a length, or all until the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        writer.write(data)
        if end:
            writer.write_eof()
        async with asyncio.timeout(20):
            return await read_answer(reader)
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> Raw:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    body = await reader.readexactly(int(lengths[0].partition(b":")[2]))
    return Raw(int(head.split(b" ")[1]), head, body)


def post(edge: EdgeStack, *headers: str, body: bytes | None = None) -> bytes:
    body = json.dumps(chat_body()).encode() if body is None else body
    lines = [
        "POST /api/v1/chat/completions HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {edge.key}",
        "Content-Type: application/json",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def sized(edge: EdgeStack, *headers: str, body: bytes | None = None) -> bytes:
    body = json.dumps(chat_body()).encode() if body is None else body
    return post(edge, f"Content-Length: {len(body)}", *headers, body=body)


def test_s28_the_parser_in_pure_python_is_refused() -> None:
    require_c_parser()
    with pytest.raises(RuntimeError, match="C parser"):
        require_c_parser(http_parser.HttpRequestParserPy)


@pytest.mark.parametrize(
    "change",
    [
        "both length and chunks",
        "two lengths",
        "unequal lengths",
        "negative length",
        "folded header",
        "bare line feed",
        "NUL in a header",
        "header that is not ASCII",
        "space before the colon",
        "unknown transfer coding",
        "no HTTP at all",
        "bad chunk size",
    ],
)
async def test_s29_requests_that_are_read_in_two_ways_are_refused(change: str, edge: EdgeStack) -> None:
    body = json.dumps(chat_body()).encode()
    length = f"Content-Length: {len(body)}"
    data = {
        "both length and chunks": post(edge, length, "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        "two lengths": post(edge, length, length),
        "unequal lengths": post(edge, length, "Content-Length: 0"),
        "negative length": post(edge, "Content-Length: -1"),
        "folded header": post(edge, length, "X-Folded: a\r\n b"),
        "bare line feed": post(edge, length, "X-Bare: a\nX-Other: b"),
        "NUL in a header": post(edge, length, "X-Nul: a\x00b"),
        "header that is not ASCII": post(edge, length, "X-Text: \xe4"),
        "space before the colon": post(edge, length, "X-Space : b"),
        "unknown transfer coding": post(edge, "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
        "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not HTTP\r\n\r\n",
        "bad chunk size": post(edge, "Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    }[change]
    answer = await send(edge, data)
    assert answer.status == 400, answer
    assert answer.error["code"] == 400
    assert b"application/json" in answer.head
    assert b"HTTP/" not in answer.body
    assert not edge.around.router.requests


async def test_s30_compressed_bodies_are_refused_unread(edge: EdgeStack) -> None:
    body = gzip.compress(json.dumps(chat_body()).encode())
    for coding in ("gzip", "deflate", "br", "GZIP, gzip"):
        answer = await send(edge, sized(edge, f"Content-Encoding: {coding}", body=body))
        assert answer.status == 415
    assert (await send(edge, sized(edge, "Content-Encoding: identity"))).status == 200


@pytest.mark.parametrize("how", ["declared", "chunked"])
async def test_s31_a_body_beyond_the_limit_is_refused(how: str, open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, body_limit=4096))
    body = json.dumps(chat_body(messages=[{"role": "user", "content": "x" * 8192}])).encode()
    if how == "declared":
        data = sized(edge, body=body)
    else:
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:4000], body[4000:]))
        data = post(edge, "Transfer-Encoding: chunked", body=chunks + b"0\r\n\r\n")
    answer = await send(edge, data)
    assert answer.status == 413
    assert answer.error["metadata"]["error_type"] == "payload_too_large"


async def test_s31_a_large_body_in_chunks_below_the_limit_is_read(edge: EdgeStack) -> None:
    body = json.dumps(chat_body(messages=[{"role": "user", "content": "x" * 300_000}])).encode()
    parts = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    answer = await send(edge, post(edge, "Transfer-Encoding: chunked", body=chunks + b"0\r\n\r\n"))
    assert answer.status == 200
    assert edge.around.router.requests[0].request_json == body.replace(b": ", b":").replace(b", ", b",")


async def test_s31_a_body_of_ten_mebibytes_gets_its_answer(edge: EdgeStack) -> None:
    answer = await edge.call("POST", CHAT, b"x" * (11 << 20))
    assert answer.status == 413


@pytest.mark.parametrize(
    "lines",
    [["X-Long: " + "x" * 17_000], [f"X-{number}: {'x' * 900}" for number in range(20)], ["/" + "x" * 20_000]],
    ids=["one", "together", "path"],
)
async def test_s31_headers_beyond_the_limit_are_refused(lines: list[str], edge: EdgeStack) -> None:
    if lines[0].startswith("/"):
        data = f"GET {lines[0]} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    else:
        data = sized(edge, *lines)
    answer = await send(edge, data)
    assert answer.status == 431
    assert answer.error["code"] == 431


async def test_s31_too_many_headers_are_refused(edge: EdgeStack) -> None:
    answer = await send(edge, sized(edge, *(f"X-{number}: x" for number in range(200))))
    assert answer.status in {400, 431}


async def test_s31_slow_headers_end_the_connection(open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, header_timeout=parse_duration("200ms")))
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(b"GET /api/v1/models HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()
    # The second request of a connection has no more time than the first.
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(b"GET /api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await read_answer(reader)).status == 200
    writer.write(b"GET /api/v1/mo")
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


async def test_s31_a_slow_body_is_answered_408(open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, body_timeout=parse_duration("200ms")))
    answer = await send(edge, post(edge, "Content-Length: 100", body=b'{"model"'))
    assert answer.status == 408
    assert answer.error["metadata"]["error_type"] == "timeout"
    assert not edge.around.router.requests


async def test_s31_idle_connections_are_closed(open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, idle_timeout=parse_duration("200ms")))
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(b"GET /api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await read_answer(reader)).status == 200
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


async def test_a_body_that_stops_half_way_reaches_nobody(edge: EdgeStack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(post(edge, "Content-Length: 500", body=b'{"model"'))
    writer.write_eof()
    async with asyncio.timeout(20):
        received = await reader.read()
    assert received == b"" or b" 400 " in received.partition(b"\r\n")[0]
    writer.close()
    assert not edge.around.router.requests


async def test_two_requests_in_one_packet_are_answered_in_order(edge: EdgeStack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(b"GET /api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n" + sized(edge))
    async with asyncio.timeout(20):
        first, second = await read_answer(reader), await read_answer(reader)
    writer.close()
    assert "data" in json.loads(first.body)
    assert json.loads(second.body)["object"] == "chat.completion"


async def test_who_asks_before_sending_is_told_to_go_on(edge: EdgeStack) -> None:
    body = json.dumps(chat_body()).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(post(edge, f"Content-Length: {len(body)}", "Expect: 100-continue", body=b""))
    async with asyncio.timeout(20):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        answer = await read_answer(reader)
    writer.close()
    assert answer.status == 200
    assert (await send(edge, sized(edge, "Expect: the-unexpected"))).status == 417


async def test_s32_answers_have_no_headers_of_upstream_and_the_request_id_is_ours(edge: EdgeStack) -> None:
    answer = await edge.call("POST", CHAT, chat_body(), headers={"X-Request-Id": "mine"})
    assert {name.lower() for name in answer.headers} == {
        "server",
        "x-request-id",
        "x-generation-id",
        "x-provider-name",
        "content-type",
        "content-length",
        "date",
    }
    assert answer.headers["Server"] == "turnpike"
    assert answer.headers["X-Request-ID"] != "mine"


class Flood(Stall):
    """Says more than any buffer holds, until it is cancelled."""

    async def __call__(self, request: Request) -> AsyncGenerator[Message, None]:
        try:
            yield Message(route=route(), deltas=[piece("x")])
            while True:
                yield Message(deltas=[piece("x" * 100_000)])
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise


async def test_a_reader_that_takes_nothing_is_let_go(open_edge: OpenEdge, around: Neighbours) -> None:
    edge = await open_edge(stream=StreamSettings(reader_timeout=parse_duration("300ms")))
    flood = Flood()
    around.router.script = flood
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=1024)
    body = json.dumps(chat_body(stream=True)).encode()
    writer.write(sized(edge, body=body))
    async with asyncio.timeout(30):
        await flood.cancelled.wait()
    writer.transport.abort()
