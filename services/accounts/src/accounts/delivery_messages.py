"""What became of deliveries, on the wire and as it is stored."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from accounts.domain.destinations import MAX_ATTEMPTS, DeliveryAttempt, DeliveryState
from accounts.domain.errors import InvalidFieldError
from accounts.records import timestamp
from turnpike.accounts.v1 import destination_service_pb2 as messages


def state_from_proto(message: messages.DeliveryState) -> DeliveryState:
    """Read what became of deliveries.

    Raises:
        InvalidFieldError: a number is negative, or a time is none.
    """
    counts = (message.delivered, message.refused, message.dropped, message.waiting, message.failures)
    if any(count < 0 for count in counts):
        raise InvalidFieldError("state", "must not have negative numbers")
    return DeliveryState(
        *counts,
        delivered_at=_moment(message.delivered_at) if message.HasField("delivered_at") else None,
        failing_since=_moment(message.failing_since) if message.HasField("failing_since") else None,
        attempts=tuple(
            DeliveryAttempt(_moment(each.at), each.events, each.status, each.duration_ms, each.error[:50])
            for each in message.attempts[:MAX_ATTEMPTS]
        ),
    )


def state_to_proto(state: DeliveryState) -> messages.DeliveryState:
    """Write what became of deliveries."""
    return messages.DeliveryState(
        delivered=state.delivered,
        refused=state.refused,
        dropped=state.dropped,
        waiting=state.waiting,
        failures=state.failures,
        delivered_at=None if state.delivered_at is None else timestamp(state.delivered_at),
        failing_since=None if state.failing_since is None else timestamp(state.failing_since),
        attempts=[
            messages.DeliveryAttempt(
                at=timestamp(each.at),
                events=each.events,
                status=each.status,
                duration_ms=each.duration_ms,
                error=each.error,
            )
            for each in state.attempts
        ],
    )


def _moment(message: Timestamp) -> datetime:
    try:
        return message.ToDatetime(UTC)
    except ValueError:
        raise InvalidFieldError("state", "has a time that is none") from None
