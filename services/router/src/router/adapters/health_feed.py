"""The prober's verdicts, from their compacted topic."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC

from google.protobuf.message import DecodeError
from opentelemetry.metrics import Meter

from contracts import topics
from contracts.ids import EndpointId
from router.domain.verdicts import Verdict
from servicekit.clock import Clock
from servicekit.kafka import CompactedTable
from servicekit.settings import KafkaSettings
from turnpike.health.v1 import endpoint_verdict_pb2

_HEALTHY = endpoint_verdict_pb2.ENDPOINT_HEALTH_HEALTHY
_UNHEALTHY = endpoint_verdict_pb2.ENDPOINT_HEALTH_UNHEALTHY


def verdict_from_bytes(data: bytes) -> Verdict:
    """Read a verdict off the wire.

    Raises:
        ValueError: not a verdict, or one that does not say anything.
    """
    try:
        message = endpoint_verdict_pb2.EndpointVerdict.FromString(data)
    except DecodeError:
        raise ValueError("not a verdict") from None
    if message.health not in (_HEALTHY, _UNHEALTHY) or not message.endpoint_id:
        raise ValueError("a verdict without a statement")
    return Verdict(
        endpoint_id=EndpointId(message.endpoint_id),
        healthy=message.health == _HEALTHY,
        epoch=message.epoch,
        sequence=message.sequence,
        checked_at=message.checked_at.ToDatetime(UTC),
        expires_at=message.expires_at.ToDatetime(UTC),
        region=message.region,
    )


def verdict_about(table: CompactedTable[Verdict], endpoint_id: EndpointId, region: str) -> Verdict | None:
    """The verdict on an endpoint as callers of a region meet it."""
    verdict = table.get(endpoint_id)
    return verdict if verdict is not None and verdict.is_about(region) else None


def health_table(
    settings: KafkaSettings, clock: Clock, meter: Meter, *, region: str, on_verdict: Callable[[Verdict], None]
) -> CompactedTable[Verdict]:
    """Make the table of verdicts. It never keeps the router from starting: missing health blocks nothing.

    Where probers of several regions share the topic, a verdict of this region is not replaced by one of another.
    """

    def on_change(_: str, verdict: Verdict | None) -> None:
        if verdict is not None and verdict.is_about(region):
            on_verdict(verdict)

    return CompactedTable(
        settings,
        clock,
        topic=topics.HEALTH.name,
        decode=verdict_from_bytes,
        supersedes=lambda new, old: new.replaces(old, region),
        on_change=on_change,
        required=False,
        meter=meter,
    )
