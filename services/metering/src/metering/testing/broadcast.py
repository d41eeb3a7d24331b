"""What stands around the sender in tests: accounts behind gRPC, receivers behind sockets, an object store as a process."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import grpc
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from contracts.broadcast import purpose_of
from contracts.sealed_secrets import KeyEncryptionKeys
from metering.broadcast.settings import AccountsSettings, SendingSettings, Settings, SpoolSettings
from servicekit.durations import parse_duration
from servicekit.grpc_server import GrpcServer
from servicekit.settings import GrpcServerSettings, KafkaSettings
from servicekit.testing import running
from servicekit.testing.components import make_runtime
from turnpike.accounts.v1 import byok_service_pb2, content_service_pb2, content_service_pb2_grpc, records_pb2
from turnpike.accounts.v1 import destination_service_pb2 as messages
from turnpike.accounts.v1 import destination_service_pb2_grpc as stubs

KEK_FILE: Final = 'current: a\nkeys:\n  a: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="\n'
KEKS: Final = KeyEncryptionKeys("a", {"a": bytes(32)})
SIGNING_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"  # noqa: S105 - of tests only


class AccountsDouble(stubs.DestinationServiceServicer, content_service_pb2_grpc.ContentServiceServicer):
    """Knows destinations and what was said, and keeps what it is told.

    Attributes:
        contents: what was said, by generation.
        reports: the latest by destination.
        down: whether every call fails.
    """

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.reports: dict[str, messages.DeliveryReport] = {}
        self.down = False
        self._sealed: dict[str, messages.SealedDestination] = {}
        self._revision = 0

    def add(
        self,
        org_id: str,
        kind: int,
        config: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        workspace_id: str = "",
        created_ms: int = 0,
        **fields: Any,
    ) -> str:
        """Make a destination. Returns its id."""
        destination = messages.Destination(
            destination_id=str(uuid4()),
            org_id=org_id,
            workspace_id=workspace_id or org_id,
            type=messages.DestinationType.ValueType(kind),
            version=1,
        )
        named: dict[str, Any] = {"name": "Test", "enabled": True, "privacy_mode": True, "sampling_rate": 1.0} | fields
        destination.fields.CopyFrom(messages.DestinationFields(**named))
        destination.created_at.FromMilliseconds(created_ms)
        sealed = messages.SealedDestination(destination=destination, active=True)
        self._sealed[destination.destination_id] = sealed
        self.configure(destination.destination_id, config, headers)
        return destination.destination_id

    def configure(self, name: str, config: Mapping[str, str], headers: Mapping[str, str] | None = None) -> None:
        """Give a destination another configuration."""
        sealed = self._sealed[name]
        about = sealed.destination
        about.version += 1
        text = json.dumps({"members": dict(config), "headers": dict(headers or {})})
        secret = KEKS.seal(text, purpose_of(about.org_id, name, about.version), secrets.token_bytes)
        sealed.sealed_config.CopyFrom(
            byok_service_pb2.SealedKey(
                kek_id=secret.kek_id,
                wrapped_key=secret.wrapped_key,
                key_nonce=secret.key_nonce,
                ciphertext=secret.ciphertext,
                nonce=secret.nonce,
            )
        )
        self._changed(sealed)

    def switch(self, name: str, *, active: bool) -> None:
        """Switch a destination on or off."""
        self._sealed[name].active = active
        self._changed(self._sealed[name])

    async def ListChangedDestinations(self, request: Any, context: Any) -> messages.ListChangedDestinationsResponse:  # noqa: N802 - named by the wire
        """Return what changed."""
        await self._check(context)
        found = [each for each in self._sealed.values() if each.revision > request.after_revision]
        ordered = sorted(found, key=lambda each: each.revision)[: request.limit]
        return messages.ListChangedDestinationsResponse(destinations=ordered)

    async def ReportDeliveries(self, request: Any, context: Any) -> messages.ReportDeliveriesResponse:  # noqa: N802 - named by the wire
        """Keep what is told; what is given up is switched off."""
        await self._check(context)
        for report in request.reports:
            self.reports[report.destination_id] = report
            if report.gives_up:
                self.switch(report.destination_id, active=False)
        return messages.ReportDeliveriesResponse()

    async def GetContent(self, request: Any, context: Any) -> content_service_pb2.GetContentResponse:  # noqa: N802 - named by the wire
        """Return what was said."""
        await self._check(context)
        found = self.contents.get(request.generation_id)
        if found is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such content")
            raise AssertionError
        return content_service_pb2.GetContentResponse(content_json=found)

    def state(self, name: str) -> messages.DeliveryState:
        """What was told last of a destination."""
        return self.reports[name].state if name in self.reports else messages.DeliveryState()

    async def _check(self, context: Any) -> None:
        if self.down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")

    def _changed(self, sealed: messages.SealedDestination) -> None:
        self._revision += 1
        sealed.revision = self._revision


@asynccontextmanager
async def serving(accounts: AccountsDouble) -> AsyncIterator[str]:
    """Serve accounts on a real socket; yields where."""

    def register(server: grpc.aio.Server) -> Sequence[str]:
        stubs.add_DestinationServiceServicer_to_server(accounts, server)
        content_service_pb2_grpc.add_ContentServiceServicer_to_server(accounts, server)
        return []

    server = GrpcServer(GrpcServerSettings(), make_runtime(), register)
    async with running(server):
        yield f"127.0.0.1:{server.port}"


@dataclass
class Received:
    """A request that a receiver got."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def spans(self) -> list[Span]:
        """What an OTLP request in protobuf holds."""
        message = ExportTraceServiceRequest.FromString(self.body)
        return [span for each in message.resource_spans for scope in each.scope_spans for span in scope.spans]


class Receiver:
    """Answers requests as it is told, and keeps those that it took.

    Attributes:
        answer: gives the status for a request; 200 unless it is set.
        hold: requests wait for it.
        all: every request, those that failed among them.
    """

    def __init__(self) -> None:
        self.answer: Callable[[Received], int] = lambda _: 200
        self.hold: asyncio.Event | None = None
        self.all: list[Received] = []
        self.taken: list[Received] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Take a request."""
        received = Received(request.method, request.path, dict(request.headers), await request.read())
        self.all.append(received)
        if self.hold is not None:
            await self.hold.wait()
        status = self.answer(received)
        if 200 <= status < 300:
            self.taken.append(received)
        return web.Response(status=status, headers={"Location": self.url + "/moved"} if status == 302 else {})

    def generations(self) -> list[str]:
        """Generations of the OTLP requests that were taken, repeats among them."""
        return [attributes(span)["gen_ai.response.id"] for each in self.taken for span in each.spans()]

    def generations_of_json(self) -> list[str]:
        """The same of webhooks."""
        found = []
        for each in self.taken:
            for span in json.loads(each.body)["resourceSpans"][0]["scopeSpans"][0]["spans"]:
                found += [a["value"]["stringValue"] for a in span["attributes"] if a["key"] == "gen_ai.response.id"]
        return found


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a real socket."""
    receiver = Receiver()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        if receiver.hold is not None:
            receiver.hold.set()
        await runner.cleanup()


@asynccontextmanager
async def object_store() -> AsyncIterator[str]:
    """An object store that speaks S3's API (moto's server), as a process; yields where."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(600):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            writer.close()
            break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


def attributes(span: Span) -> dict[str, Any]:
    """The attributes of a span."""
    found = {}
    for each in span.attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, str(kind))
        found[each.key] = [inner.string_value for inner in value.values] if kind == "array_value" else value
    return found


def broadcast_settings(folder: Path, brokers: str, accounts: str, **sending: Any) -> Settings:
    """Settings of a sender whose pauses are short and whose destinations may be on this machine."""
    keks = folder / "keks.yaml"
    keks.write_text(KEK_FILE)
    spool = {name: sending.pop(name) for name in ("events", "total") if name in sending}
    short: dict[str, Any] = {
        "timeout": parse_duration("2s"), "linger": parse_duration("50ms"), "objects_linger": parse_duration("200ms"),
        "content_linger": parse_duration("100ms"), "retry_first": parse_duration("50ms"),
        "retry_longest": parse_duration("200ms"), "private_networks": True,
    }  # fmt: skip
    return Settings(
        instance="test",
        kafka=KafkaSettings(brokers=brokers, watch_interval=parse_duration("200ms")),
        accounts=AccountsSettings(target=accounts, keks=keks, interval=parse_duration("100ms")),
        spool=SpoolSettings(dir=folder / "spool", **spool),
        sending=SendingSettings(**(short | sending)),
    )


def key_record(key_id: str, name: str, digest: str) -> records_pb2.KeyRecord:
    """A key as accounts publishes it."""
    return records_pb2.KeyRecord(key_id=key_id, name=name, digest=digest, revision=1)


def broadcast_environment(folder: Path, brokers: str, accounts: str, **more: str) -> dict[str, str]:
    """The settings of a sender that is a process, and nothing else of ours."""
    keks = folder / "keks.yaml"
    keks.write_text(KEK_FILE)
    return {
        "BROADCAST_KAFKA_BROKERS": brokers,
        "BROADCAST_KAFKA_WATCH_INTERVAL": "200ms",
        # After a kill its partitions are free again only then.
        "BROADCAST_KAFKA_SESSION_TIMEOUT": "2s",
        "BROADCAST_ACCOUNTS_TARGET": accounts,
        "BROADCAST_ACCOUNTS_KEKS": str(keks),
        "BROADCAST_ACCOUNTS_INTERVAL": "100ms",
        "BROADCAST_SPOOL_DIR": str(folder / "spool"),
        "BROADCAST_SENDING_LINGER": "50ms",
        "BROADCAST_SENDING_OBJECTS_LINGER": "50ms",
        "BROADCAST_SENDING_RETRY_FIRST": "50ms",
        "BROADCAST_SENDING_PRIVATE_NETWORKS": "true",
        **more,
    }
