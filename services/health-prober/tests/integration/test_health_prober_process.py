"""The service as a process, between simulated providers and a broker that are processes too."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contracts.ids import EndpointId
from contracts.topics import HEALTH, OBSERVATIONS
from health_prober.domain.sharding import owner
from servicekit.clock import SystemClock
from servicekit.kafka import CompactedTable, RecordSink
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess, kafka_broker
from servicekit.testing import running as running_component
from turnpike.health.v1 import endpoint_verdict_pb2 as wire
from turnpike.health.v1 import observation_pb2

GOOD, BROKEN, UNPAID = "sim/good@sim", "sim/broken@sim", "sim/unpaid@other"
HEALTHY, UNHEALTHY = wire.ENDPOINT_HEALTH_HEALTHY, wire.ENDPOINT_HEALTH_UNHEALTHY

CATALOG = """\
providers:
  - {{slug: sim, name: Simulated, base_url: "{url}", simulated: true}}
  - {{slug: other, name: Other, base_url: "{url}", simulated: true}}
models:
  - {{id: sim/good, name: Good, description: Simulated., created: 2026-01-01, input_modalities: [text],
     output_modalities: [text], endpoints: [{{provider: sim, upstream_model: sim-lorem?reasoning=100, {more}}}]}}
  - {{id: sim/broken, name: Broken, description: Simulated., created: 2026-01-01, input_modalities: [text],
     output_modalities: [text], endpoints: [{{provider: sim, upstream_model: sim-echo?fault=error-500, {more}}}]}}
  - {{id: sim/unpaid, name: Unpaid, description: Simulated., created: 2026-01-01, input_modalities: [text],
     output_modalities: [text], endpoints: [{{provider: other, upstream_model: sim-echo, {more}}}]}}
"""
MORE = 'context_length: 2048, price: {prompt: "0.0000001", completion: "0.0000003"}'
KEY = "sk-simulated-very-secret"


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with kafka_broker() as started:
        yield started


class Sim:
    """A simulated provider that can be killed and started again on its port."""

    def __init__(self) -> None:
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sim", "--port", str(self.port), "--api-key", KEY, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        self.port = int(line.rpartition(":")[2].partition("/")[0])

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    started = Sim()
    await started.start()
    yield started
    await started.kill()


@dataclass
class Prober:
    process: asyncio.subprocess.Process
    log: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 30)


@asynccontextmanager
async def prober_process(folder: Path, sim: Sim, bootstrap: str, **more: str) -> AsyncIterator[Prober]:
    (folder / "catalog").mkdir(exist_ok=True)
    (folder / "catalog" / "local.yaml").write_text(CATALOG.format(url=sim.url, more=MORE))
    (folder / "keys.yaml").write_text(f"sim: {KEY}\n")
    environment = {
        "HEALTH_PROBER_KAFKA_BROKERS": bootstrap,
        "HEALTH_PROBER_CATALOG_PATHS": str(folder / "catalog"),
        "HEALTH_PROBER_CATALOG_RELOAD": "50ms",
        "HEALTH_PROBER_PROVIDERS_SECRETS": str(folder / "keys.yaml"),
        "HEALTH_PROBER_SCHEDULE_INTERVAL": "300ms",
        "HEALTH_PROBER_SCHEDULE_UNHEALTHY_INTERVAL": "100ms",
        "HEALTH_PROBER_SCHEDULE_CONFIRM_AFTER": "50ms",
        "HEALTH_PROBER_STATE_DIR": str(folder / "state"),
        "HEALTH_PROBER_LOG_LEVEL": "debug",
    }
    log = folder / "log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "health_prober", stdout=output, stderr=output, env=os.environ | environment | more
        )
    try:
        yield Prober(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def listener(bootstrap: str) -> AsyncIterator[CompactedTable[wire.EndpointVerdict]]:
    table = CompactedTable(
        KafkaSettings(brokers=bootstrap),
        SystemClock(),
        topic=HEALTH.name,
        decode=wire.EndpointVerdict.FromString,
        supersedes=lambda new, old: (new.epoch, new.sequence) >= (old.epoch, old.sequence),
        snapshot=None,
        encode=wire.EndpointVerdict.SerializeToString,
    )
    async with running_component(table):
        yield table


async def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    """Wait for something that must happen; how long it takes is not tested."""
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not happen")


def health(table: CompactedTable[wire.EndpointVerdict], endpoint_id: str) -> int | None:
    verdict = table.get(endpoint_id)
    return None if verdict is None else verdict.health


async def test_verdicts_follow_what_providers_do(tmp_path: Path, sim: Sim, broker: BrokerProcess) -> None:
    async with listener(broker.bootstrap) as table, prober_process(tmp_path, sim, broker.bootstrap) as prober:
        await until(lambda: health(table, GOOD) == HEALTHY and health(table, BROKEN) == UNHEALTHY)
        verdict = table.get(GOOD)
        assert verdict is not None
        assert verdict.last_result == wire.PROBE_RESULT_OK
        assert verdict.status_code == 200
        assert verdict.expires_at.ToMilliseconds() - verdict.checked_at.ToMilliseconds() == 90_000
        assert verdict.prober_instance
        assert table.get(UNPAID) is None

        await sim.kill()
        await until(lambda: health(table, GOOD) == UNHEALTHY)
        verdict = table.get(GOOD)
        assert verdict is not None
        assert verdict.last_result == wire.PROBE_RESULT_UNREACHABLE
        await sim.start()
        await until(lambda: health(table, GOOD) == HEALTHY)

        assert await prober.stop() == 0
    assert KEY not in prober.log.read_text()
    assert (tmp_path / "state" / "spend.json").exists()


async def test_verdicts_reach_a_broker_that_was_replaced(tmp_path: Path, sim: Sim, broker: BrokerProcess) -> None:
    slow = {"HEALTH_PROBER_SCHEDULE_INTERVAL": "60s", "HEALTH_PROBER_SCHEDULE_JITTER": "0.001"}
    async with prober_process(tmp_path, sim, broker.bootstrap, **slow) as prober:
        async with listener(broker.bootstrap) as table:
            await until(lambda: health(table, GOOD) == HEALTHY)
            before = table.get(GOOD)
        broker.replace()
        async with listener(broker.bootstrap) as table:
            await until(lambda: health(table, GOOD) == HEALTHY)
            after = table.get(GOOD)
        assert before == after
        assert await prober.stop() == 0


async def test_probing_goes_on_without_a_broker(tmp_path: Path, sim: Sim, broker: BrokerProcess) -> None:
    broker.stop()
    async with prober_process(tmp_path, sim, broker.bootstrap) as prober:
        await until(lambda: len(prober.events("verdict.changed")) >= 2)
        broker.start()
        async with listener(broker.bootstrap) as table:
            await until(lambda: health(table, GOOD) == HEALTHY and health(table, BROKEN) == UNHEALTHY)
        assert await prober.stop() == 0


async def test_catalogue_and_credentials_are_followed(tmp_path: Path, sim: Sim, broker: BrokerProcess) -> None:
    async with listener(broker.bootstrap) as table, prober_process(tmp_path, sim, broker.bootstrap) as prober:
        await until(lambda: health(table, GOOD) == HEALTHY)
        (tmp_path / "catalog" / "broken.yaml").write_text("models: 5\n")
        await until(lambda: bool(prober.events("files.rejected")))
        (tmp_path / "catalog" / "broken.yaml").unlink()
        (tmp_path / "keys.yaml").write_text(f"sim: {KEY}\nother: {KEY}\n")
        await until(lambda: health(table, UNPAID) == HEALTHY)
        (tmp_path / "keys.yaml").write_text("sim: sk-wrong\nother: sk-wrong\n")
        await until(lambda: health(table, GOOD) == UNHEALTHY)
        verdict = table.get(GOOD)
        assert verdict is not None
        assert verdict.last_result == wire.PROBE_RESULT_UNAUTHORIZED


async def test_replicas_share_the_endpoints_between_them(tmp_path: Path, sim: Sim, broker: BrokerProcess) -> None:
    instances = ["health-prober-0", "health-prober-1"]
    for instance in instances:
        (tmp_path / instance).mkdir()
    async with AsyncExitStack() as stack:
        table = await stack.enter_async_context(listener(broker.bootstrap))
        for instance in instances:
            names = {"HEALTH_PROBER_INSTANCE": instance, "HEALTH_PROBER_SHARD_COUNT": "2"}
            await stack.enter_async_context(prober_process(tmp_path / instance, sim, broker.bootstrap, **names))
        await until(lambda: health(table, GOOD) == HEALTHY and health(table, BROKEN) == UNHEALTHY)
        for endpoint_id in (GOOD, BROKEN):
            verdict = table.get(endpoint_id)
            assert verdict is not None
            assert verdict.prober_instance == instances[owner(EndpointId(endpoint_id), 2)]


async def test_what_routers_observe_saves_probes(tmp_path: Path, sim: Sim, broker: BrokerProcess) -> None:
    sink = RecordSink(KafkaSettings(brokers=broker.bootstrap), SystemClock(), "router-test")
    slow = {"HEALTH_PROBER_SCHEDULE_INTERVAL": "2s"}
    async with running_component(sink), prober_process(tmp_path, sim, broker.bootstrap, **slow) as prober:
        for sequence in range(1, 200):
            now = SystemClock().now().timestamp()
            served = observation_pb2.EndpointObservation(endpoint_id=GOOD, ok=1, last_success_ms=int(now * 1000))
            observation = observation_pb2.Observation(
                instance="router-test", epoch=1, sequence=sequence, second=int(now), region="local", endpoints=[served]
            )
            await sink.send(OBSERVATIONS.name, key=b"router-test", value=observation.SerializeToString(), headers={})
            if len(prober.events("probe.skipped")) >= 2:
                break
            await asyncio.sleep(0.2)
        assert {event["endpoint_id"] for event in prober.events("probe.skipped")} == {GOOD}
        probed = len([event for event in prober.events("probe.finished") if event["endpoint_id"] == GOOD])
        # Without calls of routers it is probed again.
        await until(
            lambda: len([each for each in prober.events("probe.finished") if each["endpoint_id"] == GOOD]) > probed
        )
        assert await prober.stop() == 0


async def test_metrics_are_served(tmp_path: Path, sim: Sim, broker: BrokerProcess) -> None:
    async with prober_process(tmp_path, sim, broker.bootstrap) as prober:
        await until(lambda: len(prober.events("verdict.changed")) >= 2)
        (listening,) = prober.events("admin.listening")
        url = f"http://127.0.0.1:{listening['port']}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/metrics") as response:
                text = await response.text()
            async with session.get(f"{url}/healthz/ready") as response:
                assert response.status == 200
    for name in ("probe_duration", "probe_cost", "endpoints_watched", "endpoints_paused", "verdicts_unsent"):
        assert f"health_prober_{name}" in text
    assert KEY not in text


async def test_a_faulty_catalogue_stops_the_start_and_names_the_place(tmp_path: Path) -> None:
    (tmp_path / "faulty.yaml").write_text("models:\n  - id: X\n")
    environment = os.environ | {"HEALTH_PROBER_CATALOG_PATHS": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "health_prober", stdout=asyncio.subprocess.PIPE, env=environment
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert "faulty.yaml:2: id: 'X' is not author/slug" in output.decode()
