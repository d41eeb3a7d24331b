"""UTC days in queries."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated, Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Meta

from edge.domain.errors import InvalidInputError

Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description="A UTC day, YYYY-MM-DD.")]
_DAY_LENGTH: Final = 10


class Days(NamedTuple):
    """A period of days, both ends in it."""

    first: date
    last: date


def day_of(text: str, param: str) -> date:
    """Read a day.

    Raises:
        InvalidInputError: there is no such day.
    """
    try:
        if len(text) != _DAY_LENGTH:
            raise ValueError(text)
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(f"{param}: expected a day such as 2026-01-31", param) from None


def midnight(day: date) -> Timestamp:
    """The moment at which a day begins."""
    moment = Timestamp()
    moment.FromDatetime(datetime.combine(day, time(), UTC))
    return moment
