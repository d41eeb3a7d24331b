"""The days that a dataset covers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from edge.api.http.days import Days, day_of, midnight
from edge.domain.errors import InvalidInputError
from turnpike.metering.v1 import insight_service_pb2 as messages

FLOOR: Final = date(2025, 1, 1)
_USUAL: Final = timedelta(days=30)
_MOST: Final = 366


def window(start_date: str | None, end_date: str | None, now: datetime) -> Days:
    """Choose the days: by default the last completed one and the 30 before it; never before `FLOOR` or after yesterday.

    Raises:
        InvalidInputError: not a day, before the dataset begins, in the wrong order, or too many.
    """
    yesterday = now.astimezone(UTC).date() - timedelta(days=1)
    last = yesterday if end_date is None else min(day_of(end_date, "end_date"), yesterday)
    if last < FLOOR:
        raise InvalidInputError(f"end_date: the dataset begins on {FLOOR}", "end_date")
    first = last - _USUAL if start_date is None else day_of(start_date, "start_date")
    first = max(first, FLOOR)
    if first > last:
        raise InvalidInputError("start_date: must not be after end_date and yesterday", "start_date")
    if (last - first).days >= _MOST:
        raise InvalidInputError(f"start_date: the period is longer than {_MOST} days", "start_date")
    return Days(first, last)


def traffic(days: Days, **conditions: Any) -> messages.TrafficFilter:
    """The traffic of these days."""
    return messages.TrafficFilter(start=midnight(days.first), end=midnight(days.last + timedelta(days=1)), **conditions)


def meta(days: Days, now: datetime) -> dict[str, str]:
    """What an answer says of itself."""
    return {
        "as_of": timestamp(now),
        "start_date": days.first.isoformat(),
        "end_date": days.last.isoformat(),
        "version": "v1",
    }


def timestamp(now: datetime) -> str:
    """A moment to the second."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Now = Callable[[], datetime]
