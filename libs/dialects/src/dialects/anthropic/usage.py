"""Reading the Messages API's usage, whose input tokens leave out what a cache was read for or written with."""

from __future__ import annotations

from typing import Any

from dialects.answers import Usage
from dialects.json_values import count_in


def read_usage(document: dict[str, Any]) -> Usage | None:
    """Return the counts, None when they are absent or impossible."""
    if document.get("input_tokens") is None or document.get("output_tokens") is None:
        return None
    details = document.get("output_tokens_details")
    return consistent_usage(
        document["input_tokens"],
        document["output_tokens"],
        document.get("cache_read_input_tokens"),
        document.get("cache_creation_input_tokens"),
        details.get("thinking_tokens") if isinstance(details, dict) else None,
    )


def consistent_usage(
    uncached: object, output: object, cache_read: object, cache_write: object, reasoning: object
) -> Usage | None:
    """Add up counts that are beside each other, None when one is impossible."""
    counts = {"uncached": uncached, "output": output, "read": cache_read, "write": cache_write, "reasoning": reasoning}
    plain, completion, cached, stored, thought = (count_in(counts, name) for name in counts)
    if plain is None or completion is None or cached is None or stored is None or thought is None:
        return None
    # Reasoning is counted before it is summarised, and "may differ by a small number of tokens".
    return Usage(plain + cached + stored, completion, min(thought, completion), cached, stored)
