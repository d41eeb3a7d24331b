"""Valid usage events for tests."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from contracts.ids import new_generation_id, usage_event_id
from contracts.money import cost, price_from_proto, tokens_from_proto
from turnpike.usage.v1.usage_event_pb2 import UsageEvent


@dataclass(frozen=True, slots=True)
class EventFactory:
    """Makes events that differ from an example in their id and in what is asked for."""

    example: UsageEvent
    random: Random

    def __call__(self, *, started_at_ms: int | None = None, completion_tokens: int = 345, **fields: Any) -> UsageEvent:
        """Make a valid event: id, times and cost are worked out."""
        event = UsageEvent()
        event.CopyFrom(self.example)
        # What was held is for the ledger: no row has it, and an event that was read back is compared with what was sent.
        event.ClearField("lease_id")
        event.ClearField("hold_nano_usd")
        if started_at_ms is not None:
            lasted = event.ended_at.ToMilliseconds() - event.started_at.ToMilliseconds()
            event.started_at.FromMilliseconds(started_at_ms)
            event.ended_at.FromMilliseconds(started_at_ms + lasted)
        event.generation_id = new_generation_id(event.started_at.seconds, self.random)
        event.event_id = usage_event_id(event.generation_id)
        event.usage.completion_tokens = completion_tokens
        event.usage.reasoning_tokens = min(completion_tokens, event.usage.reasoning_tokens)
        total = cost(price_from_proto(event.price), tokens_from_proto(event.usage)).total
        event.cost_nano_usd = event.provider_cost_nano_usd = total
        for name, value in fields.items():
            setattr(event, name, value)
        return event
