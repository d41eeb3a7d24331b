"""Valid usage events for tests, and the records that carry them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from contracts import ids, money
from contracts.money import PicoUsd, TokenCounts, UnitPrice
from contracts.topics import USAGE
from servicekit.kafka import Record
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

PRICE: Final = UnitPrice(
    "pv_test", PicoUsd(100_000), PicoUsd(300_000), PicoUsd(300_000), PicoUsd(25_000), PicoUsd(125_000), PicoUsd(0)
)


class UsageEvents:
    """Makes valid usage events."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def __call__(
        self,
        org_id: UUID | str,
        key_id: UUID | str,
        *,
        prompt: int = 10,
        completion: int = 20,
        rank: int = usage_pb.USAGE_RANK_ROUTER_FINAL,
        generation_id: str = "",
        provider: str = "local-a",
        price: UnitPrice = PRICE,
        ended_at: datetime = datetime(2026, 11, 24, 10, tzinfo=UTC),
    ) -> usage_pb.UsageEvent:
        """Make an event; the generation is new unless it is named."""
        generation_id = generation_id or ids.new_generation_id(1_795_514_400, self._random)
        tokens = TokenCounts(prompt=prompt, completion=completion)
        cost = money.cost(price, tokens).total
        event = usage_pb.UsageEvent(
            event_id=ids.usage_event_id(generation_id),
            rank=usage_pb.UsageRank.ValueType(rank),
            generation_id=generation_id,
            org_id=str(org_id),
            key_id=str(key_id),
            model="a/model",
            provider=provider,
            endpoint_id=f"a/model@{provider}",
            price=money.price_to_proto(price),
            usage=money.tokens_to_proto(tokens),
            cost_nano_usd=cost,
            provider_cost_nano_usd=cost,
            status=usage_pb.GENERATION_STATUS_COMPLETED,
        )
        event.started_at.FromDatetime(ended_at - timedelta(seconds=1))
        event.ended_at.FromDatetime(ended_at)
        return event


def usage_records(
    values: Sequence[usage_pb.UsageEvent | bytes | None], first: int = 0, headers: dict[str, str] | None = None
) -> list[Record]:
    """Make consecutive records of the usage topic's first partition; bytes are taken as they are."""
    return [
        Record(
            USAGE.name,
            0,
            first + number,
            b"org",
            value.SerializeToString() if isinstance(value, usage_pb.UsageEvent) else value,
            headers or {},
            0,
        )
        for number, value in enumerate(values)
    ]
