from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest

from localstack.ports import free_ports
from localstack.probes import accepts, http_status, is_ready


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that reads a request and sends `answer`."""
    requests: list[bytes] = []
    served: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(done := asyncio.Event())
        with suppress(asyncio.IncompleteReadError):
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], requests
        for done in served:
            await done.wait()


async def test_status_is_read_and_headers_are_sent() -> None:
    async with answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\n") as (port, requests):
        assert await http_status(f"http://127.0.0.1:{port}/a/b", {"Authorization": "Bearer x"}) == 503
    assert requests[0].startswith(b"GET /a/b HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer x\r\n" in requests[0]


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"\xff\xff\r\n"])
async def test_what_is_no_answer_is_0(answer: bytes) -> None:
    async with answering(answer) as (port, _):
        assert await http_status(f"http://127.0.0.1:{port}/") == 0


async def test_nothing_listens_is_0_and_not_accepted() -> None:
    port = free_ports(1, Random())[0]
    assert await http_status(f"http://127.0.0.1:{port}/") == 0
    assert not await accepts(port)


@pytest.mark.parametrize(("status", "ready"), [(b"200 OK", True), (b"503 Service Unavailable", False)])
async def test_service_is_ready_when_it_says_so(status: bytes, ready: bool) -> None:
    async with answering(b"HTTP/1.1 " + status + b"\r\n\r\n") as (port, requests):
        assert await accepts(port)
        assert await is_ready(f"http://127.0.0.1:{port}") is ready
    assert requests[0].startswith(b"GET /healthz/ready ")
