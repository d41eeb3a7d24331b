"""Instants in the answers: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp_json(moment: Timestamp) -> str:
    """Write an instant, to the microsecond, as OpenRouter does."""
    return moment.ToDatetime(UTC).isoformat(timespec="microseconds")
