"""A model provider that costs next to nothing, so that what is measured is Turnpike.

The model's name chooses the answer: `unary` is a short JSON answer, `burst-N` a stream of N chunks written at once,
`paced-N-MS` a stream of N chunks with MS milliseconds between them. Chunked framing, one HTTP chunk an event. `GET /cuts`
lists when paced streams were cut by their reader, in seconds of the machine's monotonic clock.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from dataclasses import dataclass
from functools import cache
from typing import cast

import msgspec
import uvloop

WORD = "measured "
PROMPT_TOKENS = 12
UNARY_TOKENS = 9
_CREATED = 1_763_942_400
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class _Asked(msgspec.Struct):
    model: str
    stream: bool = False


@dataclass(frozen=True)
class Script:
    """What a model's name asks for."""

    chunks: int
    gap_s: float


@cache
def script_of(model: str) -> Script:
    """Read `unary`, `burst-N` or `paced-N-MS`.

    Raises:
        ValueError: the name is none of these.
    """
    kind, _, rest = model.partition("-")
    numbers = [int(number) for number in rest.split("-") if number]
    match kind, numbers:
        case "unary", []:
            return Script(chunks=UNARY_TOKENS, gap_s=0.0)
        case "burst", [chunks]:
            return Script(chunks=chunks, gap_s=0.0)
        case "paced", [chunks, gap_ms]:
            return Script(chunks=chunks, gap_s=gap_ms / 1000)
    raise ValueError(f"unknown model {model!r}")


@cache
def unary_answer(model: str) -> bytes:
    """The whole HTTP answer to a request that is not streamed."""
    tokens = script_of(model).chunks
    body = msgspec.json.encode({
        "id": "chatcmpl-bench", "object": "chat.completion", "created": _CREATED, "model": model,
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": WORD * tokens}}],
        "usage": _usage(tokens),
    })  # fmt: skip
    return _json_answer(body)


def _json_answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@cache
def stream_frames(model: str) -> tuple[bytes, ...]:
    """The events of a streamed answer, each framed as one HTTP chunk; the last one ends the answer."""
    tokens = script_of(model).chunks
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": _CREATED, "model": model}
    word = {**head, "choices": [{"index": 0, "delta": {"content": WORD}, "finish_reason": None}]}
    stop = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {**head, "choices": [], "usage": _usage(tokens)}
    ending = _frame(msgspec.json.encode(stop)) + _frame(msgspec.json.encode(usage)) + _frame(b"[DONE]") + b"0\r\n\r\n"
    return (*[_frame(msgspec.json.encode(word))] * tokens, ending)


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}


def _frame(data: bytes) -> bytes:
    event = b"data: " + data + b"\n\n"
    return f"{len(event):x}\r\n".encode() + event + b"\r\n"


class Upstream(asyncio.Protocol):
    """One connection of the provider; reads just enough HTTP/1.1 for the clients it meets."""

    def __init__(self, cuts: list[float]) -> None:
        self._transport: asyncio.Transport
        self._cuts = cuts
        self._is_streaming = False
        self._unread = b""
        self._decoder = msgspec.json.Decoder(_Asked)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:end].lower()
            start = head.find(b"\r\ncontent-length:")
            length = int(head[start + 17 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
            stop = end + 4 + length
            if len(self._unread) < stop:
                return
            body, self._unread = self._unread[end + 4 : stop], self._unread[stop:]
            self._answer(head, body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_streaming:
            self._cuts.append(time.monotonic())

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get ") and head.split(b" ", 2)[1].endswith(b"/cuts"):
            self._transport.write(_json_answer(msgspec.json.encode(self._cuts)))
            return
        if not head.split(b" ", 2)[1].endswith(b"/chat/completions"):
            self._transport.write(_NOT_FOUND)
            return
        asked = self._decoder.decode(body)
        if not asked.stream:
            self._transport.write(unary_answer(asked.model))
            return
        frames, gap_s = stream_frames(asked.model), script_of(asked.model).gap_s
        if gap_s == 0:
            self._transport.write(_STREAM_HEAD + b"".join(frames))
            return
        self._transport.write(_STREAM_HEAD)
        self._is_streaming = True
        self._write_paced(frames, 0, gap_s, asyncio.get_running_loop().time())

    def _write_paced(self, frames: tuple[bytes, ...], index: int, gap_s: float, start: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(frames[index])
        if index + 1 < len(frames):
            # From the start, so that lateness does not add up.
            when = start + (index + 1) * gap_s
            asyncio.get_running_loop().call_at(when, self._write_paced, frames, index + 1, gap_s, start)
        else:
            self._is_streaming = False


async def serve(port: int) -> asyncio.Server:
    """Listen on 127.0.0.1; port 0 takes a free one."""
    cuts: list[float] = []
    return await asyncio.get_running_loop().create_server(lambda: Upstream(cuts), "127.0.0.1", port, backlog=1024)


async def _main(port: int) -> None:
    server = await serve(port)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(_main(parser.parse_args().port))
