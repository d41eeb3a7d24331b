"""Making error values out of providers' words, bounded in length."""

from __future__ import annotations

from dialects.answers import UpstreamError, UpstreamErrorKind

_MAX_CODE = 64
_MAX_MESSAGE = 1_000


def upstream_error(kind: UpstreamErrorKind, status: int = 0, code: str = "", message: str = "") -> UpstreamError:
    """Make an error value; what is longer than its limit is cut."""
    return UpstreamError(kind=kind, status=status, code=code[:_MAX_CODE], message=message[:_MAX_MESSAGE])


def error_status(value: object) -> int:
    """Read an HTTP status of an error from a number or its digits, 0 when it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if type(value) is int and 400 <= value <= 599 else 0
