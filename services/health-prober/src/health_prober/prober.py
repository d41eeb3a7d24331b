"""The use case: probe each target on its schedule, within its budget, and say what that shows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from opentelemetry.metrics import Meter

from contracts.catalog import Endpoint
from contracts.ids import EndpointId
from contracts.money import NanoUsd
from health_prober import metrics
from health_prober.domain.budget import add_cost, affords, next_day, spend_on
from health_prober.domain.errors import ProbeTimeoutError, UnreachableError
from health_prober.domain.live_traffic import LiveTraffic
from health_prober.domain.ports import EndpointCaller, SpendLog, VerdictLog
from health_prober.domain.probe import (
    ProbeOutcome,
    ProbeResult,
    highest_cost,
    probe_cost,
    probe_request,
    read_outcome,
)
from health_prober.domain.schedule import Cadence, first_delay, missed_ticks, next_delay
from health_prober.domain.targets import Target
from health_prober.domain.verdict import Standing, Verdict, judge
from health_prober.reports import ProbeReports
from servicekit.clock import Clock
from servicekit.lifecycle import Component

_PAUSE_STEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How to probe.

    Attributes:
        cadence: how often.
        concurrency: probes at the same time.
        failures_to_unhealthy: failures in a row.
        ttl: from a probe to the end of its verdict.
        daily_cap: for each endpoint and day.
    """

    cadence: Cadence
    concurrency: int
    failures_to_unhealthy: int
    ttl: timedelta
    daily_cap: NanoUsd


@dataclass(slots=True)
class _Watch:
    """What is remembered of one endpoint."""

    task: asyncio.Task[None] | None = None
    standing: Standing = field(default_factory=Standing)
    sequence: int = 0
    last_result: ProbeResult | None = None
    paused: bool = False


class Prober(Component):
    """Probes targets until stopped. Each endpoint has a task of its own; a semaphore bounds what they do at once."""

    name = "prober"

    def __init__(
        self,
        policy: Policy,
        caller: EndpointCaller,
        verdicts: VerdictLog,
        spends: SpendLog,
        *,
        clock: Clock,
        random: Random,
        meter: Meter,
        traffic: LiveTraffic | None = None,
    ) -> None:
        """Make the prober.

        Args:
            policy: how to probe.
            caller: sends probes.
            verdicts: where what they show is said.
            spends: what they have cost.
            clock: of this process.
            random: spreads them.
            meter: counts them.
            traffic: what calls of routers show; probes that would only repeat it are not made. None probes always.
        """
        self._policy = policy
        self._traffic = traffic
        self._caller = caller
        self._verdicts = verdicts
        self._spends = spends
        self._clock = clock
        self._random = random
        self._slots = asyncio.Semaphore(policy.concurrency)
        self._targets: Mapping[EndpointId, Target] = {}
        self._watches: dict[EndpointId, _Watch] = {}
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._probing = 0
        self._reports = ProbeReports(meter)
        metrics.ENDPOINTS_WATCHED.create(meter, self._count_by_health)
        metrics.ENDPOINTS_PAUSED.create(meter, lambda: sum(watch.paused for watch in self._watches.values()))

    def retarget(self, targets: Mapping[EndpointId, Target]) -> None:
        """Probe these from now on. What is known of endpoints that stay is kept."""
        self._targets = targets
        self._changed.set()

    async def run(self) -> None:
        """Probe until stopped. A probe in flight is then given up: nobody waits for it."""
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follow_targets(group))
            await self._stopping.wait()
            following.cancel()
            for watch in self._watches.values():
                if watch.task is not None:
                    watch.task.cancel()

    async def stop(self, grace: timedelta) -> None:
        """Stop probing."""
        self._stopping.set()

    def in_flight(self) -> int:
        """Probes that wait for an answer."""
        return self._probing

    async def _follow_targets(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            for endpoint_id in self._watches.keys() - self._targets.keys():
                task = self._watches.pop(endpoint_id).task
                if task is not None:
                    task.cancel()
            for endpoint_id in [key for key in self._targets if key not in self._watches]:
                watch = self._watches[endpoint_id] = _Watch()
                watch.task = group.create_task(self._probe_forever(endpoint_id, watch))
            self._reports.targets_changed(len(self._targets))

    async def _probe_forever(self, endpoint_id: EndpointId, watch: _Watch) -> None:
        cadence, failures = self._policy.cadence, self._policy.failures_to_unhealthy
        delay = first_delay(cadence, self._random.random())
        due_at = self._clock.monotonic() + delay.total_seconds()
        while True:
            await self._clock.sleep(due_at - self._clock.monotonic())
            target = self._targets.get(endpoint_id)
            if target is None:
                # Taken off the catalogue this moment; the task is about to be cancelled, unless it comes back first.
                due_at = self._clock.monotonic() + cadence.interval.total_seconds()
                continue
            if self._is_seen_to_serve(endpoint_id, watch):
                self._reports.probe_skipped(target.endpoint)
                delay = next_delay(cadence, watch.standing, failures, self._random.random())
                due_at = self._clock.monotonic() + delay.total_seconds()
                continue
            resumes_at = self._out_of_budget(target.endpoint, watch)
            if resumes_at is not None:
                # In steps, because a new catalogue may lower the price before the day is over.
                wait = min((resumes_at - self._clock.now()).total_seconds(), _PAUSE_STEP_SECONDS)
                due_at = self._clock.monotonic() + wait
                continue
            async with self._slots:
                started_at = self._clock.monotonic()
                self._reports.ticks_missed(target.endpoint, missed_ticks(due_at, started_at, delay))
                await self._probe(target, watch)
            delay = next_delay(cadence, watch.standing, failures, self._random.random())
            due_at = started_at + delay.total_seconds()

    def _is_seen_to_serve(self, endpoint_id: EndpointId, watch: _Watch) -> bool:
        """Whether a probe would only repeat what calls have shown within the interval. Doubts are always followed up."""
        if self._traffic is None or watch.standing.in_doubt:
            return False
        return self._traffic.shows_health(endpoint_id, self._clock.now(), self._policy.cadence.interval)

    def _out_of_budget(self, endpoint: Endpoint, watch: _Watch) -> datetime | None:
        """Return when the budget is whole again if it cannot pay for one more probe."""
        now = self._clock.now()
        spend = spend_on(self._spends.get(endpoint.id), now)
        if affords(spend, self._policy.daily_cap, highest_cost(endpoint)):
            watch.paused = False
            return None
        resumes_at = next_day(now)
        if not watch.paused:
            watch.paused = True
            self._reports.budget_exhausted(endpoint, spend, self._policy.daily_cap, resumes_at)
        return resumes_at

    async def _probe(self, target: Target, watch: _Watch) -> None:
        endpoint = target.endpoint
        started_at = self._clock.monotonic()
        self._probing += 1
        try:
            outcome = await self._call(target)
        except asyncio.CancelledError:
            # It may have been answered, and then it is paid for.
            self._book(endpoint, highest_cost(endpoint))
            raise
        finally:
            self._probing -= 1
        latency = timedelta(seconds=self._clock.monotonic() - started_at)
        self._book(endpoint, probe_cost(endpoint, outcome))
        before, last_result = watch.standing, watch.last_result
        watch.standing = judge(before, outcome, self._policy.failures_to_unhealthy)
        watch.last_result = outcome.result
        self._reports.probe_finished(
            endpoint, outcome, latency, before=before, after=watch.standing, last_result=last_result
        )
        self._publish(endpoint, watch, outcome, latency)

    async def _call(self, target: Target) -> ProbeOutcome:
        try:
            request = probe_request(target.endpoint, target.operation)
            status, body = await self._caller.call(target.endpoint, target.api_key, request)
        except UnreachableError:
            return ProbeOutcome(ProbeResult.UNREACHABLE)
        except ProbeTimeoutError:
            return ProbeOutcome(ProbeResult.TIMEOUT)
        return read_outcome(target.endpoint, status, body, target.operation)

    def _book(self, endpoint: Endpoint, cost: NanoUsd) -> None:
        if not cost:
            return
        spend = spend_on(self._spends.get(endpoint.id), self._clock.now())
        self._spends.put(endpoint.id, add_cost(spend, cost))
        self._reports.probe_paid(endpoint, cost)

    def _publish(self, endpoint: Endpoint, watch: _Watch, outcome: ProbeOutcome, latency: timedelta) -> None:
        if outcome.result.says_nothing or watch.standing.health is None:
            return
        watch.sequence += 1
        checked_at = self._clock.now()
        self._verdicts.publish(
            Verdict(
                endpoint_id=endpoint.id,
                health=watch.standing.health,
                outcome=outcome,
                latency=latency,
                consecutive_failures=watch.standing.consecutive_failures,
                checked_at=checked_at,
                expires_at=checked_at + self._policy.ttl,
                sequence=watch.sequence,
            )
        )

    def _count_by_health(self) -> Iterable[tuple[float, Mapping[str, str]]]:
        counts = Counter(str(watch.standing.health or "unknown") for watch in tuple(self._watches.values()))
        return [(count, {"health": health}) for health, count in counts.items()]
