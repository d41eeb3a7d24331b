"""Model names that say how to behave: `sim-<text>[?option=value&...]`. README.md has the table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl


class Text(StrEnum):
    """What an answer says, after the marker that it is simulated."""

    ECHO = "echo"
    LOREM = "lorem"
    AGENT = "agent"


class Fault(StrEnum):
    """What goes wrong. Faults that need a stream do the nearest thing to a JSON answer."""

    ERROR = "error"
    ECHO = "echo"
    RESET = "reset"
    HTML_200 = "html-200"
    EMPTY = "empty"
    EMPTY_BODY = "empty-body"
    ERROR_AFTER_200 = "error-after-200"
    FIRST_THEN_ERROR = "first-then-error"
    STALL_BEFORE = "stall-before"
    STALL_WITHIN = "stall-within"
    TRUNCATED = "truncated"
    CUT = "cut"
    MISSING_USAGE = "missing-usage"
    MALFORMED_EVENT = "malformed-event"
    DUPLICATE_DONE = "duplicate-done"
    WRONG_CONTENT_LENGTH = "wrong-content-length"
    SLOW = "slow"
    WRONG_COUNT = "wrong-count"


SLOW_FIRST_MS = 3_000
SLOW_GAP_MS = 300

_ERROR_STATUS = re.compile(r"(error|echo)-([45][0-9]{2})")
_RETRY_AFTER = re.compile(r"none|(?:date-)?[0-9]{1,5}")
_MAX_TOKENS = 100_000
_MAX_MS = 3_600_000


class UnknownModelError(ValueError):
    """The model name has no meaning here; the message says which part of it."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How to answer requests that name one model. Times are in milliseconds."""

    text: Text
    tokens: int = 16
    reasoning: int = 0
    cached: int = 0
    first_ms: int = 0
    gap_ms: int = 0
    rate_limit: int = 0
    fault: Fault | None = None
    status: int = 500
    retry_after: str = "1"
    p: float = 1.0
    times: int = 0
    after: int = 3
    stall_ms: int = 600_000


def parse_behaviour(model: str) -> Behaviour:
    """Read a model name.

    Raises:
        UnknownModelError: not one of ours, an unknown option, or a value out of range.
    """
    name, _, query = model.partition("?")
    prefix, _, text = name.partition("-")
    if prefix != "sim" or text not in {kind.value for kind in Text}:
        raise UnknownModelError(f"no model {name!r}; there are sim-echo, sim-lorem and sim-agent")
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    except ValueError:
        raise UnknownModelError(f"options must look like tokens=100&gap_ms=20, not {query!r}") from None
    counts = {
        "tokens": _MAX_TOKENS,
        "reasoning": _MAX_TOKENS,
        "cached": _MAX_TOKENS,
        "first_ms": _MAX_MS,
        "gap_ms": _MAX_MS,
        "rate_limit": 1_000_000,
        "times": 1_000_000,
        "after": _MAX_TOKENS,
        "stall_ms": _MAX_MS,
    }
    numbers = {name: _number(name, options.pop(name), most) for name, most in counts.items() if name in options}
    fault, status = _fault(options.pop("fault", ""))
    retry_after = options.pop("retry_after", "1")
    if _RETRY_AFTER.fullmatch(retry_after) is None:
        raise UnknownModelError(f"retry_after must be seconds, date-seconds or none, not {retry_after!r}")
    share = _share(options.pop("p", "1"))
    if options:
        raise UnknownModelError(f"unknown option {next(iter(options))!r}")
    return Behaviour(text=Text(text), fault=fault, status=status, retry_after=retry_after, p=share, **numbers)


def _number(name: str, value: str, most: int) -> int:
    if not value.isascii() or not value.isdigit() or int(value[:12]) > most:
        raise UnknownModelError(f"{name} must be a whole number up to {most}, not {value!r}")
    return int(value)


def _share(value: str) -> float:
    if re.fullmatch(r"[01](\.[0-9]{1,6})?", value) is None or float(value) > 1:
        raise UnknownModelError(f"p must be from 0 to 1, not {value!r}")
    return float(value)


def _fault(value: str) -> tuple[Fault | None, int]:
    if not value:
        return None, 500
    if match := _ERROR_STATUS.fullmatch(value):
        return Fault(match[1]), int(match[2])
    if value in {Fault.ERROR, Fault.ECHO} or value not in {fault.value for fault in Fault}:
        raise UnknownModelError(f"unknown fault {value!r}")
    return Fault(value), 500
