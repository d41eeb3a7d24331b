"""Reading the Converse API's usage."""

from __future__ import annotations

from typing import Any

from dialects.answers import Usage
from dialects.anthropic.usage import consistent_usage


def read_usage(document: dict[str, Any]) -> Usage | None:
    """Return the counts, None when they are absent or impossible.

    Claude counts cached tokens beside the input, other families within it; the total tells.
    """
    given, output = document.get("inputTokens"), document.get("outputTokens")
    if given is None or output is None:
        return None
    cached, stored = document.get("cacheReadInputTokens") or 0, document.get("cacheWriteInputTokens") or 0
    usage = consistent_usage(given, output, cached, stored, None)
    if usage is None or not usage.cached + usage.cache_write:
        return usage
    within = usage.prompt - usage.cached - usage.cache_write
    if document.get("totalTokens") == within + usage.completion and within >= usage.cached + usage.cache_write:
        return Usage(within, usage.completion, 0, usage.cached, usage.cache_write)
    return usage
