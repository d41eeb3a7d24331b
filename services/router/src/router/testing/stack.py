"""A whole router in this process: gRPC in front, Kafka behind, its files on disk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import yaml
from aiokafka import AIOKafkaConsumer

from contracts import topics
from contracts.usage import validate_usage_event
from router.app import wire
from router.settings import CatalogSettings, ProviderSettings, Settings, SpoolSettings, TimeoutSettings
from router.testing.catalogs import Offer, catalog_text
from servicekit.grpc_client import open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.settings import KafkaSettings, parse_duration
from servicekit.testing import RecordingTelemetry, running
from servicekit.testing.components import make_runtime
from turnpike.router.v1 import completion_pb2, invocation_pb2, router_service_pb2, router_service_pb2_grpc
from turnpike.usage.v1 import usage_event_pb2

Stub = router_service_pb2_grpc.RouterServiceStub
# A thousand calls at once take a busy machine its time.
_CALL_SECONDS = 100.0


@dataclass
class RouterStack:
    """A running router. `folder` holds catalog.yaml and keys.yaml, which may be written anew."""

    stub: Stub
    port: int
    folder: Path
    channel: grpc.aio.Channel
    _serial: int = field(default=0)
    # Tells this router's generations from those of another on the same broker; `id()` would be used again.
    _number: int = field(default_factory=lambda: uuid4().int % 10**9)

    def request(self, **members: Any) -> router_service_pb2.CompleteRequest:
        """A request to complete, with an id of its own."""
        self._serial += 1
        document = {"model": "acme/one", "messages": [{"role": "user", "content": "Say something"}], **members}
        return router_service_pb2.CompleteRequest(
            generation_id=f"gen-1790000000-{self._number:09d}{self._serial:011d}",
            caller=completion_pb2.Caller(org_id="org-1", key_id="key-1", http_referer="https://app.example"),
            request_json=json.dumps(document).encode(),
        )

    async def invoke(
        self, operation: usage_event_pb2.Operation.ValueType, document: dict[str, Any], audio: bytes = b""
    ) -> tuple[str, invocation_pb2.InvokeResponse]:
        """Have an operation done; return its generation id and the answer."""
        asked = self.request()
        request = invocation_pb2.InvokeRequest(
            generation_id=asked.generation_id,
            caller=asked.caller,
            operation=operation,
            request_json=json.dumps({"model": "acme/one", **document}).encode(),
            audio=audio,
        )
        return asked.generation_id, await self.stub.Invoke(request, timeout=_CALL_SECONDS)

    async def complete(self, **members: Any) -> Completed:
        """Complete and collect everything."""
        request = self.request(**members)
        responses = [response async for response in self.stub.Complete(request, timeout=_CALL_SECONDS)]
        return Completed(request.generation_id, responses)


@dataclass
class Completed:
    """What came back."""

    generation_id: str
    responses: Sequence[router_service_pb2.CompleteResponse]

    @property
    def text(self) -> str:
        """All content."""
        return "".join(delta.content for response in self.responses for delta in response.deltas)

    @property
    def route(self) -> completion_pb2.Route:
        """Where it came from."""
        return self.responses[0].route

    @property
    def outcome(self) -> completion_pb2.Outcome:
        """How it ended."""
        assert self.responses[-1].HasField("outcome")
        return self.responses[-1].outcome


def write_files(folder: Path, offers: Sequence[Offer]) -> None:
    """Write catalogue and keys of some offers."""
    folder.mkdir(exist_ok=True)
    (folder / "catalog.yaml").write_text(catalog_text(offers))
    (folder / "keys.yaml").write_text(yaml.safe_dump({offer.provider: f"key-of-{offer.provider}" for offer in offers}))


@asynccontextmanager
async def router_stack(
    folder: Path,
    bootstrap: str,
    *offers: Offer,
    telemetry: RecordingTelemetry | None = None,
    instance: str = "router-test",
) -> AsyncIterator[RouterStack]:
    """Run a router over some offers."""
    write_files(folder, offers)
    settings = Settings(
        instance=instance,
        kafka=KafkaSettings(brokers=bootstrap, watch_interval=timedelta(milliseconds=200)),
        catalog=CatalogSettings(paths=(folder / "catalog.yaml",), interval=timedelta(milliseconds=50)),
        providers=ProviderSettings(secrets=folder / "keys.yaml"),
        spool=SpoolSettings(dir=folder / "spool"),
        timeouts=TimeoutSettings(first=parse_duration("2s"), stall=parse_duration("2s")),
    )
    runtime = make_runtime(
        service="router",
        settings=settings,
        tracer=telemetry.tracer if telemetry else None,
        meter=telemetry.meter if telemetry else None,
    )
    async with wire(settings, runtime) as service, running(*service.components):
        (server,) = [component for component in service.components if isinstance(component, GrpcServer)]
        async with open_channel(f"127.0.0.1:{server.port}", runtime) as channel:
            yield RouterStack(Stub(channel), server.port, folder, channel)


class UsageReader:
    """Reads usage events from Kafka, from the first one on, and checks each as its consumers do."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self.events: dict[str, list[usage_event_pb2.UsageEvent]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.keys: dict[str, bytes] = {}

    async def read_until(self, *generation_ids: str, seconds: float = 15.0) -> None:
        """Read until there is an event of each of these generations."""
        consumer = AIOKafkaConsumer(
            topics.USAGE.name, bootstrap_servers=self._bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
        )
        await consumer.start()
        try:
            await consumer.seek_to_beginning()
            async with asyncio.timeout(seconds):
                while not set(generation_ids) <= self.events.keys():
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        for record in records:
                            self._take(record)
        finally:
            await consumer.stop()

    def _take(self, record: Any) -> None:
        event = usage_event_pb2.UsageEvent.FromString(record.value)
        validate_usage_event(event)
        self.events.setdefault(event.generation_id, []).append(event)
        self.headers[event.generation_id] = {name: value.decode() for name, value in record.headers}
        self.keys[event.generation_id] = record.key
