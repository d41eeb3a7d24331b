"""The `usage` object of a message: Anthropic's counts, and OpenRouter's cost beside them."""

from __future__ import annotations

import msgspec

from dialects.messages import Counts, usage_members
from edge.api.inference.usage_json import cost_members
from turnpike.router.v1 import completion_pb2

_encode = msgspec.json.Encoder().encode


def messages_usage(outcome: completion_pb2.Outcome) -> msgspec.Raw:
    """Render what a generation used and cost. Amounts are exact decimal numbers, never floats."""
    usage = outcome.usage
    counts = Counts(
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.reasoning_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
    )
    members = _encode(usage_members(counts, outcome.service_tier))
    return msgspec.Raw(members[:-1] + b"," + cost_members(outcome).encode() + b"}")


def no_usage() -> msgspec.Raw:
    """Render the usage that a stream begins with: the counts come with its end."""
    return msgspec.Raw(_encode(usage_members(Counts(), "")))
