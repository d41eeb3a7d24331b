"""On whose behalf a request is made, as its headers say."""

from __future__ import annotations

import re
from typing import Final

from edge.api.http.exchange import Exchange
from edge.generations import Application

# Longer ones are of no use to anybody who reads a list of applications.
_MAX_LENGTH: Final = 256
_CATEGORY: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,29}", re.ASCII)
_MAX_CATEGORIES: Final = 10
_REGIONS: Final = frozenset({"eu", "us"})


def application_of(exchange: Exchange) -> Application:
    """Read the headers that name the calling application and what it wants to know."""
    headers = exchange.request.headers
    title = headers.get("X-OpenRouter-Title") or headers.get("X-Title") or ""
    referer = headers.get("HTTP-Referer") or headers.get("Referer") or ""
    metadata = headers.get("X-OpenRouter-Metadata") or headers.get("X-OpenRouter-Experimental-Metadata") or ""
    return Application(
        referer[:_MAX_LENGTH],
        title[:_MAX_LENGTH],
        wants_metadata=metadata.strip().lower() == "enabled",
        user_agent=headers.get("User-Agent", "")[:_MAX_LENGTH],
        request_id=exchange.request_id,
        categories=_categories(headers.get("X-OpenRouter-Categories", "")),
        country=exchange.country,
        data_region=_data_region(headers.get("Host", "")),
    )


def _data_region(host: str) -> str:
    """The region that the address stands for: `eu.` and `us.` in front of a name are in-region, as at OpenRouter."""
    label, dot, _ = host.lower().partition(".")
    return label if dot and label in _REGIONS else ""


def _categories(text: str) -> tuple[str, ...]:
    """What an application says that it is: words such as `cli-agent`; what is no such word is left out."""
    words = dict.fromkeys(word.strip().lower() for word in text.split(","))
    return tuple(word for word in words if _CATEGORY.fullmatch(word))[:_MAX_CATEGORIES]
