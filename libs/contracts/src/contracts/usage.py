"""The rules that every usage event meets, checked by each consumer before it counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from contracts import ids, money
from contracts.money import TokenCounts, UnitPrice
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
_NANOS_PER_MS = 10**6
_PRICES = 4_096  # that are remembered
_COUNTS = (
    "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "cache_write_tokens",
    "images", "audio_milliseconds", "characters", "search_units",
)  # fmt: skip

# Many fields of a message in one call take a third of the time that as many reads of one take.
_read_head = attrgetter(
    "org_id", "key_id", "generation_id", "event_id", "rank", "status", "operation", "usage", "attempts"
)
_read_times = attrgetter("started_at.seconds", "started_at.nanos", "ended_at.seconds", "ended_at.nanos")
_read_charge = attrgetter("cost_nano_usd", "provider_cost_nano_usd", "is_byok", "byok_fee_ppm", "status")

_OPERATIONS = frozenset(usage_event_pb2.Operation.values())
_COMPLETIONS = frozenset({usage_event_pb2.OPERATION_UNSPECIFIED, usage_event_pb2.OPERATION_COMPLETION})


PriceColumns = tuple[str, int, int, int, int, int, int, int, int, int, int]


class InvalidUsageEventError(ValueError):
    """The event breaks a rule; the message names it. Such an event is set aside for people, never dropped."""


class CheckedUsage(NamedTuple):
    """What was read of an event to check it, because a field of a message takes ten times as long to read again.

    Attributes:
        tokens: all that was used.
        price: its version and amounts, in the order of `UnitPrice`; None without a price.
        started_ms: Unix milliseconds, cut.
        ended_ms: the same.
        attempts: the messages of all of them.
        expenses_nano_usd: of all cancelled copies.
    """

    tokens: TokenCounts
    price: PriceColumns | None
    started_ms: int
    ended_ms: int
    attempts: Sequence[usage_event_pb2.Attempt]
    expenses_nano_usd: int


def validate_usage_event(event: usage_event_pb2.UsageEvent) -> CheckedUsage:
    """Check an event on its own: ids, enums, counts, and the charge and every expense recomputed from tokens and price.

    Every consumer does this with every event, so it is written for speed: a rule is a condition and costs no call.

    Raises:
        InvalidUsageEventError: a rule is broken.
    """
    org_id, key_id, generation_id, event_id, rank, status, operation, usage, attempts = _read_head(event)
    if not org_id:
        raise InvalidUsageEventError("org_id is empty")
    if not key_id:
        raise InvalidUsageEventError("key_id is empty")
    try:
        ids.parse_generation_id(generation_id)
    except ValueError as error:
        raise InvalidUsageEventError(f"generation_id: {error}") from None
    if event_id != ids.usage_event_id(generation_id):
        raise InvalidUsageEventError("event_id is not that of the generation")
    if rank == usage_event_pb2.USAGE_RANK_UNSPECIFIED:
        raise InvalidUsageEventError("rank is not said")
    if not 0 < rank <= MAX_RANK:
        raise InvalidUsageEventError("rank is out of range")
    if status == usage_event_pb2.GENERATION_STATUS_UNSPECIFIED:
        raise InvalidUsageEventError("status is not said")
    started_ms, ended_ms = _checked_times(event)
    if operation not in _OPERATIONS:
        raise InvalidUsageEventError("operation is unknown")
    tokens = _checked_counts(usage)
    price = _checked_charge(event, tokens)
    attempts = attempts[:]
    expenses = _checked_expenses(attempts) if attempts else 0
    return CheckedUsage(tokens, price, started_ms, ended_ms, attempts, expenses)


def _checked_times(event: usage_event_pb2.UsageEvent) -> tuple[int, int]:
    start, start_nanos, end, end_nanos = _read_times(event)
    if not (
        _EARLIEST_S <= start < _LATEST_S
        and _EARLIEST_S <= end < _LATEST_S
        and 0 <= start_nanos < _NANOS
        and 0 <= end_nanos < _NANOS
    ):
        for name in ("started_at", "ended_at"):  # one that is absent reads as 1970
            if not event.HasField(name):
                raise InvalidUsageEventError(f"{name} is absent")
        raise InvalidUsageEventError("started_at or ended_at is not a time between 2020 and 2100")
    if end < start or (end == start and end_nanos < start_nanos):
        raise InvalidUsageEventError("ended_at is before started_at")
    return start * 1_000 + start_nanos // _NANOS_PER_MS, end * 1_000 + end_nanos // _NANOS_PER_MS


def _check_kinds(message: Message, name: str) -> None:
    """A later sender may count or price a kind that this version does not know: charging 0 for it would be wrong."""
    if len(UnknownFieldSet(message)):
        raise InvalidUsageEventError(f"{name} has a kind that this version cannot price")


def _checked_counts(usage: token_usage_pb2.TokenUsage) -> TokenCounts:
    _check_kinds(usage, "usage")
    tokens = money.tokens_from_proto(usage)
    prompt, completion, reasoning, cached, cache_write, source, images, audio_ms, characters, search_units = tokens
    counts = (prompt, completion, reasoning, cached, cache_write, images, audio_ms, characters, search_units)
    if min(counts) < 0 or max(counts) > MAX_TOKENS:
        name = next(name for name, count in zip(_COUNTS, counts, strict=True) if not 0 <= count <= MAX_TOKENS)
        raise InvalidUsageEventError(f"{name} is out of range")
    if cached + cache_write > prompt:
        raise InvalidUsageEventError("more cached than prompt tokens")
    if reasoning > completion:
        raise InvalidUsageEventError("more reasoning than completion tokens")
    if source == token_usage_pb2.TOKEN_COUNT_SOURCE_UNSPECIFIED and any(counts):
        raise InvalidUsageEventError("usage.source is not said")
    return tokens


def _checked_charge(event: usage_event_pb2.UsageEvent, tokens: TokenCounts) -> PriceColumns | None:
    cost, provider_cost, is_byok, byok_fee_ppm, status = _read_charge(event)
    if cost < 0:
        raise InvalidUsageEventError("cost is negative")
    if provider_cost < 0:
        raise InvalidUsageEventError("provider cost is negative")
    if cost > MAX_COST or provider_cost > MAX_COST:
        raise InvalidUsageEventError("the charge is out of range")
    if not event.HasField("price"):
        if cost or provider_cost:
            raise InvalidUsageEventError("a charge without a price")
        return None
    price, columns = _checked_price(event.price.SerializeToString())
    computed = money.total_cost(price, tokens)
    if provider_cost not in (0, computed):
        raise InvalidUsageEventError("provider cost is not usage x price")
    if is_byok:
        _check_fee(event)
        return columns
    if byok_fee_ppm:
        raise InvalidUsageEventError("a fee for a provider key that was not used")
    if status == usage_event_pb2.GENERATION_STATUS_FAILED:
        if cost:
            raise InvalidUsageEventError("a failed generation has a charge")
    elif cost != computed and not _is_free_of_charge(event):
        raise InvalidUsageEventError("cost is not usage x price")
    return columns


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


@lru_cache(maxsize=_PRICES)
def _checked_price(message: bytes) -> tuple[UnitPrice, PriceColumns]:
    """Read a price and check it. Prices are few and their versions many events', so each is checked once."""
    price = token_usage_pb2.Price.FromString(message)
    _check_kinds(price, "price")
    if not price.version:
        raise InvalidUsageEventError("price.version is empty")
    unit = money.price_from_proto(price)
    amounts = (
        unit.prompt, unit.completion, unit.reasoning, unit.cached, unit.cache_write, unit.request,
        unit.image, unit.second, unit.character, unit.search_unit,
    )  # fmt: skip
    if min(amounts) < 0:
        raise InvalidUsageEventError("a price is negative")
    return unit, (unit.version, *amounts)


def _checked_expenses(attempts: Iterable[usage_event_pb2.Attempt]) -> int:
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
    return owed


def _check_expense(attempt: usage_event_pb2.Attempt) -> None:
    _require(bool(attempt.provider), "the attempt names no provider")
    _require(attempt.outcome == usage_event_pb2.ATTEMPT_OUTCOME_CANCELLED, "the attempt was not cancelled")
    expense = attempt.expense
    tokens = _checked_counts(expense.usage)
    computed = money.total_cost(_checked_price(expense.price.SerializeToString())[0], tokens)
    _require(expense.provider_cost_nano_usd == computed, "provider cost is not usage x price")


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise InvalidUsageEventError(rule)
