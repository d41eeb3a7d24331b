"""The use case with scripted endpoints and a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from contracts.catalog import Catalog, ProviderCredentials, parse_catalog
from contracts.ids import EndpointId
from contracts.money import NanoUsd
from health_prober.adapters.spend_file import MemorySpendLog
from health_prober.domain.errors import ProbeTimeoutError, UnreachableError
from health_prober.domain.live_traffic import LiveTraffic, Sighting
from health_prober.domain.probe import ProbeResult
from health_prober.domain.schedule import Cadence
from health_prober.domain.targets import Target, select_targets
from health_prober.domain.verdict import Health
from health_prober.prober import Policy, Prober
from health_prober.testing import MemoryVerdictLog, ScriptedCaller
from servicekit.testing import ManualClock, RecordingTelemetry

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
A, B = EndpointId("maker/thing@acme"), EndpointId("maker/thing@bolt")
# A scripted answer counts 10 + 2 tokens.
COST = 10 * 1_000 + 2 * 2_000
HIGHEST = 64 * 1_000 + 16 * 2_000

CATALOG = """\
providers:
  - {slug: acme, name: Acme, base_url: "http://127.0.0.1:9/v1"}
  - {slug: bolt, name: Bolt, base_url: "http://127.0.0.1:9/v1"}
models:
  - id: maker/thing
    name: Thing
    description: A thing.
    created: 2026-01-01
    input_modalities: [text]
    output_modalities: [text]
    endpoints:
      - {provider: acme, upstream_model: thing, context_length: 2048, price: {prompt: "0.000001", completion: "0.000002"}}
      - {provider: bolt, upstream_model: thing, context_length: 2048, price: {prompt: "0.000001", completion: "0.000002"}}
"""

POLICY = Policy(
    cadence=Cadence(timedelta(seconds=30), timedelta(seconds=10), timedelta(seconds=1), jitter=0.0),
    concurrency=4,
    failures_to_unhealthy=2,
    ttl=timedelta(seconds=90),
    daily_cap=NanoUsd(10**9),
)


def targets(*slugs: str, text: str = CATALOG) -> Mapping[EndpointId, Target]:
    catalog: Catalog = parse_catalog([("catalog.yaml", text)])
    return select_targets(catalog, ProviderCredentials({slug: f"key-{slug}" for slug in slugs}))


@dataclass
class Bench:
    """A prober that runs, and what is around it."""

    prober: Prober
    clock: ManualClock
    caller: ScriptedCaller
    verdicts: MemoryVerdictLog
    spends: MemorySpendLog
    telemetry: RecordingTelemetry

    async def advance(self, seconds: float) -> None:
        """Let everybody who can run do so, then move the time."""
        await self.clock.advance(0)
        await self.clock.advance(seconds)

    def healths(self, endpoint_id: EndpointId = A) -> list[Health]:
        return [verdict.health for verdict in self.verdicts.published if verdict.endpoint_id == endpoint_id]


@asynccontextmanager
async def running(policy: Policy = POLICY, *slugs: str, traffic: LiveTraffic | None = None) -> AsyncIterator[Bench]:
    clock = ManualClock(START)
    caller, verdicts, spends = ScriptedCaller(), MemoryVerdictLog(), MemorySpendLog()
    telemetry = RecordingTelemetry()
    prober = Prober(
        policy, caller, verdicts, spends, clock=clock, random=Random(1), meter=telemetry.meter, traffic=traffic
    )
    prober.retarget(targets(*slugs or ("acme",)))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(prober.run())
        bench = Bench(prober, clock, caller, verdicts, spends, telemetry)
        await bench.advance(0)
        yield bench
        await prober.stop(timedelta(0))
        await task


async def test_only_endpoints_with_credentials_are_probed() -> None:
    async with running(POLICY, "acme") as bench:
        await bench.advance(61)
        assert bench.caller.calls == [A, A, A]


def test_a_provider_without_an_address_is_not_probed() -> None:
    assert set(targets("acme", "bolt")) == {A, B}
    text = CATALOG.replace('name: Acme, base_url: "http://127.0.0.1:9/v1"', 'name: Acme, base_url: "http://{host}/v1"')
    assert set(targets("acme", "bolt", text=text)) == {B}


async def test_a_success_is_published_as_a_verdict_that_expires() -> None:
    async with running() as bench:
        await bench.advance(0)
        (verdict,) = bench.verdicts.published
        assert (verdict.endpoint_id, verdict.health, verdict.sequence) == (A, Health.HEALTHY, 1)
        assert verdict.checked_at == START
        assert verdict.expires_at == START + timedelta(seconds=90)
        await bench.advance(30)
        assert [verdict.sequence for verdict in bench.verdicts.published] == [1, 2]


async def test_a_stopped_server_is_unhealthy_after_two_refusals_a_second_apart() -> None:
    async with running() as bench:
        bench.caller.default = UnreachableError()
        await bench.advance(30)
        assert bench.healths() == [Health.HEALTHY, Health.HEALTHY]
        await bench.advance(1)
        assert bench.healths()[-1] is Health.UNHEALTHY
        watched = {"health": "unhealthy"}
        assert bench.telemetry.metric("health_prober.endpoints.watched", watched) == 1
        last = bench.verdicts.published[-1]
        assert (last.consecutive_failures, last.outcome.result) == (2, ProbeResult.UNREACHABLE)


async def test_an_unhealthy_endpoint_is_probed_more_often_until_it_answers() -> None:
    async with running() as bench:
        bench.caller.default = ProbeTimeoutError()
        await bench.advance(30 + 10)
        assert bench.healths()[-1] is Health.UNHEALTHY
        calls = len(bench.caller.calls)
        await bench.advance(30)
        assert len(bench.caller.calls) == calls + 3
        bench.caller.default = ScriptedCaller().default
        await bench.advance(10)
        assert bench.healths()[-1] is Health.HEALTHY


def serving(traffic: LiveTraffic, at: datetime) -> None:
    traffic.note(A, Sighting(last_success=at))


async def test_an_endpoint_that_live_traffic_shows_to_answer_is_not_probed() -> None:
    traffic = LiveTraffic()
    traffic.watch([A, B])
    async with running(POLICY, "acme", "bolt", traffic=traffic) as bench:
        bench.caller.calls.clear()
        for _ in range(3):
            await bench.advance(29)
            serving(traffic, bench.clock.now())
            await bench.advance(1)
        assert bench.caller.calls == [B, B, B]
        assert bench.telemetry.metric("health_prober.probes.skipped", {"provider": "acme"}) == 3
        # When the calls stop, or one fails, it is probed again.
        await bench.advance(30)
        assert bench.caller.calls.count(A) == 1
        serving(traffic, bench.clock.now())
        traffic.note(A, Sighting(last_failure=bench.clock.now()))
        await bench.advance(30)
        assert bench.caller.calls.count(A) == 2


async def test_an_endpoint_in_doubt_is_probed_whatever_live_traffic_shows() -> None:
    traffic = LiveTraffic()
    traffic.watch([A])
    async with running(POLICY, traffic=traffic) as bench:
        bench.caller.default = (500, b"")
        await bench.advance(30)
        calls = len(bench.caller.calls)
        for _ in range(3):
            serving(traffic, bench.clock.now())
            await bench.advance(10)
        assert len(bench.caller.calls) == calls + 3
        assert bench.healths()[-1] is Health.UNHEALTHY


async def test_a_rate_limit_changes_and_renews_nothing() -> None:
    async with running() as bench:
        published = len(bench.verdicts.published)
        bench.caller.default = (429, b"")
        await bench.advance(90)
        assert len(bench.verdicts.published) == published
        assert len(bench.caller.calls) == 4


async def test_an_endpoint_that_calls_the_probe_wrong_gets_no_verdict() -> None:
    async with running() as bench:
        bench.caller.default = (400, b'{"error": {"message": "max_tokens must be at least 32"}}')
        bench.verdicts.published.clear()
        await bench.advance(300)
        assert bench.verdicts.published == []


async def test_a_budget_that_is_used_up_stops_the_probes_until_midnight() -> None:
    cap = NanoUsd(3 * COST + HIGHEST - 1)
    async with running(replace(POLICY, daily_cap=cap)) as bench:
        await bench.advance(3600)
        assert len(bench.caller.calls) == 3
        spend = bench.spends.get(A)
        assert spend is not None
        assert spend.spent == 3 * COST <= cap
        assert bench.verdicts.published[-1].expires_at < bench.clock.now()
        assert bench.telemetry.metric("health_prober.endpoints.paused") == 1
        assert bench.telemetry.metric("health_prober.probe.cost", {"provider": "acme"}) == 3 * COST
        await bench.advance(12 * 3600)
        assert len(bench.caller.calls) == 6


async def test_endpoints_come_and_go_with_the_catalogue_and_keep_their_standing() -> None:
    async with running(POLICY, "acme") as bench:
        bench.caller.default = (500, b"")
        await bench.advance(30)
        bench.prober.retarget(targets("acme", "bolt"))
        await bench.advance(10)
        assert B in bench.caller.calls
        assert bench.healths(A)[-1] is Health.UNHEALTHY
        bench.prober.retarget(targets("bolt"))
        await bench.advance(0)
        calls = bench.caller.calls.count(A)
        await bench.advance(120)
        assert bench.caller.calls.count(A) == calls


async def test_probes_at_the_same_time_are_bounded_and_waiting_is_counted() -> None:
    async with running(replace(POLICY, concurrency=1), "acme", "bolt") as bench:
        await bench.advance(1)
        bench.caller.gate.clear()
        bench.caller.calls.clear()
        await bench.advance(100)
        assert len(bench.caller.calls) == 1
        assert bench.prober.in_flight() == 1
        bench.caller.gate.set()
        await bench.advance(0)
        assert len(bench.caller.calls) >= 2
        # Due at 30 s and probed at 101 s: without the ticks at 60 and 90. Due at 60 s after the long one: without that at 90.
        assert bench.telemetry.metric("health_prober.ticks.missed", {"provider": "bolt"}) == 2
        assert bench.telemetry.metric("health_prober.ticks.missed", {"provider": "acme"}) == 1


async def test_a_stop_gives_up_the_probe_in_flight_and_books_it() -> None:
    async with running() as bench:
        await bench.advance(1)
        bench.caller.gate.clear()
        await bench.advance(30)
        assert bench.prober.in_flight() == 1
        spends = bench.spends
    spend = spends.get(A)
    assert spend is not None
    assert spend.spent == COST + HIGHEST
