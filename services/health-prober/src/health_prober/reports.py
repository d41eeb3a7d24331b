"""What the prober says about its own work: metrics, a line a probe, a line a change of verdict."""

from __future__ import annotations

from datetime import datetime, timedelta

from opentelemetry.metrics import Meter

from contracts.catalog import Endpoint
from contracts.money import NanoUsd
from health_prober import metrics
from health_prober.domain.budget import DaySpend
from health_prober.domain.probe import ProbeOutcome, ProbeResult
from health_prober.domain.verdict import Standing
from servicekit.logs import get_logger

_log = get_logger(__name__)


class ProbeReports:
    """Logs and counts."""

    def __init__(self, meter: Meter) -> None:
        self._duration = metrics.PROBE_DURATION.create(meter)
        self._cost = metrics.PROBE_COST.create(meter)
        self._missed = metrics.TICKS_MISSED.create(meter)
        self._skipped = metrics.PROBES_SKIPPED.create(meter)

    def probe_finished(
        self,
        endpoint: Endpoint,
        outcome: ProbeOutcome,
        latency: timedelta,
        *,
        before: Standing,
        after: Standing,
        last_result: ProbeResult | None,
    ) -> None:
        """Report a probe, and what it changed."""
        self._duration.record(
            latency.total_seconds(), {"provider": endpoint.provider.slug, "result": str(outcome.result)}
        )
        fields = {
            "endpoint_id": endpoint.id,
            "result": str(outcome.result),
            "status_code": outcome.status_code,
            "latency_ms": round(latency.total_seconds() * 1000),
            "consecutive_failures": after.consecutive_failures,
        }
        _log.debug("probe.finished", **fields)
        if outcome.result is ProbeResult.REFUSED and last_result is not ProbeResult.REFUSED:
            # Such an endpoint never gets a verdict, and only people can change that.
            _log.warning("probe.refused", **fields)
        if after.health is not before.health:
            _log.info("verdict.changed", health=str(after.health), **fields)

    def probe_paid(self, endpoint: Endpoint, cost: NanoUsd) -> None:
        """Count what a probe cost."""
        self._cost.add(cost, {"provider": endpoint.provider.slug})

    def probe_skipped(self, endpoint: Endpoint) -> None:
        """Count a probe that live traffic made needless."""
        self._skipped.add(1, {"provider": endpoint.provider.slug})
        _log.debug("probe.skipped", endpoint_id=endpoint.id)

    def ticks_missed(self, endpoint: Endpoint, ticks: int) -> None:
        """Count probes that never came."""
        if ticks:
            self._missed.add(ticks, {"provider": endpoint.provider.slug})
            _log.debug("ticks.missed", endpoint_id=endpoint.id, ticks=ticks)

    def budget_exhausted(self, endpoint: Endpoint, spend: DaySpend, cap: NanoUsd, resumes_at: datetime) -> None:
        """Report that an endpoint is not probed for the rest of the day; its verdict will expire."""
        _log.warning(
            "budget.exhausted",
            endpoint_id=endpoint.id,
            spent_nano_usd=spend.spent,
            cap_nano_usd=cap,
            resumes_at=resumes_at.isoformat(),
        )

    def targets_changed(self, count: int) -> None:
        """Report how many endpoints are probed from now on."""
        _log.info("targets.changed", endpoints=count)
