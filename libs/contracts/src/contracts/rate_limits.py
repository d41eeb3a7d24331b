"""Rate limits as values: most of a quantity within a minute or a day of the clock, or at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from turnpike.accounts.v1 import records_pb2


class LimitedQuantity(StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    SPEND = "spend"
    """Nano-dollars."""
    CONCURRENCY = "concurrency"


class RateInterval(StrEnum):
    """Within which window, aligned to UTC. `NONE` is for what is counted at one moment."""

    NONE = ""
    MINUTE = "minute"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A limit: `amount` is more than 0; `model` is author/slug, or empty for all models together."""

    quantity: LimitedQuantity
    interval: RateInterval
    amount: int
    model: str = ""

    def __post_init__(self) -> None:
        """Check what no single field can.

        Raises:
            ValueError: the amount is not positive, or the quantity and the interval do not go together.
        """
        if self.amount <= 0:
            raise ValueError("the amount must be more than 0")
        if (self.quantity is LimitedQuantity.CONCURRENCY) != (self.interval is RateInterval.NONE):
            raise ValueError("concurrency has no interval, and everything else has one")


_QUANTITIES = {
    records_pb2.LIMITED_QUANTITY_REQUESTS: LimitedQuantity.REQUESTS,
    records_pb2.LIMITED_QUANTITY_TOKENS: LimitedQuantity.TOKENS,
    records_pb2.LIMITED_QUANTITY_SPEND: LimitedQuantity.SPEND,
    records_pb2.LIMITED_QUANTITY_CONCURRENCY: LimitedQuantity.CONCURRENCY,
}
_QUANTITY_NUMBERS = {quantity: number for number, quantity in _QUANTITIES.items()}
_INTERVALS = {
    records_pb2.RATE_INTERVAL_UNSPECIFIED: RateInterval.NONE,
    records_pb2.RATE_INTERVAL_MINUTE: RateInterval.MINUTE,
    records_pb2.RATE_INTERVAL_DAY: RateInterval.DAY,
}
_INTERVAL_NUMBERS = {interval: number for number, interval in _INTERVALS.items()}


def rate_limits_from_proto(messages: Iterable[records_pb2.RateLimit]) -> tuple[RateLimit, ...]:
    """Read limits.

    Raises:
        ValueError: one of them cannot be understood, so it cannot be kept.
    """
    limits = []
    for message in messages:
        quantity, interval = _QUANTITIES.get(message.quantity), _INTERVALS.get(message.interval)
        if quantity is None or interval is None:
            raise ValueError("a rate limit of an unknown kind")
        limits.append(RateLimit(quantity, interval, message.amount, message.model))
    return tuple(limits)


def rate_limits_to_proto(limits: Iterable[RateLimit]) -> list[records_pb2.RateLimit]:
    """Write limits."""
    return [
        records_pb2.RateLimit(
            quantity=_QUANTITY_NUMBERS[limit.quantity],
            interval=_INTERVAL_NUMBERS[limit.interval],
            amount=limit.amount,
            model=limit.model,
        )
        for limit in limits
    ]
