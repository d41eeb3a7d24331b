"""The composition root: the only place that chooses concrete things."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import SystemRandom

from contracts.catalog import parse_catalog, parse_credentials
from contracts.money import nano_from_usd
from health_prober.adapters.http_caller import HttpEndpointCaller
from health_prober.adapters.kafka_verdicts import KafkaVerdictLog, Origin
from health_prober.adapters.observation_feed import observation_feed
from health_prober.adapters.spend_file import FileSpendLog, MemorySpendLog
from health_prober.domain.live_traffic import LiveTraffic
from health_prober.domain.schedule import Cadence
from health_prober.domain.sharding import Shard
from health_prober.domain.targets import select_targets
from health_prober.prober import Policy, Prober
from health_prober.settings import Settings
from servicekit import Component, Runtime, Service
from servicekit.kafka import RecordSink
from servicekit.watched_files import WatchedFiles


def policy_of(settings: Settings) -> Policy:
    """Read the policy out of the settings."""
    return Policy(
        cadence=Cadence(
            interval=settings.schedule.interval,
            unhealthy_interval=settings.schedule.unhealthy_interval,
            confirm_after=settings.schedule.confirm_after,
            jitter=settings.schedule.jitter,
        ),
        concurrency=settings.schedule.concurrency,
        failures_to_unhealthy=settings.verdict.failures,
        ttl=settings.verdict.ttl,
        daily_cap=nano_from_usd(settings.budget.daily_usd),
    )


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Connect the parts, in the order in which they drain."""
    clock = runtime.clock
    async with AsyncExitStack() as stack:
        caller = await stack.enter_async_context(
            HttpEndpointCaller.open(
                call_timeout=settings.schedule.timeout,
                concurrency=settings.schedule.concurrency,
                clock=runtime.clock,
            )
        )
        sink = RecordSink(settings.kafka, clock, client_id=settings.instance, meter=runtime.meter)
        verdicts = KafkaVerdictLog(
            sink,
            Origin(settings.instance, settings.region, epoch=int(clock.now().timestamp() * 1000)),
            republish=settings.verdict.republish,
            clock=clock,
            meter=runtime.meter,
        )
        sink.on_new_cluster.append(lambda _: verdicts.publish_all())
        spends = FileSpendLog(settings.state.dir / "spend.json", clock) if settings.state.dir else MemorySpendLog()
        traffic = LiveTraffic() if settings.observations.enabled else None
        prober = Prober(
            policy_of(settings),
            caller,
            verdicts,
            spends,
            clock=clock,
            random=SystemRandom(),
            meter=runtime.meter,
            traffic=traffic,
        )
        shard = Shard(settings.shard_index, settings.shard.count)

        def retarget(_: object) -> None:
            if catalog.loaded and credentials.loaded:
                targets = shard.owned(select_targets(catalog.value, credentials.value))
                if traffic is not None:
                    traffic.watch(targets.keys())
                prober.retarget(targets)

        credentials = WatchedFiles(
            "credentials",
            [settings.providers.secrets] if settings.providers.secrets else [],
            suffix=".yaml",
            parse=parse_credentials,
            clock=clock,
            interval=settings.catalog.reload,
            on_change=retarget,
        )
        catalog = WatchedFiles(
            "catalog",
            settings.catalog.paths,
            suffix=".yaml",
            parse=parse_catalog,
            clock=clock,
            interval=settings.catalog.reload,
            on_change=retarget,
        )
        kept: list[Component] = [spends] if isinstance(spends, FileSpendLog) else []
        if traffic is not None:
            kept.append(observation_feed(settings.kafka, clock, traffic, region=settings.region))
        yield Service(components=[prober, verdicts, *kept, catalog, credentials, sink])
