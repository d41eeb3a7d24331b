"""The `usage` object of an answer. Amounts are exact decimal numbers, never floats."""

from __future__ import annotations

from contracts import money
from turnpike.router.v1 import completion_pb2


def cost_members(outcome: completion_pb2.Outcome) -> str:
    """Render the members of every dialect's usage object that say what a generation cost.

    `cost_details.upstream_inference_cost` is what the caller owes the provider itself, so it is null unless the caller's
    own key was used; clients add it to `cost`.
    """
    return (
        f'"cost":{money.usd_text(outcome.cost_nano_usd)},"is_byok":{byok_text(outcome)},'
        f'"cost_details":{{"upstream_inference_cost":{upstream_text(outcome)},'
        f'"upstream_inference_prompt_cost":{money.usd_text(outcome.prompt_cost_nano_usd)},'
        f'"upstream_inference_completions_cost":{money.usd_text(outcome.completion_cost_nano_usd)}}}'
    )


def byok_text(outcome: completion_pb2.Outcome) -> str:
    """Whether the caller's own key at the provider paid, in JSON."""
    return "true" if outcome.is_byok else "false"


def upstream_text(outcome: completion_pb2.Outcome) -> str:
    """What the caller owes the provider itself, in JSON."""
    return money.usd_text(outcome.upstream_cost_nano_usd) if outcome.is_byok else "null"


def usage_json(outcome: completion_pb2.Outcome) -> bytes:
    """Render what a generation used and cost."""
    usage = outcome.usage
    return (
        f'{{"prompt_tokens":{usage.prompt_tokens},"completion_tokens":{usage.completion_tokens},'
        f'"total_tokens":{usage.prompt_tokens + usage.completion_tokens},'
        f'"prompt_tokens_details":{{"cached_tokens":{usage.cached_tokens},'
        f'"cache_write_tokens":{usage.cache_write_tokens},"audio_tokens":0,"video_tokens":0}},'
        f'"completion_tokens_details":{{"reasoning_tokens":{usage.reasoning_tokens},"image_tokens":0,"audio_tokens":0}},'
        f"{cost_members(outcome)}}}"
    ).encode()
