"""The use case on real sockets: a router without gRPC and Kafka, over scripted providers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from contracts.ids import GenerationId, KeyId, OrgId
from contracts.usage import validate_usage_event
from dialects.chat import decode_chat_request
from dialects.operations.codec import OperationRequest
from dialects.operations.requests import OperationBody
from router.attempt import Patience
from router.completions import Completions
from router.domain.customer_keys import CustomerKey
from router.domain.health_view import FleetHealth
from router.domain.progress import Command, Ending, Interruption, Progress, Route
from router.domain.settlement import Caller, GenerationRecord
from router.generation import Generation
from router.testing.catalogs import Offer
from router.testing.doubles import MemoryUsageLog, SilentTelemetry
from router.testing.scripted_provider import Script, ScriptedProvider
from servicekit.clock import SystemClock
from turnpike.usage.v1 import usage_event_pb2

CALLER = Caller(OrgId("7d6c0e7e-58a8-4d3e-9d9e-000000000001"), KeyId("7d6c0e7e-58a8-4d3e-9d9e-000000000002"))
# A busy machine must not make a good provider look slow; only where a provider is silent is the wait short.
PATIENCE = Patience(first_token=20, stall=20, answer=20, usage=20)
IMPATIENCE = Patience(first_token=0.6, stall=0.6, answer=0.6, usage=0.3)


@dataclass
class Outcome:
    """What a caller has seen of a generation."""

    route: Route | None = None
    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    calls: dict[int, tuple[str, str, str]] = field(default_factory=dict)
    """Id, name and arguments of tool calls, by their index."""
    finishes: int = 0
    ending: Ending | None = None
    pieces: int = 0

    def add(self, progress: Progress) -> None:
        """See what is new."""
        self.pieces += 1
        assert (progress.route is not None) == (self.route is None), "the route comes once, first"
        self.route = self.route or progress.route
        for delta in progress.deltas:
            self.text += delta.content or ""
            self.reasoning += delta.reasoning or ""
            self.finish_reason = delta.finish_reason or self.finish_reason
            self.native_finish_reason = delta.native_finish_reason or self.native_finish_reason
            self.finishes += delta.finish_reason is not None
            for piece in delta.tool_calls:
                call_id, name, arguments = self.calls.get(piece.index, ("", "", ""))
                self.calls[piece.index] = (call_id + piece.id, name + piece.name, arguments + piece.arguments)
        assert self.ending is None, "nothing follows the ending"
        self.ending = progress.ending

    @property
    def provider(self) -> str:
        """Who answered."""
        assert self.route is not None
        return self.route.endpoint.provider.slug

    @property
    def interruption(self) -> Interruption | None:
        """Why the answer broke off."""
        assert self.ending is not None
        return self.ending.interruption


@dataclass
class Workbench:
    """A router's inside, and what it did."""

    completions: Completions
    health: FleetHealth
    log: MemoryUsageLog
    telemetry: SilentTelemetry
    use_credentials: Callable[[Mapping[str, str | tuple[str, ...]]], None]
    event_of: Callable[[GenerationRecord], usage_event_pb2.UsageEvent]
    caller: Caller = CALLER
    customer_keys: tuple[CustomerKey, ...] = ()
    _serial: int = field(default=0)

    def begin(self, *, stream: bool = True, seconds: float = 30.0, **members: Any) -> Generation:
        """Take on a completion."""
        document = {
            "model": "acme/one",
            "messages": [{"role": "user", "content": "Say something"}],
            "stream": stream,
            "provider": {"sort": "price"},
            **members,
        }
        self._serial += 1
        command = Command(
            generation_id=GenerationId(f"gen-1790000000-{self._serial:020d}"),
            caller=self.caller,
            request=decode_chat_request(json.dumps(document).encode()),
            deadline=SystemClock().monotonic() + seconds,
        )
        return self.completions.begin(command, self.customer_keys)

    def begin_operation(self, body: OperationBody, audio: bytes = b"", *, seconds: float = 30.0) -> Generation:
        """Take on an operation."""
        self._serial += 1
        command = Command(
            generation_id=GenerationId(f"gen-1790000000-{self._serial:020d}"),
            caller=CALLER,
            request=OperationRequest(body, audio),
            deadline=SystemClock().monotonic() + seconds,
        )
        return self.completions.begin(command)

    async def invoke(self, body: OperationBody, audio: bytes = b"", *, seconds: float = 30.0) -> Progress:
        """Have an operation done; everything of it comes at once."""
        (progress,) = [each async for each in self.begin_operation(body, audio, seconds=seconds).progress()]
        return progress

    async def complete(self, *, stream: bool = True, seconds: float = 30.0, **members: Any) -> Outcome:
        """Complete and collect what a caller sees."""
        outcome = Outcome()
        async for progress in self.begin(stream=stream, seconds=seconds, **members).progress():
            outcome.add(progress)
        return outcome

    def only_record(self) -> GenerationRecord:
        """The one record that was kept, whose usage event must be valid."""
        (record,) = self.log.records
        validate_usage_event(self.event_of(record))
        return record


class OpenWorkbench(Protocol):
    """Makes a router's inside over some offers; every provider has a key of the form `key-of-<slug>`."""

    def __call__(self, *offers: Offer, patience: Patience = ...) -> AbstractAsyncContextManager[Workbench]:
        """Make it for the block."""
        ...


class OpenBench(Protocol):
    """Makes a router's inside over scripted providers a, b, c ... of rising prices."""

    async def __call__(self, *by_price: Script, patience: Patience = ...) -> tuple[Workbench, list[ScriptedProvider]]:
        """Make it for the rest of the test."""
        ...
