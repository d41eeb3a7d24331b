"""What was said in generations of keys that opted in: gathered beside the answer, sent to its keeper afterwards.

An answer never waits for it. What does not fit into the queue, or cannot be handed over after some attempts, is lost and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import msgspec
from opentelemetry.metrics import Meter

from dialects.chat import ChatRequest
from edge.domain.errors import DependencyError, EdgeError, RefusedError
from edge.domain.principal import Principal
from edge.ports import ContentLibrary, GenerationContent
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec
from turnpike.router.v1 import router_service_pb2

_log = get_logger(__name__)
_encode = msgspec.json.Encoder().encode
_CONTENTS: Final = CounterSpec(
    "edge.contents", "{content}", "Contents of generations of keys that opted in, by what became of them."
)
MAX_CONTENT_BYTES: Final = 2 * 1024 * 1024
_MAX_WAITING: Final = 1_000
_MAX_WAITING_BYTES: Final = 32 * 1024 * 1024
_ATTEMPTS: Final = 5
_PAUSE_S: Final = 0.5


class ContentLog(Component):
    """Hands contents over, one after the other."""

    name = "content-log"

    def __init__(self, library: ContentLibrary, clock: Clock, meter: Meter) -> None:
        """Make a log.

        Args:
            library: keeps contents.
            clock: paces attempts.
            meter: of the service.
        """
        self._library = library
        self._clock = clock
        self._contents = _CONTENTS.create(meter)
        self._waiting: deque[GenerationContent] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._stopping = False

    def recorder(self, principal: Principal, chat: ChatRequest, generation_id: str) -> ContentRecorder | None:
        """Make what notes a generation; None where its content is not to be kept.

        A request that demands zero retention is never kept, whatever its key says (S46).
        """
        preferences = chat.body.provider
        if not principal.key.logs_content or (preferences is not None and preferences.zdr is True):
            return None
        return ContentRecorder(self, principal, chat, generation_id)

    def add(self, content: GenerationContent) -> None:
        """Queue a content, or lose it."""
        size = len(content.content)
        if size > MAX_CONTENT_BYTES or len(self._waiting) >= _MAX_WAITING or self._bytes + size > _MAX_WAITING_BYTES:
            self._count("too_large" if size > MAX_CONTENT_BYTES else "queue_full")
            return
        self._waiting.append(content)
        self._bytes += size
        self._wake.set()

    async def run(self) -> None:
        """Hand over what is queued, until there is nothing left and there will be nothing more."""
        while True:
            while self._waiting:
                content = self._waiting.popleft()
                self._bytes -= len(content.content)
                await self._hand_over(content)
            if self._stopping:
                return
            await self._wake.wait()
            self._wake.clear()

    async def stop(self, grace: timedelta) -> None:
        """Hand over the rest, then stop."""
        self._stopping = True
        self._wake.set()

    async def _hand_over(self, content: GenerationContent) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                await self._library.keep(content)
            except DependencyError:
                if attempt + 1 < _ATTEMPTS and not self._stopping:
                    await self._clock.sleep(_PAUSE_S * 2**attempt)
                continue
            except EdgeError:
                # The keeper does not want it; it would not want it the next time either.
                self._count("refused")
                return
            self._count("kept")
            return
        self._count("lost")
        _log.warning("content.lost", generation_id=content.generation_id)

    def _count(self, result: str) -> None:
        self._contents.add(1, {"edge.content.result": result})


@dataclass(slots=True)
class ContentRecorder:
    """Notes what is said in one generation."""

    log: ContentLog
    principal: Principal
    chat: ChatRequest = field(repr=False)
    generation_id: str
    _completion: list[str] = field(default_factory=list, repr=False)
    _reasoning: list[str] = field(default_factory=list, repr=False)
    _provider: str | None = None

    def take(self, message: router_service_pb2.CompleteResponse) -> None:
        """Note a message of the router; of several choices the first one counts."""
        if message.HasField("route"):
            self._provider = message.route.provider_name
        for delta in message.deltas:
            if delta.index == 0:
                self._completion.append(delta.content)
                self._reasoning.append(delta.reasoning)
        if message.HasField("outcome"):
            error = message.outcome.error
            failed = message.outcome.HasField("error")
            self._finish(_error(error.message, error.status_code, self._provider) if failed else None)

    def refused(self, error: RefusedError) -> None:
        """The router gave no answer."""
        try:
            previous = msgspec.json.decode(error.metadata.get("previous_errors", "[]"), type=list[dict[str, Any]])
        except msgspec.MsgspecError:
            previous = []
        attempts = [
            {
                "code": attempt.get("status") or 0,
                "message": attempt.get("code"),
                "provider_name": attempt.get("provider"),
                "raw": None,
            }
            for attempt in previous
        ]
        status = error.metadata.get("http_status", "")
        provider = error.metadata.get("provider_name")
        self._finish(_error(error.message, int(status) if status.isdigit() else None, provider, attempts))

    def _finish(self, error: dict[str, Any] | None) -> None:
        completion, reasoning = "".join(self._completion), "".join(self._reasoning)
        document = {
            "input": {"messages": self.chat.document["messages"]},
            "output": {"completion": completion or None, "reasoning": reasoning or None},
            "error": error,
        }
        principal = self.principal
        self.log.add(
            GenerationContent(principal.org.org_id, principal.key.key_id, self.generation_id, _encode(document))
        )


def _error(
    message: str, status: int | None, provider: str | None, previous: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {
        "message": message,
        "status": status,
        "provider_name": provider,
        "previous_errors": previous or [],
        "raw": None,
    }
