"""What an operation used and cost. Amounts are exact decimal numbers, never floats."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts import money
from turnpike.router.v1 import completion_pb2


def dollars(nano: int) -> msgspec.Raw:
    """An amount as a JSON number."""
    return msgspec.Raw(money.usd_text(nano).encode())


def cost_json(outcome: completion_pb2.Outcome) -> dict[str, Any]:
    """The members that every usage object ends with."""
    return {
        "cost": dollars(outcome.cost_nano_usd),
        "is_byok": outcome.is_byok,
        "cost_details": {
            "upstream_inference_cost": dollars(outcome.upstream_cost_nano_usd) if outcome.is_byok else None,
            "upstream_inference_prompt_cost": dollars(outcome.prompt_cost_nano_usd),
            "upstream_inference_completions_cost": dollars(outcome.completion_cost_nano_usd),
        },
    }
