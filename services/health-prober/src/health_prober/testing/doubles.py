"""Endpoints that answer as told, and verdicts that stay where a test can see them."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import TypeAlias

from contracts.catalog import Endpoint
from contracts.ids import EndpointId
from dialects.upstream import UpstreamRequest
from health_prober.domain.errors import HealthProberError
from health_prober.domain.verdict import Verdict

Reply: TypeAlias = tuple[int, bytes] | HealthProberError

OK_ANSWER = (
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":"OK"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}}'
)


class ScriptedCaller:
    """Answers with the next reply of an endpoint's script, and when that is used up with the default."""

    def __init__(self, default: Reply = (200, OK_ANSWER)) -> None:
        self.default = default
        self.calls: list[EndpointId] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._scripts: defaultdict[EndpointId, deque[Reply]] = defaultdict(deque)

    def script(self, endpoint_id: EndpointId, *replies: Reply) -> None:
        """Add replies to an endpoint's script."""
        self._scripts[endpoint_id].extend(replies)

    async def call(self, endpoint: Endpoint, api_key: str, request: UpstreamRequest) -> tuple[int, bytes]:
        """Reply as scripted, once the gate is open."""
        self.calls.append(endpoint.id)
        await self.gate.wait()
        script = self._scripts[endpoint.id]
        reply = script.popleft() if script else self.default
        if isinstance(reply, HealthProberError):
            raise reply
        return reply


class MemoryVerdictLog:
    """Keeps every verdict."""

    def __init__(self) -> None:
        self.published: list[Verdict] = []

    def publish(self, verdict: Verdict) -> None:
        """Keep a verdict."""
        self.published.append(verdict)

    def latest(self, endpoint_id: str) -> Verdict | None:
        """The last verdict on an endpoint."""
        return next((verdict for verdict in reversed(self.published) if verdict.endpoint_id == endpoint_id), None)
