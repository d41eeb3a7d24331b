"""A closed-loop client: each connection sends its next request when the answer to the last one is complete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import msgspec


@dataclass(frozen=True)
class Call:
    """A request that is sent again and again, and how many `data:` events its answer has at least (0: JSON)."""

    url: str
    body: bytes
    headers: Mapping[str, str]
    events: int

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return str(parts.hostname), parts.port or 80

    def encoded(self) -> bytes:
        parts = urlsplit(self.url)
        headers = {"Host": parts.netloc, "Content-Type": "application/json", "Content-Length": len(self.body)}
        lines = [f"{name}: {value}" for name, value in {**headers, **self.headers}.items()]
        return "\r\n".join([f"POST {parts.path} HTTP/1.1", *lines, "", ""]).encode() + self.body


def chat_call(base_url: str, model: str, *, api_key: str = "", events: int = 0) -> Call:
    """A small chat completion, streamed when `events` is not 0."""
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What does one request cost?"},
        ],
        "max_tokens": 200,
    }
    if events:
        body["stream"] = True
    return Call(
        url=f"{base_url}/chat/completions",
        body=msgspec.json.encode(body),
        headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
        events=events,
    )


@dataclass
class Outcome:
    """What a load showed. Times in seconds, in the order in which the answers ended."""

    totals_s: list[float] = field(default_factory=list)
    first_bytes_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0


class _Budget:
    """Requests that are still to be sent, over all connections."""

    def __init__(self, requests: int) -> None:
        self._left = requests

    def take(self) -> bool:
        self._left -= 1
        return self._left >= 0


class _Connection(asyncio.Protocol):
    """Sends requests until the budget is used up; reads what HTTP/1.1 servers answer to them."""

    def __init__(self, call: Call, budget: _Budget, outcome: Outcome) -> None:
        self._loop = asyncio.get_running_loop()
        self._call = call
        self._request = call.encoded()
        self._budget = budget
        self._outcome = outcome
        self._transport: asyncio.Transport
        self._answer = bytearray()
        self._head_end = -1
        self._body_end: int | None = None
        self._sent_at = 0.0
        self._first_at = 0.0
        self.done: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only
        self._send()

    def _send(self) -> None:
        if not self._budget.take():
            self._transport.close()
            return
        self._answer.clear()
        self._head_end = -1
        self._first_at = 0.0
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._head_end < 0 and not self._read_head():
            return
        if self._first_at == 0.0 and len(self._answer) > self._head_end:
            self._first_at = time.perf_counter()
        ended = self._answer.endswith(b"0\r\n\r\n") if self._body_end is None else len(self._answer) >= self._body_end
        if ended:
            self._finish()

    def _read_head(self) -> bool:
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._head_end = end + 4
        head = bytes(self._answer[:end]).lower()
        start = head.find(b"\r\ncontent-length:")
        self._body_end = None if start < 0 else self._head_end + int(head[start + 17 :].split(b"\r\n", 1)[0])
        return True

    def _finish(self) -> None:
        now = time.perf_counter()
        fault = self._fault()
        if fault:
            self._outcome.faults.append(fault)
        else:
            self._outcome.totals_s.append(now - self._sent_at)
            self._outcome.first_bytes_s.append(self._first_at - self._sent_at)
        self._send()

    def _fault(self) -> str:
        if not self._answer.startswith(b"HTTP/1.1 200"):
            return bytes(self._answer[:400]).decode(errors="replace")
        if self._call.events and b"data: [DONE]" not in self._answer:
            return "a stream without [DONE]"
        if self._answer.count(b"data: ") < self._call.events:
            return "a stream with fewer events than the provider sent"
        return ""

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def run_load(call: Call, *, requests: int, concurrency: int, limit_s: float = 300.0) -> Outcome:
    """Send `requests` requests over `concurrency` connections.

    Raises:
        OSError: nothing listens there.
        TimeoutError: it took longer than `limit_s`.
    """
    outcome = Outcome()
    budget = _Budget(requests)
    loop = asyncio.get_running_loop()
    start = time.perf_counter()
    connections = []
    for _ in range(concurrency):
        _, connection = await loop.create_connection(lambda: _Connection(call, budget, outcome), *call.address)
        connections.append(connection)
    async with asyncio.timeout(limit_s):
        await asyncio.gather(*(connection.done for connection in connections))
    outcome.elapsed_s = time.perf_counter() - start
    unanswered = requests - len(outcome.totals_s) - len(outcome.faults)
    outcome.faults += ["the server closed the connection"] * unanswered
    return outcome
