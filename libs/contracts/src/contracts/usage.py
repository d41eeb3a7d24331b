"""The rules that every usage event meets, checked by each consumer before it counts."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from contracts import ids, money
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

# Far above any model's context: a count beyond it is a fault of the sender, not usage.
MAX_TOKENS = 1_000_000_000
# $10,000 for one generation, in nano-dollars: a fault of the sender too, and sums of it stay within 64 bits.
MAX_COST = 10**13
MAX_RANK = 255  # stores keep the rank in one or two bytes

# 2020-01-01 to 2100-01-01 in Unix seconds: other times are faults, and stores bend or refuse some of them.
_EARLIEST_S = 1_577_836_800
_LATEST_S = 4_102_444_800
_NANOS = 10**9

_OPERATIONS = frozenset(usage_event_pb2.Operation.values())
_COMPLETIONS = frozenset({usage_event_pb2.OPERATION_UNSPECIFIED, usage_event_pb2.OPERATION_COMPLETION})


class InvalidUsageEventError(ValueError):
    """The event breaks a rule; the message names it. Such an event is set aside for people, never dropped."""


def validate_usage_event(event: usage_event_pb2.UsageEvent) -> None:
    """Check an event on its own: ids, enums, counts, and the charge and every expense recomputed from tokens and price.

    Raises:
        InvalidUsageEventError: a rule is broken.
    """
    _require(bool(event.org_id), "org_id is empty")
    _require(bool(event.key_id), "key_id is empty")
    try:
        ids.parse_generation_id(event.generation_id)
    except ValueError as error:
        raise InvalidUsageEventError(f"generation_id: {error}") from None
    _require(event.event_id == ids.usage_event_id(event.generation_id), "event_id is not that of the generation")
    _require(event.rank != usage_event_pb2.USAGE_RANK_UNSPECIFIED, "rank is not said")
    _require(0 < event.rank <= MAX_RANK, "rank is out of range")
    _require(event.status != usage_event_pb2.GENERATION_STATUS_UNSPECIFIED, "status is not said")
    _require(event.HasField("started_at"), "started_at is absent")
    _require(event.HasField("ended_at"), "ended_at is absent")
    _require(
        _is_plausible(event.started_at) and _is_plausible(event.ended_at),
        "started_at or ended_at is not a time between 2020 and 2100",
    )
    _require(event.ended_at.ToNanoseconds() >= event.started_at.ToNanoseconds(), "ended_at is before started_at")
    _require(event.operation in _OPERATIONS, "operation is unknown")
    _check_counts(event.usage)
    _check_charge(event)
    _check_expenses(event.attempts)


def _is_plausible(time: Timestamp) -> bool:
    return _EARLIEST_S <= time.seconds < _LATEST_S and 0 <= time.nanos < _NANOS


def _check_kinds(message: Message, name: str) -> None:
    """A later sender may count or price a kind that this version does not know: charging 0 for it would be wrong."""
    _require(len(UnknownFieldSet(message)) == 0, f"{name} has a kind that this version cannot price")


def _check_counts(usage: token_usage_pb2.TokenUsage) -> None:
    _check_kinds(usage, "usage")
    counts = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "images": usage.images,
        "audio_milliseconds": usage.audio_milliseconds,
        "characters": usage.characters,
        "search_units": usage.search_units,
    }
    for name, count in counts.items():
        _require(0 <= count <= MAX_TOKENS, f"{name} is out of range")
    _require(usage.cached_tokens + usage.cache_write_tokens <= usage.prompt_tokens, "more cached than prompt tokens")
    _require(usage.reasoning_tokens <= usage.completion_tokens, "more reasoning than completion tokens")
    if any(counts.values()):
        _require(usage.source != token_usage_pb2.TOKEN_COUNT_SOURCE_UNSPECIFIED, "usage.source is not said")


def _check_charge(event: usage_event_pb2.UsageEvent) -> None:
    _require(event.cost_nano_usd >= 0, "cost is negative")
    _require(event.provider_cost_nano_usd >= 0, "provider cost is negative")
    _require(max(event.cost_nano_usd, event.provider_cost_nano_usd) <= MAX_COST, "the charge is out of range")
    if not event.HasField("price"):
        _require(event.cost_nano_usd == 0 and event.provider_cost_nano_usd == 0, "a charge without a price")
        return
    computed = _computed(event.price, event.usage)
    _require(event.provider_cost_nano_usd in (0, computed), "provider cost is not usage x price")
    if event.is_byok:
        _check_fee(event)
        return
    _require(not event.byok_fee_ppm, "a fee for a provider key that was not used")
    if event.status == usage_event_pb2.GENERATION_STATUS_FAILED:
        _require(event.cost_nano_usd == 0, "a failed generation has a charge")
    else:
        _require(_is_free_of_charge(event) or event.cost_nano_usd == computed, "cost is not usage x price")


def _check_fee(event: usage_event_pb2.UsageEvent) -> None:
    """The organisation pays the provider itself, and us a part of the list price."""
    _require(0 <= event.byok_fee_ppm <= money.MAX_FEE_PPM, "byok_fee_ppm is out of range")
    if event.status == usage_event_pb2.GENERATION_STATUS_FAILED:
        _require(event.cost_nano_usd == 0, "a failed generation has a charge")
        return
    fee = money.fee(event.provider_cost_nano_usd, event.byok_fee_ppm)
    _require(
        event.cost_nano_usd == fee or _is_free_of_charge(event), "cost is not the fee of what the provider charges"
    )


def _is_free_of_charge(event: usage_event_pb2.UsageEvent) -> bool:
    """Nothing is paid for a completion without content (zero-completion insurance), nor for what nobody waited for.

    Everything else that was answered is usage x price: embeddings have no completion tokens and are charged all the same.
    """
    if event.cost_nano_usd:
        return False
    if event.operation in _COMPLETIONS:
        return event.usage.completion_tokens == 0
    return event.status == usage_event_pb2.GENERATION_STATUS_CANCELLED


def _computed(message: token_usage_pb2.Price, usage: token_usage_pb2.TokenUsage) -> int:
    """Check a price, and give what the tokens cost at it, in nano-dollars."""
    _check_kinds(message, "price")
    price = money.price_from_proto(message)
    _require(bool(price.version), "price.version is empty")
    amounts = (
        price.prompt, price.completion, price.reasoning, price.cached, price.cache_write, price.request,
        price.image, price.second, price.character, price.search_unit,
    )  # fmt: skip
    _require(min(amounts) >= 0, "a price is negative")
    return money.cost(price, money.tokens_from_proto(usage)).total


def _check_expenses(attempts: Iterable[usage_event_pb2.Attempt]) -> None:
    """Copies of a request belong to one generation, so the limit of one generation holds for all of them together."""
    owed = 0
    for attempt in attempts:
        if not attempt.HasField("expense"):
            continue
        try:
            _check_expense(attempt)
        except InvalidUsageEventError as error:
            raise InvalidUsageEventError(f"attempts.expense: {error}") from None
        owed += attempt.expense.provider_cost_nano_usd
    _require(owed <= MAX_COST, "attempts.expense: what the copies cost is out of range")


def _check_expense(attempt: usage_event_pb2.Attempt) -> None:
    _require(bool(attempt.provider), "the attempt names no provider")
    _require(attempt.outcome == usage_event_pb2.ATTEMPT_OUTCOME_CANCELLED, "the attempt was not cancelled")
    expense = attempt.expense
    _check_counts(expense.usage)
    computed = _computed(expense.price, expense.usage)
    _require(expense.provider_cost_nano_usd == computed, "provider cost is not usage x price")


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise InvalidUsageEventError(rule)
