"""What a request and its preset want of the cache of answers."""

from __future__ import annotations

from typing import Any

import pytest

from edge.domain.cache_wish import CacheWish, cache_wish

ON, TTL, CLEAR = "X-OpenRouter-Cache", "X-OpenRouter-Cache-TTL", "X-OpenRouter-Cache-Clear"


@pytest.mark.parametrize(
    ("headers", "preset", "expected"),
    [
        ({}, {}, None),
        ({ON: "true"}, {}, CacheWish(300, False)),
        ({ON: " TRUE "}, {}, CacheWish(300, False)),
        ({ON: "yes"}, {}, None),
        ({ON: "false"}, {}, None),
        # The preset's no, then the header, then the preset's yes.
        ({ON: "true"}, {"cache_enabled": False}, None),
        ({ON: "false"}, {"cache_enabled": True}, None),
        ({}, {"cache_enabled": True}, CacheWish(300, False)),
        ({}, {"cache_enabled": True, "cache_ttl_seconds": 60}, CacheWish(60, False)),
        ({TTL: "20"}, {"cache_enabled": True, "cache_ttl_seconds": 60}, CacheWish(20, False)),
        ({}, {"cache_enabled": True, "cache_ttl_seconds": "soon"}, CacheWish(300, False)),
        # Digits at the beginning, clamped.
        ({ON: "true", TTL: "90s"}, {}, CacheWish(90, False)),
        ({ON: "true", TTL: "0"}, {}, CacheWish(1, False)),
        ({ON: "true", TTL: "99999999"}, {}, CacheWish(86_400, False)),
        ({ON: "true", TTL: "-5"}, {}, CacheWish(300, False)),
        ({ON: "true", TTL: "soon"}, {}, CacheWish(300, False)),
        ({ON: "true", CLEAR: "true"}, {}, CacheWish(300, True)),
        ({CLEAR: "true"}, {}, None),
    ],
)
def test_the_preset_says_no_the_header_says_the_rest(
    headers: dict[str, str], preset: dict[str, Any], expected: CacheWish | None
) -> None:
    assert cache_wish(headers, preset) == expected
