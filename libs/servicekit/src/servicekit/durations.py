"""Durations as people write them: `500ms`, `30s`, `5m`, `1h30m`, `0`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|s|m|h|d)")
_UNITS = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def parse_duration(text: str) -> timedelta:
    """Parse one or more `<number><unit>` (units us, ms, s, m, h, d), or `0`.

    Raises:
        ValueError: anything else; a number without a unit too, because seconds and milliseconds are easily confused; and
            what is longer than a `timedelta` can be (2.7 million years).
    """
    compact = text.strip().replace(" ", "")
    if compact == "0":
        return timedelta(0)
    total, end = timedelta(0), 0
    for match in _PART.finditer(compact):
        if match.start() != end:
            break
        # A whole number stays one: a float is exact to the microsecond for 285 years only.
        number = float(match[1]) if "." in match[1] else int(match[1])
        try:
            total += number * _UNITS[match[2]]
        except OverflowError:
            raise ValueError("longer than any duration") from None
        end = match.end()
    if not compact or end != len(compact):
        raise ValueError("not a duration such as 500ms, 30s, 5m or 1h30m")
    return total


def format_duration(duration: timedelta) -> str:
    """Write a duration so that `parse_duration` reads the same back, to the microsecond."""
    microseconds = duration // timedelta(microseconds=1)
    for unit in ("d", "h", "m", "s", "ms", "us"):
        size = _UNITS[unit] // timedelta(microseconds=1)
        if microseconds and microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return "0"


def _from_text(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("a duration is not negative")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_from_text),
    AfterValidator(_not_negative),
    PlainSerializer(format_duration, return_type=str),
]
"""A settings field: a `timedelta` that is not negative, written as in `parse_duration`."""
