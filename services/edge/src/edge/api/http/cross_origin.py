"""Answers to pages of other origins: none unless an operator names the origins (S36). Never with cookies.

Source: the Fetch standard, https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

_ANY: Final = "*"
# Seconds for which a browser need not ask again; Chromium's own limit is two hours.
_MAX_AGE: Final = "600"
_EXPOSED: Final = ", ".join(
    (
        "X-Generation-Id",
        "X-Provider-Name",
        "X-Request-Id",
        "Retry-After",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "X-OpenRouter-Cache-Status",
        "X-OpenRouter-Cache-Age",
        "X-OpenRouter-Cache-TTL",
        "X-OpenRouter-Cache-Source-Id",
    )
)
# Names of headers, as a browser lists them.
_NAMES: Final = re.compile(r"[A-Za-z0-9-]{1,64}(?:, ?[A-Za-z0-9-]{1,64}){0,63}")


class CrossOrigin:
    """Says what pages of other origins may do."""

    def __init__(self, origins: Collection[str]) -> None:
        """Make the rule.

        Args:
            origins: such as `https://app.example`; `*` is every one.
        """
        self._origins = frozenset(origins)

    def headers(self, origin: str | None) -> Mapping[str, str] | None:
        """Headers of an answer to a page of this origin; None where its browser must keep the answer from it."""
        if origin is None or not self._origins:
            return None
        if _ANY in self._origins:
            return {"Access-Control-Allow-Origin": _ANY, "Access-Control-Expose-Headers": _EXPOSED}
        if origin not in self._origins:
            return None
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED, "Vary": "Origin"}


def preflight_headers(methods: Collection[str], requested: str | None) -> dict[str, str]:
    """Further headers of the answer to a browser that asks first.

    Args:
        methods: that there are at the path.
        requested: names of the headers that the page wants to send. Each may be: keys travel in headers, not in cookies, so
            there is nothing that a page could send in the name of somebody else.
    """
    headers = {"Access-Control-Allow-Methods": ", ".join(sorted(methods)), "Access-Control-Max-Age": _MAX_AGE}
    if requested is not None and _NAMES.fullmatch(requested):
        headers["Access-Control-Allow-Headers"] = requested
    return headers
