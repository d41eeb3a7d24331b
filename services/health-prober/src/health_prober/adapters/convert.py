"""Verdicts to the wire."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from health_prober.domain.probe import ProbeResult
from health_prober.domain.verdict import Health, Verdict
from turnpike.health.v1 import endpoint_verdict_pb2 as wire

_HEALTH = {
    Health.HEALTHY: wire.ENDPOINT_HEALTH_HEALTHY,
    Health.UNHEALTHY: wire.ENDPOINT_HEALTH_UNHEALTHY,
}
_RESULTS = {
    ProbeResult.OK: wire.PROBE_RESULT_OK,
    ProbeResult.UNREACHABLE: wire.PROBE_RESULT_UNREACHABLE,
    ProbeResult.TIMEOUT: wire.PROBE_RESULT_TIMEOUT,
    ProbeResult.BAD_ANSWER: wire.PROBE_RESULT_BAD_ANSWER,
    ProbeResult.UNAUTHORIZED: wire.PROBE_RESULT_UNAUTHORIZED,
    ProbeResult.RATE_LIMITED: wire.PROBE_RESULT_RATE_LIMITED,
    # Never published, because it changes no verdict; here so that the table is whole.
    ProbeResult.REFUSED: wire.PROBE_RESULT_BAD_ANSWER,
}


def verdict_to_proto(verdict: Verdict, *, epoch: int, instance: str, region: str) -> wire.EndpointVerdict:
    """Put a verdict on the wire.

    Args:
        verdict: the statement.
        epoch: start of the prober's run in Unix milliseconds.
        instance: the prober process.
        region: that it probes from.
    """
    checked_at, expires_at = Timestamp(), Timestamp()
    checked_at.FromDatetime(verdict.checked_at)
    expires_at.FromDatetime(verdict.expires_at)
    return wire.EndpointVerdict(
        endpoint_id=verdict.endpoint_id,
        health=_HEALTH[verdict.health],
        last_result=_RESULTS[verdict.outcome.result],
        status_code=verdict.outcome.status_code,
        latency_ms=round(verdict.latency.total_seconds() * 1000),
        consecutive_failures=verdict.consecutive_failures,
        checked_at=checked_at,
        expires_at=expires_at,
        epoch=epoch,
        sequence=verdict.sequence,
        prober_instance=instance,
        region=region,
    )
