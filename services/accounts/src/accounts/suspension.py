"""What a record that cannot be priced still tells: whose it is, who states it, and what the provider will charge."""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID, uuid5

from google.protobuf.message import DecodeError

from accounts.domain.suspense import UNKNOWN_RANK, SuspendedStatement
from contracts import ids, money
from contracts.catalog.price_schedule import KINDS, unit_price
from contracts.ids import EndpointId
from contracts.usage import MAX_COST, MAX_TOKENS
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

_NAMESPACE: Final = UUID("0f1c3a52-6a1f-5c55-9d0e-2c7f7b1f6a10")  # never changes, or a repeat would be suspended twice
_MOST_PROVIDERS: Final = 16  # of one generation: more are a fault of the sender
_LONGEST_NAME: Final = 100
_RANKS: Final = frozenset(usage_event_pb2.UsageRank.values()) - {usage_event_pb2.USAGE_RANK_UNSPECIFIED}
_COMPLETIONS: Final = frozenset({usage_event_pb2.OPERATION_UNSPECIFIED, usage_event_pb2.OPERATION_COMPLETION})


def suspended_statement(value: bytes | None, reason: str, *, estimated: bool = True) -> SuspendedStatement:
    """Read what can be read of a record that is set aside. Whatever is in it, this raises nothing.

    A generation of an organisation is suspended once; a record that does not name both is told apart by its bytes.

    Args:
        value: of the record.
        reason: why it is set aside.
        estimated: whether the provider charges for it; otherwise the books know what it charges for the generation.
    """
    try:
        event = usage_event_pb2.UsageEvent.FromString(value or b"")
    except DecodeError:
        event = usage_event_pb2.UsageEvent()
    org_id = _sound_uuid(event.org_id)
    event_id = _event_id(event)
    if org_id is not None and event_id is not None:
        suspense_id = uuid5(_NAMESPACE, f"{org_id}/{event_id}")
    else:
        suspense_id = uuid5(_NAMESPACE, hashlib.sha256(value or b"").hexdigest())
    return SuspendedStatement(
        suspense_id=suspense_id,
        org_id=org_id,
        event_id=event_id,
        generation_id=event.generation_id if event_id is not None else "",
        # A rank that nobody has is no reason to keep what a statement that could be priced replaces.
        rank=event.rank if event.rank in _RANKS else UNKNOWN_RANK,
        price_version=event.price.version.replace("\0", "")[:_LONGEST_NAME],
        reason=reason,
        estimate=_estimate(event) if estimated else {},
        value=value,
    )


def corrected_event(
    value: bytes | None, price: token_usage_pb2.Price | None, usage: token_usage_pb2.TokenUsage | None
) -> usage_event_pb2.UsageEvent:
    """Make the event that an operator accepts in the place of a suspended one.

    Kinds that this version cannot price are left out, so that what they cost must be in the price: per request, or in another kind.

    Args:
        value: of the suspended record.
        price: amounts that replace those of the event; they get a version of their own.
        usage: counts that replace those of the event.

    Raises:
        DecodeError: the record is not an event.
    """
    event = usage_event_pb2.UsageEvent.FromString(value or b"")
    event.event_id = ids.usage_event_id(event.generation_id)
    event.rank = usage_event_pb2.USAGE_RANK_OPERATOR
    if usage is not None:
        source = usage.source or event.usage.source or token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER
        event.usage.CopyFrom(usage)
        event.usage.source = source
    event.usage.DiscardUnknownFields()
    if price is not None:
        amounts = {kind: money.PicoUsd(getattr(price, f"{kind}_pico_usd")) for kind in KINDS}
        event.price.CopyFrom(money.price_to_proto(unit_price(EndpointId(event.endpoint_id), amounts, "corrected")))
    event.price.DiscardUnknownFields()
    was_free = event.cost_nano_usd == 0
    event.provider_cost_nano_usd = _computed(event.price, event.usage) or 0
    event.cost_nano_usd = _charge(event, was_free=was_free)
    for attempt in event.attempts:
        if attempt.HasField("expense"):
            attempt.expense.usage.DiscardUnknownFields()
            attempt.expense.price.DiscardUnknownFields()
            expense = attempt.expense
            expense.provider_cost_nano_usd = _computed(expense.price, expense.usage) or 0
    return event


def _charge(event: usage_event_pb2.UsageEvent, *, was_free: bool) -> int:
    """What the caller pays, by the rules that every event meets (`contracts.usage`)."""
    if event.status == usage_event_pb2.GENERATION_STATUS_FAILED:
        return 0
    if was_free and event.operation in _COMPLETIONS and not event.usage.completion_tokens:
        return 0
    if was_free and event.operation not in _COMPLETIONS and event.status == usage_event_pb2.GENERATION_STATUS_CANCELLED:
        return 0
    if event.is_byok:
        return money.fee(money.NanoUsd(event.provider_cost_nano_usd), event.byok_fee_ppm)
    return event.provider_cost_nano_usd


def _event_id(event: usage_event_pb2.UsageEvent) -> UUID | None:
    try:
        ids.parse_generation_id(event.generation_id)
    except ValueError:
        return None
    return UUID(event.event_id) if event.event_id == ids.usage_event_id(event.generation_id) else None


def _sound_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _estimate(event: usage_event_pb2.UsageEvent) -> dict[str, int]:
    """What each provider will charge, in nano-dollars: of what was stated and what follows from usage and price, the more."""
    owed: dict[str, int] = {}
    if not event.is_byok:
        _add(owed, event.provider, event.provider_cost_nano_usd, event.price, event.usage)
    for attempt in event.attempts:
        if attempt.HasField("expense"):
            expense = attempt.expense
            _add(owed, attempt.provider, expense.provider_cost_nano_usd, expense.price, expense.usage)
        if len(owed) > _MOST_PROVIDERS:
            return {}
    return owed if sum(owed.values()) <= MAX_COST else {}


def _add(
    owed: dict[str, int], provider: str, stated: int, price: token_usage_pb2.Price, usage: token_usage_pb2.TokenUsage
) -> None:
    computed = _computed(price, usage)
    nano = max((each for each in (stated, computed) if each is not None and 0 < each <= MAX_COST), default=0)
    if nano and provider and "\0" not in provider and len(provider) <= _LONGEST_NAME:
        owed[provider] = owed.get(provider, 0) + nano


def _computed(price: token_usage_pb2.Price, usage: token_usage_pb2.TokenUsage) -> int | None:
    """Usage x price of the kinds that this version knows; None where that makes no sense."""
    tokens, unit = money.tokens_from_proto(usage), money.price_from_proto(price)
    counts = (
        tokens.prompt, tokens.completion, tokens.reasoning, tokens.cached, tokens.cache_write, tokens.images,
        tokens.audio_ms, tokens.characters, tokens.search_units,
    )  # fmt: skip
    if min(counts) < 0 or max(counts) > MAX_TOKENS or min(getattr(unit, kind) for kind in KINDS) < 0:
        return None
    if tokens.cached + tokens.cache_write > tokens.prompt or tokens.reasoning > tokens.completion:
        return None
    return money.cost(unit, tokens).total
