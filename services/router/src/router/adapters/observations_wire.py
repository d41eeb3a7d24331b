"""Observations to the wire and back."""

from __future__ import annotations

import math

from google.protobuf.message import DecodeError

from contracts.ids import EndpointId
from router.domain.observations import EndpointObservation, Observation
from turnpike.health.v1 import observation_pb2 as wire

_COUNTS = (
    "ok",
    "failed",
    "rate_limited",
    "consecutive_failures",
    "first_token_count",
    "first_token_seconds",
    "throughput_count",
    "throughput_tokens_per_second",
    "cooling_until_ms",
    "last_success_ms",
    "last_failure_ms",
)


def observation_to_proto(observation: Observation) -> wire.Observation:
    """Put an observation on the wire."""
    return wire.Observation(
        instance=observation.instance,
        epoch=observation.epoch,
        sequence=observation.sequence,
        second=observation.second,
        region=observation.region,
        endpoints=[
            wire.EndpointObservation(
                endpoint_id=seen.endpoint_id,
                ok=seen.ok,
                failed=seen.failed,
                rate_limited=seen.rate_limited,
                consecutive_failures=seen.consecutive_failures,
                first_token_count=seen.first_token_count,
                first_token_seconds=seen.first_token_seconds,
                throughput_count=seen.throughput_count,
                throughput_tokens_per_second=seen.throughput_tokens_per_second,
                cooling_until_ms=_milliseconds(seen.cooling_until),
                last_success_ms=_milliseconds(seen.last_success),
                last_failure_ms=_milliseconds(seen.last_failure),
            )
            for seen in observation.endpoints
        ],
    )


def observation_from_bytes(data: bytes) -> Observation:
    """Read an observation off the wire.

    Raises:
        ValueError: not an observation, or one with figures that cannot be.
    """
    try:
        message = wire.Observation.FromString(data)
    except DecodeError:
        raise ValueError("not an observation") from None
    if not message.instance or message.epoch <= 0 or message.sequence <= 0 or message.second <= 0:
        raise ValueError("an observation without its identity")
    return Observation(
        instance=message.instance,
        epoch=message.epoch,
        sequence=message.sequence,
        second=message.second,
        region=message.region,
        endpoints=tuple(_endpoint_from_proto(each) for each in message.endpoints),
    )


def _endpoint_from_proto(message: wire.EndpointObservation) -> EndpointObservation:
    if not message.endpoint_id:
        raise ValueError("an observation of no endpoint")
    if not all(0 <= getattr(message, name) < math.inf for name in _COUNTS):
        raise ValueError("an observation with figures that cannot be")
    return EndpointObservation(
        endpoint_id=EndpointId(message.endpoint_id),
        ok=message.ok,
        failed=message.failed,
        rate_limited=message.rate_limited,
        consecutive_failures=message.consecutive_failures,
        first_token_count=message.first_token_count,
        first_token_seconds=message.first_token_seconds,
        throughput_count=message.throughput_count,
        throughput_tokens_per_second=message.throughput_tokens_per_second,
        cooling_until=_seconds(message.cooling_until_ms),
        last_success=_seconds(message.last_success_ms),
        last_failure=_seconds(message.last_failure_ms),
    )


def _milliseconds(seconds: float | None) -> int:
    return 0 if seconds is None else round(seconds * 1000)


def _seconds(milliseconds: int) -> float | None:
    return milliseconds / 1000 if milliseconds else None
