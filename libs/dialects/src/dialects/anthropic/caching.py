"""Prompt-cache markers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# The Messages API refuses a request with more.
MAX_CACHE_MARKS = 4


def read_cache_mark(member: object) -> dict[str, str] | None:
    """Read the `cache_control` of a part, a tool or a request: what is valid of it, None when it is not a marker.

    OpenAI's marker, `prompt_cache_breakpoint`, says the same without a time.
    """
    if not isinstance(member, dict):
        return None
    mark = member.get("cache_control")
    if not isinstance(mark, dict) or mark.get("type") != "ephemeral":
        explicit = member.get("prompt_cache_breakpoint")
        return {"type": "ephemeral"} if isinstance(explicit, dict) and explicit.get("mode") == "explicit" else None
    ttl = mark.get("ttl")
    return {"type": "ephemeral", "ttl": ttl} if ttl in ("5m", "1h") else {"type": "ephemeral"}


def keep_last_marks(blocks: Iterable[dict[str, Any]], most: int) -> None:
    """Take markers away from the front until no more than `most` are left: a later one covers the prefix of an earlier one.

    Args:
        blocks: everything that may have one, in the order of the prompt: tools, system, messages.
        most: how many may stay.
    """
    marked = [block for block in blocks if "cache_control" in block]
    for block in marked[: max(0, len(marked) - most)]:
        del block["cache_control"]
