"""A model provider on a real socket, whose every byte a test decides."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

# A thousand callers may come at once.
_BACKLOG = 2048


@dataclass
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: Any
    raw: bytes = b""
    """The body as it came."""


class Exchange:
    """One request and the means to answer it, well or badly."""

    def __init__(self, received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received = received
        self._reader = reader
        self._writer = writer

    @property
    def streams(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.received.body.get("stream"))

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send a status line and headers."""
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        await self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def reply(
        self, document: Any, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        """Send a whole answer."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        await self.head(status, {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})})
        await self.send(body)

    async def begin_stream(self, kind: str = "text/event-stream") -> None:
        """Send the head of a stream."""
        await self.head(200, {"Content-Type": kind, "Transfer-Encoding": "chunked"})

    async def chunk(self, data: bytes) -> None:
        """Send a piece of the body."""
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def event(self, document: Any) -> None:
        """Send an event."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        await self.chunk(b"data: " + data + b"\n\n")

    async def end_stream(self) -> None:
        """Send the proper end of the body."""
        await self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection when everything was sent, whether or not the answer is complete."""
        self._writer.close()

    async def gone(self) -> None:
        """Wait until the other side has closed the connection."""
        while await self._reader.read(65536):
            pass


Script = Callable[[Exchange], Awaitable[None]]


@dataclass
class ScriptedProvider:
    """Answers every request with `script`. A context manager; `url` is its base URL.

    With `tls` it speaks TLS with that context.
    """

    script: Script
    received: list[Received] = field(default_factory=list)
    port: int = 0
    tls: ssl.SSLContext | None = None
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.origin}/v1"

    @property
    def origin(self) -> str:
        """Where it listens, without a path."""
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> ScriptedProvider:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls, backlog=_BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening and break all connections."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while (received := await _read_request(reader)) is not None:
                self.received.append(received)
                await self.script(Exchange(received, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().split("\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    is_json = headers.get("content-type", "application/json").startswith("application/json")
    return Received(first.split(" ")[1], headers, json.loads(body) if body and is_json else None, body)
