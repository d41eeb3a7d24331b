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

COPY_PRICE: Final = UnitPrice(
    "pv_copy", PicoUsd(90_000), PicoUsd(270_000), PicoUsd(270_000), PicoUsd(22_500), PicoUsd(112_500), PicoUsd(0)
)
"""Of cancelled copies."""


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
        copies: Sequence[tuple[str, int]] = (),
        ended_at: datetime = datetime(2026, 11, 24, 10, tzinfo=UTC),
    ) -> usage_pb.UsageEvent:
        """Make an event; the generation is new unless it is named.

        Args:
            org_id: who pays.
            key_id: the key that was used.
            prompt: tokens, of the answer and of each copy.
            completion: tokens of the answer.
            rank: who states it.
            generation_id: of the generation.
            provider: of the answer.
            price: of the answer.
            copies: provider and completion tokens of each cancelled copy, at `COPY_PRICE`.
            ended_at: when it ended.
        """
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
            attempts=[
                *(_copy(slug, TokenCounts(prompt=prompt, completion=written)) for slug, written in copies),
                usage_pb.Attempt(provider=provider, outcome=usage_pb.ATTEMPT_OUTCOME_SUCCESS, status_code=200),
            ],
        )
        event.started_at.FromDatetime(ended_at - timedelta(seconds=1))
        event.ended_at.FromDatetime(ended_at)
        return event


def _copy(provider: str, tokens: TokenCounts) -> usage_pb.Attempt:
    return usage_pb.Attempt(
        provider=provider,
        outcome=usage_pb.ATTEMPT_OUTCOME_CANCELLED,
        expense=usage_pb.HedgeExpense(
            price=money.price_to_proto(COPY_PRICE),
            usage=money.tokens_to_proto(tokens),
            provider_cost_nano_usd=money.cost(COPY_PRICE, tokens).total,
        ),
    )


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
