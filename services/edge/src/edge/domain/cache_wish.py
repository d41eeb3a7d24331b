"""What a request, or its preset, wants of the cache of answers.

Source: OpenRouter's response caching. A preset that says no is final; then the request's header, then the preset.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

DEFAULT_TTL_S: Final = 300
MAX_TTL_S: Final = 86_400
_DIGITS: Final = re.compile(r"\s*([0-9]{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class CacheWish:
    """The cache is wanted.

    Attributes:
        ttl_s: seconds that an answer is kept.
        clear: whether an answer that is kept is thrown away first.
    """

    ttl_s: int
    clear: bool


def cache_wish(headers: Mapping[str, str], preset: Mapping[str, Any]) -> CacheWish | None:
    """Say what is wanted; None for no cache.

    Args:
        headers: of the request; names compare without regard to case.
        preset: its members `cache_enabled` and `cache_ttl_seconds`, as far as it has them.
    """
    enabled = preset.get("cache_enabled")
    if enabled is False:
        return None
    stated = _flag(headers.get("X-OpenRouter-Cache"))
    if stated is False or (stated is None and enabled is not True):
        return None
    ttl = _ttl(headers.get("X-OpenRouter-Cache-TTL"))
    if ttl is None:
        kept = preset.get("cache_ttl_seconds")
        ttl = int(kept) if isinstance(kept, int | float) and not isinstance(kept, bool) else DEFAULT_TTL_S
    return CacheWish(min(max(ttl, 1), MAX_TTL_S), _flag(headers.get("X-OpenRouter-Cache-Clear")) is True)


def _flag(text: str | None) -> bool | None:
    if text is None:
        return None
    return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower())


def _ttl(text: str | None) -> int | None:
    """The digits that a text begins with; what has none says nothing."""
    match = _DIGITS.match(text) if text is not None else None
    return int(match[1]) if match is not None else None
