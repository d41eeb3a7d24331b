"""How long a provider asks us to wait, in every form that providers use."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

# When a limit starts anew, and what says how much of it is left.
_RESETS = {
    "x-ratelimit-reset": "x-ratelimit-remaining",
    "x-ratelimit-reset-requests": "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-tokens": "x-ratelimit-remaining-tokens",
    "ratelimit-reset": "ratelimit-remaining",
    "anthropic-ratelimit-requests-reset": "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-tokens-reset": "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset": "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset": "anthropic-ratelimit-output-tokens-remaining",
}
# A number this large is a Unix time, in seconds or in milliseconds, and no wait.
_UNIX_SECONDS = 1e9
_UNIX_MILLISECONDS = 1e11
# As Go writes durations, such as `1h0m5.5s` or `120ms`.
_DURATION = re.compile(
    r"(?=\d)(?:(?P<h>\d{1,6})h)?(?:(?P<m>\d{1,6})m(?!s))?(?:(?P<s>\d{1,6}(?:\.\d{1,9})?)s)?(?:(?P<ms>\d{1,9}(?:\.\d{1,9})?)ms)?",
    re.ASCII,
)
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def read_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds to wait, None when the headers do not say (or say nonsense).

    Args:
        headers: of an answer; looked up without regard to case by the mapping.
        now: aware; an HTTP date is relative to it.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if not text:
        return None
    seconds = _number(text)
    return seconds if seconds is not None else _until(text, now)


def read_limit_reset(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds until a used-up limit starts anew, None when the headers do not say. For an answer that is a 429.

    A limit of which something is left was not the one that refused the call. Of several that may have, the last to start
    anew counts.

    Args:
        headers: as for `read_retry_after`.
        now: aware; times of day are relative to it.
    """
    waits = [
        wait
        for name, left in _RESETS.items()
        if (text := headers.get(name)) and not _number(headers.get(left)) and (wait := _reset(text, now)) is not None
    ]
    return max(waits, default=None)


def _reset(text: str, now: datetime) -> float | None:
    number = _number(text)
    if number is None:
        match = _DURATION.fullmatch(text)
        if match is None:
            return _until(text, now)
        return math.fsum(float(value) * _UNITS[unit] for unit, value in match.groupdict().items() if value)
    if number < _UNIX_SECONDS:
        return number
    return max(0.0, (number if number < _UNIX_MILLISECONDS else number / 1000) - now.timestamp())


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(text: str, now: datetime) -> float | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
        except ValueError:
            continue
        if moment.tzinfo is not None:
            return max(0.0, (moment - now).total_seconds())
    return None
