"""A whole edge in this process or in one of its own: HTTP in front, scripted services and a broker behind."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import aiohttp
import grpc
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from contracts import topics
from edge.app import wire
from edge.settings import (
    AccountsSettings,
    HttpSettings,
    KeysSettings,
    MeteringSettings,
    RouterSettings,
    Settings,
    StateSettings,
    StreamSettings,
)
from edge.testing.accounts import PEPPER, MemoryAccounts
from edge.testing.analytics import MemoryAnalytics, register_analytics
from edge.testing.byok import MemoryByok, register_byok
from edge.testing.conformance import Conformance, conformance_with
from edge.testing.contents import MemoryContents, register_contents
from edge.testing.destinations import MemoryDestinations, register_destinations
from edge.testing.doubles import MemoryGenerationRecords
from edge.testing.guardrail_servicer import register_guardrails
from edge.testing.guardrails import MemoryGuardrails
from edge.testing.insight import MemoryInsight, register_insight
from edge.testing.leases import MemoryLeases, register_leases
from edge.testing.organizations import MemoryOrganizations
from edge.testing.payments import MemoryCreditSales, register_payments
from edge.testing.presets import MemoryPresets, register_presets
from edge.testing.router import ScriptedRouter
from edge.testing.servicers import register_accounts, register_organizations, register_records, register_router
from edge.testing.sessions import SessionServicer
from servicekit.durations import parse_duration
from servicekit.grpc_server import GrpcServer
from servicekit.settings import GrpcServerSettings, KafkaSettings
from servicekit.testing import RecordingTelemetry, running
from servicekit.testing.components import make_runtime
from turnpike.accounts.v1 import guardrail_pb2, records_pb2

_STEP_S = 0.02


@runtime_checkable
class _Listener(Protocol):
    """The component that listens."""

    port: int


@dataclass
class Neighbours:
    """The services around an edge, and where they are."""

    router: ScriptedRouter = field(default_factory=ScriptedRouter)
    accounts: MemoryAccounts = field(default_factory=MemoryAccounts)
    guardrails: MemoryGuardrails = field(default_factory=MemoryGuardrails)
    byok: MemoryByok = field(default_factory=MemoryByok)
    destinations: MemoryDestinations = field(default_factory=MemoryDestinations)
    contents: MemoryContents = field(default_factory=MemoryContents)
    presets: MemoryPresets = field(default_factory=MemoryPresets)
    sessions: SessionServicer = field(init=False)
    leases: MemoryLeases = field(init=False)
    records: MemoryGenerationRecords = field(default_factory=MemoryGenerationRecords)
    analytics: MemoryAnalytics = field(default_factory=MemoryAnalytics)
    insight: MemoryInsight = field(default_factory=MemoryInsight)
    sales: MemoryCreditSales = field(default_factory=MemoryCreditSales)
    targets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Everybody is of one accounts."""
        self.sessions = SessionServicer(MemoryOrganizations(self.accounts))
        self.leases = MemoryLeases(self.accounts, self.guardrails)


@asynccontextmanager
async def neighbours(around: Neighbours) -> AsyncIterator[Neighbours]:
    """Serve them on real sockets."""
    runtime, free = make_runtime(), GrpcServerSettings()
    servers = {
        "router": GrpcServer(free, runtime, lambda server: register_router(server, around.router)),
        "accounts": GrpcServer(free, runtime, lambda server: _register_owner(server, around)),
        "metering": GrpcServer(free, runtime, lambda server: _register_metering(server, around)),
    }
    async with running(*servers.values()):
        around.targets = {name: f"127.0.0.1:{server.port}" for name, server in servers.items()}
        yield around


def _register_owner(server: grpc.aio.Server, around: Neighbours) -> Sequence[str]:
    register_presets(server, around.presets)
    register_guardrails(server, around.guardrails)
    register_byok(server, around.byok)
    register_destinations(server, around.destinations)
    register_payments(server, around.sales)
    register_contents(server, around.contents)
    register_leases(server, around.leases)
    register_organizations(server, around.sessions.organizations, around.sessions)
    return register_accounts(server, around.accounts)


def _register_metering(server: grpc.aio.Server, around: Neighbours) -> Sequence[str]:
    register_analytics(server, around.analytics)
    register_insight(server, around.insight)
    return register_records(server, around.records)


class Publisher:
    """Publishes keys and organisations as accounts does."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    async def publish(
        self, *records: records_pb2.KeyRecord | records_pb2.OrgRecord | guardrail_pb2.GuardrailRecord
    ) -> None:
        """Publish records, in order."""
        await self.send(*(_named(record) for record in records))

    async def bury(self, digest: str) -> None:
        """Publish that a key is gone."""
        await self.send((topics.KEYS.name, digest, None))

    async def send(self, *records: tuple[str, str, bytes | None]) -> None:
        """Send records of (topic, key, value)."""
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all")
        await producer.start()
        try:
            for topic, key, value in records:
                await producer.send_and_wait(topic, value, key=key.encode())
        finally:
            await producer.stop()


def _named(
    record: records_pb2.KeyRecord | records_pb2.OrgRecord | guardrail_pb2.GuardrailRecord,
) -> tuple[str, str, bytes | None]:
    data = record.SerializeToString()
    if isinstance(record, records_pb2.KeyRecord):
        return topics.KEYS.name, record.lookup_digest or record.digest, data
    if isinstance(record, guardrail_pb2.GuardrailRecord):
        return topics.GUARDRAILS.name, record.guardrail_id, data
    return topics.ORGS.name, record.org_id, data


@dataclass
class EdgeStack:
    """A running edge with what is around it.

    Attributes:
        org: has credit.
        key: an inference key of it, whole.
        management_key: a management key of it, whole.
        records: those keys as they were published.
    """

    around: Neighbours
    publisher: Publisher
    http: aiohttp.ClientSession
    port: int
    org: records_pb2.OrgRecord
    key: str
    management_key: str
    key_record: records_pb2.KeyRecord
    telemetry: RecordingTelemetry
    conformance: Conformance

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return f"http://127.0.0.1:{self.port}/api/v1"

    async def call(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request with the inference key, or with another one; "" sends none.

        Raises:
            AssertionError: the answer is not as the OpenAPI document of the edge says.
        """
        sent = dict(headers or {})
        key = self.key if key is None else key
        if key:
            sent["Authorization"] = f"Bearer {key}"
        data = document if isinstance(document, bytes | None) else json.dumps(document).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        url = path if path.startswith("http") else self.url + path
        # As a file: aiohttp's client warns of large bodies that are bytes.
        body = None if data is None else io.BytesIO(data)
        async with self.http.request(method, url, data=body, headers=sent, allow_redirects=False) as response:
            answer = Answer(response.status, response.headers, await response.read())
        content_type = answer.headers.get("Content-Type", "")
        self.conformance.check(method, response.url.path, answer.status, content_type, answer.body)
        return answer

    async def chat(self, *, key: str | None = None, **members: Any) -> Answer:
        """Ask for a completion."""
        return await self.call("POST", "/chat/completions", chat_body(**members), key=key)


def chat_body(**members: Any) -> dict[str, Any]:
    """A small request for a completion."""
    return {"model": "acme/one", "messages": [{"role": "user", "content": "Say something"}], **members}


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON document."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The `error` object, whose code must be the status."""
        error: dict[str, Any] = self.document["error"]
        assert error["code"] == self.status
        assert error["message"]
        assert error["metadata"]["error_type"]
        return error

    @property
    def events(self) -> list[Any]:
        """The data of the server-sent events: JSON, and `[DONE]` as it is."""
        return [
            line[6:] if line == "data: [DONE]" else json.loads(line[6:])
            for line in self.body.decode().split("\n")
            if line.startswith("data: ")
        ]


def edge_settings(targets: Mapping[str, str], bootstrap: str, folder: Path, **sections: Any) -> Settings:
    """Settings of an edge on free ports. `sections` replaces some."""
    default: dict[str, Any] = {
        "instance": "edge-test",
        "kafka": KafkaSettings(brokers=bootstrap, watch_interval=parse_duration("200ms")),
        "http": HttpSettings(port=0),
        "router": RouterSettings(target=targets["router"], list_interval=parse_duration("100ms")),
        "accounts": AccountsSettings(target=targets["accounts"]),
        "metering": MeteringSettings(target=targets["metering"]),
        "keys": KeysSettings(pepper=SecretStr(PEPPER.decode())),
        "stream": StreamSettings(),
        "state": StateSettings(dir=folder),
    }
    return Settings(**(default | sections))


@asynccontextmanager
async def edge_stack(folder: Path, bootstrap: str, around: Neighbours, **sections: Any) -> AsyncIterator[EdgeStack]:
    """Run an edge, with an organisation and two keys published and nothing else known of them.

    Args:
        folder: for its state.
        bootstrap: of the broker.
        around: the services.
        sections: of its settings, to replace.
    """
    org = around.accounts.add_org()
    key, key_record = around.accounts.add_key(org.org_id)
    management_key, management_record = around.accounts.add_key(org.org_id, records_pb2.KEY_KIND_MANAGEMENT)
    publisher = Publisher(bootstrap)
    await publisher.publish(org, key_record, management_record)
    async with neighbours(around):
        settings = edge_settings(around.targets, bootstrap, folder, **sections)
        telemetry = RecordingTelemetry("edge")
        runtime = make_runtime(service="edge", settings=settings, tracer=telemetry.tracer, meter=telemetry.meter)
        async with (
            wire(settings, runtime) as service,
            running(*service.components),
            aiohttp.ClientSession() as http,
        ):
            (server,) = [component for component in service.components if isinstance(component, _Listener)]
            async with http.get(f"http://127.0.0.1:{server.port}/openapi.json") as described:
                conformance = conformance_with(await described.read())
            yield EdgeStack(
                around, publisher, http, server.port, org, key, management_key, key_record, telemetry, conformance
            )


class OpenEdge(Protocol):
    """Runs an edge for the rest of a test; `sections` replaces some of its settings."""

    async def __call__(self, **sections: Any) -> EdgeStack:
        """Start it."""
        ...


class EdgeProcess:
    """`python -m edge`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    def events(self, name: str) -> Sequence[dict[str, Any]]:
        """Log lines of an event."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    async def logged(self, name: str, seconds: float = 30.0) -> dict[str, Any]:
        """Wait for an event.

        Raises:
            AssertionError: it was not logged.
        """
        for _ in range(int(seconds / _STEP_S)):
            found = self.events(name)
            if found:
                return found[0]
            assert self._process.returncode is None, self._log.read_text()
            await asyncio.sleep(_STEP_S)
        raise AssertionError(f"{name} was not logged: {self._log.read_text()}")

    def terminate(self) -> None:
        """Ask it to stop."""
        self._process.send_signal(signal.SIGTERM)

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self._process.returncode is not None

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._process.kill()

    async def wait(self, seconds: float = 30.0) -> int:
        """Wait for its end and return the exit code."""
        async with asyncio.timeout(seconds):
            return await self._process.wait()


@asynccontextmanager
async def edge_process(
    folder: Path, bootstrap: str, targets: Mapping[str, str], **variables: str
) -> AsyncIterator[EdgeProcess]:
    """Run an edge as a process of its own; what is left of it at the end of the block is killed."""
    environment = {
        "EDGE_HTTP_PORT": "0",
        "EDGE_KAFKA_BROKERS": bootstrap,
        "EDGE_KAFKA_WATCH_INTERVAL": "200ms",
        "EDGE_ROUTER_TARGET": targets["router"],
        "EDGE_ROUTER_LIST_INTERVAL": "100ms",
        "EDGE_ACCOUNTS_TARGET": targets["accounts"],
        "EDGE_METERING_TARGET": targets["metering"],
        "EDGE_KEYS_PEPPER": PEPPER.decode(),
        "EDGE_STATE_DIR": str(folder / "state"),
    }
    log = folder / "edge.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "edge", stdout=output, stderr=output, env=environment | variables
        )
    try:
        yield EdgeProcess(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
