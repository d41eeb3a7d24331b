"""Usage events as the books need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from accounts.domain.postings import UsageFact
from contracts.usage import InvalidUsageEventError
from turnpike.usage.v1 import usage_event_pb2

_IDS: Final = 65_536  # that are remembered
_NO_HEDGES: Final[Mapping[str, int]] = MappingProxyType({})


def fact_from_proto(event: usage_event_pb2.UsageEvent) -> UsageFact:
    """Read a valid event as the books need it.

    Raises:
        InvalidUsageEventError: something in it cannot be stored.
    """
    return UsageFact(
        event_id=UUID(event.event_id),
        rank=event.rank,
        generation_id=event.generation_id,
        org_id=_uuid("org_id", event.org_id),
        key_id=_uuid("key_id", event.key_id),
        model=_text("model", event.model),
        provider=_text("provider", event.provider),
        endpoint_id=_text("endpoint_id", event.endpoint_id),
        price_version=_text("price.version", event.price.version),
        prompt_tokens=event.usage.prompt_tokens,
        completion_tokens=event.usage.completion_tokens,
        cost=event.cost_nano_usd,
        provider_cost=event.provider_cost_nano_usd,
        hedges=_hedges(event.attempts) if event.attempts else _NO_HEDGES,
        is_byok=event.is_byok,
        ended_at=_datetime(event.ended_at),
        lease_id=_uuid("lease_id", event.lease_id) if event.lease_id else None,
        hold=event.hold_nano_usd,
    )


def _hedges(attempts: Iterable[usage_event_pb2.Attempt]) -> Mapping[str, int]:
    owed: dict[str, int] = {}
    for attempt in attempts:
        if attempt.HasField("expense"):
            provider = _text("attempts.provider", attempt.provider)
            owed[provider] = owed.get(provider, 0) + attempt.expense.provider_cost_nano_usd
    return owed or _NO_HEDGES


@lru_cache(maxsize=_IDS)
def _uuid(name: str, text: str) -> UUID:
    """Read an id. Organisations and keys come again and again, and the same object is found in a dict without a comparison."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidUsageEventError(f"{name} is not a UUID") from None


def _datetime(moment: Timestamp) -> datetime:
    # Timestamp.ToDatetime does the same at four times the cost.
    return datetime.fromtimestamp(moment.seconds, UTC).replace(microsecond=moment.nanos // 1_000)


def _text(name: str, text: str) -> str:
    """PostgreSQL stores no NUL: it would refuse the whole batch, again and again."""
    if "\0" in text:
        raise InvalidUsageEventError(f"{name} has a NUL character")
    return text
