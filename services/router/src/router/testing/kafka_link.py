"""A line between one client and its Kafka that a test can cut, while others keep theirs."""

from __future__ import annotations

import asyncio
import contextlib
import re
from types import TracebackType

# A broker names itself by host and port in its answers, and clients then go there directly. The host is preceded by its
# length, in two bytes or (in newer versions of the protocol) as one more in a single byte; the port follows in four.
_ADDRESS = re.compile(rb"((?:\x00\x09|\x0a)127\.0\.0\.1)\x00\x00..", re.DOTALL)


class KafkaLink:
    """Passes connections on to a broker and writes its own address over the broker's. A context manager."""

    def __init__(self, bootstrap: str) -> None:
        """`bootstrap` is the `host:port` of the broker, which must have a single address."""
        host, _, port = bootstrap.partition(":")
        self._target = (host, int(port))
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self._is_cut = False

    @property
    def bootstrap(self) -> str:
        """Where clients find the link."""
        return f"127.0.0.1:{self._port}"

    def cut(self) -> None:
        """Break all connections, and every new one at once."""
        self._is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def heal(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    async def __aenter__(self) -> KafkaLink:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        broker_reader, broker_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, broker_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_questions(reader, broker_writer))
                tasks.create_task(self._pass_answers(broker_reader, writer))
        finally:
            self._writers -= {writer, broker_writer}

    async def _pass_questions(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async def _pass_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                # Answers come in frames, so that none is searched in two halves.
                size = await reader.readexactly(4)
                answer = await reader.readexactly(int.from_bytes(size, "big"))
                writer.write(size + _ADDRESS.sub(lambda found: found[1] + self._port.to_bytes(4, "big"), answer))
                await writer.drain()
        writer.close()
