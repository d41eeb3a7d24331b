"""Reading a provider's usage object."""

from __future__ import annotations

from typing import Any

from dialects.answers import Usage

# A count beyond this is a fault of the provider, not usage: the largest contexts are a hundredth of it.
MAX_TOKENS = 1_000_000_000


def read_usage(document: object) -> Usage | None:
    """Return the counts, or None when they are absent or impossible (negative, absurd, a part larger than its whole).

    Cached tokens are looked for where OpenAI, DeepSeek and Moonshot put them.
    """
    if not isinstance(document, dict):
        return None
    prompt = _count(document.get("prompt_tokens"))
    completion = _count(document.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    prompt_details = _details(document.get("prompt_tokens_details"))
    cached = _first(
        prompt_details.get("cached_tokens"), document.get("cached_tokens"), document.get("prompt_cache_hit_tokens")
    )
    cache_write = _first(prompt_details.get("cache_write_tokens"), document.get("cache_creation_input_tokens"))
    reasoning = _first(
        _details(document.get("completion_tokens_details")).get("reasoning_tokens"), document.get("reasoning_tokens")
    )
    if cached is None or cache_write is None or reasoning is None:
        return None
    # xAI and some gateways count reasoning beside the completion rather than in it; the total tells.
    if reasoning and document.get("total_tokens") == prompt + completion + reasoning:
        completion += reasoning
    if cached + cache_write > prompt or reasoning > completion:
        return None
    return Usage(prompt, completion, reasoning, cached, cache_write)


def _details(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(*values: object) -> int | None:
    """The first value that is there, 0 when none is, None when it is not a count."""
    for value in values:
        if value is not None:
            return _count(value)
    return 0


def _count(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_TOKENS:
        return None
    return value
