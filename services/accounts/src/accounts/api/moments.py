"""Moments off the wire."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from accounts.domain.errors import InvalidFieldError


def moment_from_proto(field: str, timestamp: Timestamp) -> datetime:
    """Read a moment.

    Raises:
        InvalidFieldError: it is none.
    """
    try:
        return timestamp.ToDatetime(UTC)
    except ValueError:
        raise InvalidFieldError(field, "is not a time") from None
