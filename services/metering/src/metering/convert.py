"""Usage events between the wire and the rows of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from contracts.apps import app_of
from contracts.money import tokens_from_proto
from contracts.usage import CheckedUsage, InvalidUsageEventError, PriceColumns, validate_usage_event
from metering.domain.usage import AttemptRow, UnixMs, UsageRow
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import EnumDescriptor


def _words(enum: EnumDescriptor, prefix: str) -> dict[int, str]:
    return {value.number: value.name.removeprefix(prefix).lower() for value in enum.values}


_STATUS = _words(usage_event_pb2.DESCRIPTOR.enum_types_by_name["GenerationStatus"], "GENERATION_STATUS_")
_OUTCOME = _words(usage_event_pb2.DESCRIPTOR.enum_types_by_name["AttemptOutcome"], "ATTEMPT_OUTCOME_")
_SOURCE = _words(token_usage_pb2.DESCRIPTOR.enum_types_by_name["TokenCountSource"], "TOKEN_COUNT_SOURCE_")
_OPERATION = _words(usage_event_pb2.DESCRIPTOR.enum_types_by_name["Operation"], "OPERATION_")
_NO_PRICE: PriceColumns = ("", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
_STATUS_NUMBERS = {word: number for number, word in _STATUS.items()}
_OUTCOME_NUMBERS = {word: number for number, word in _OUTCOME.items()}
_SOURCE_NUMBERS = {word: number for number, word in _SOURCE.items()}
_OPERATION_NUMBERS = {word: number for number, word in _OPERATION.items()}


def usage_event_from_bytes(value: bytes | None) -> usage_event_pb2.UsageEvent:
    """Read and check a record of the usage topic.

    Raises:
        InvalidUsageEventError: not a usage event, or it breaks a rule.
    """
    event, _ = checked_event_from_bytes(value)
    return event


def checked_event_from_bytes(value: bytes | None) -> tuple[usage_event_pb2.UsageEvent, CheckedUsage]:
    """Read and check a record of the usage topic, and give what was read to check it.

    Raises:
        InvalidUsageEventError: not a usage event, or it breaks a rule.
    """
    if value is None:
        raise InvalidUsageEventError("the record has no value")
    try:
        event = usage_event_pb2.UsageEvent.FromString(value)
    except DecodeError:
        raise InvalidUsageEventError("not a UsageEvent message") from None
    return event, validate_usage_event(event)


def usage_row_from_proto(event: usage_event_pb2.UsageEvent, checked: CheckedUsage | None = None) -> UsageRow:
    """Make the row of an event. Times are cut to milliseconds.

    Args:
        event: to make it of; nothing is checked here.
        checked: what `validate_usage_event` gave for it, where the caller has it.
    """
    tokens, price, started_ms, ended_ms, hedge_cost = checked or _read(event)
    prompt, completion, reasoning, cached, cache_write, source, images, audio_ms, characters, search_units = tokens
    app_id, app = app_of(event.http_referer, event.app_title)
    attempts = []
    for attempt in event.attempts:
        outcome = attempt.outcome
        attempts.append(
            AttemptRow(
                attempt.endpoint_id,
                attempt.provider,
                _OUTCOME.get(outcome) or str(outcome),
                attempt.status_code,
                attempt.latency_ms,
            )
        )
    # By position, because names cost a twentieth of what an event costs. The order is that of the fields.
    return UsageRow(
        event.event_id,
        event.rank,
        event.generation_id,
        event.org_id,
        event.key_id,
        event.model,
        event.requested_model,
        event.provider,
        event.endpoint_id,
        *(price or _NO_PRICE),
        prompt,
        completion,
        reasoning,
        cached,
        cache_write,
        images,
        audio_ms,
        characters,
        search_units,
        _SOURCE.get(source) or str(source),
        event.cost_nano_usd,
        event.provider_cost_nano_usd,
        hedge_cost,
        _word(_STATUS, event.status),
        event.finish_reason,
        event.native_finish_reason,
        event.streamed,
        UnixMs(started_ms),
        UnixMs(ended_ms),
        event.first_token_ms,
        event.generation_ms,
        tuple(attempts),
        event.upstream_id,
        event.router_instance,
        event.region,
        event.http_referer,
        event.app_title,
        event.session_id,
        event.error_type,
        event.workspace_id,
        event.member_id,
        event.external_user,
        max(event.tool_calls, 0),
        max(event.bad_tool_calls, 0),
        event.is_byok,
        event.service_tier,
        event.private,
        event.user_agent,
        event.request_id,
        tuple(event.app_categories),
        event.country,
        app_id,
        app,
        # Senders that know nothing but completions do not say it.
        _word(_OPERATION, event.operation or usage_event_pb2.OPERATION_COMPLETION),
    )


def _read(event: usage_event_pb2.UsageEvent) -> CheckedUsage:
    price = event.price
    columns = (
        price.version,
        price.prompt_pico_usd,
        price.completion_pico_usd,
        price.reasoning_pico_usd,
        price.cached_pico_usd,
        price.cache_write_pico_usd,
        price.request_pico_usd,
        price.image_pico_usd,
        price.second_pico_usd,
        price.character_pico_usd,
        price.search_unit_pico_usd,
    )
    return CheckedUsage(
        tokens_from_proto(event.usage),
        columns,
        unix_ms_from_proto(event.started_at),
        unix_ms_from_proto(event.ended_at),
        sum(attempt.expense.provider_cost_nano_usd for attempt in event.attempts),
    )


def usage_row_to_proto(row: UsageRow) -> usage_event_pb2.UsageEvent:
    """Make the event that a row came from, with times in milliseconds and without the expense of each attempt and the hold.

    A row has the sum of the expenses only, which nobody is charged for, and what was held is for the ledger alone. Counts without a source are all 0 in a checked
    event, and are left out as the sender did.
    """
    event = usage_event_pb2.UsageEvent(
        event_id=row.event_id,
        rank=usage_event_pb2.UsageRank.ValueType(row.rank),
        generation_id=row.generation_id,
        org_id=row.org_id,
        key_id=row.key_id,
        model=row.model,
        requested_model=row.requested_model,
        provider=row.provider,
        endpoint_id=row.endpoint_id,
        cost_nano_usd=row.cost_nano_usd,
        provider_cost_nano_usd=row.provider_cost_nano_usd,
        status=usage_event_pb2.GenerationStatus.ValueType(_number(_STATUS_NUMBERS, row.status)),
        finish_reason=row.finish_reason,
        native_finish_reason=row.native_finish_reason,
        streamed=row.streamed,
        started_at=_timestamp(row.started_at),
        ended_at=_timestamp(row.ended_at),
        first_token_ms=row.first_token_ms,
        generation_ms=row.generation_ms,
        attempts=[
            usage_event_pb2.Attempt(
                endpoint_id=attempt.endpoint_id,
                provider=attempt.provider,
                outcome=usage_event_pb2.AttemptOutcome.ValueType(_number(_OUTCOME_NUMBERS, attempt.outcome)),
                status_code=attempt.status_code,
                latency_ms=attempt.latency_ms,
            )
            for attempt in row.attempts
        ],
        upstream_id=row.upstream_id,
        router_instance=row.router_instance,
        region=row.region,
        http_referer=row.http_referer,
        app_title=row.app_title,
        session_id=row.session_id,
        error_type=row.error_type,
        workspace_id=row.workspace_id,
        member_id=row.member_id,
        external_user=row.external_user,
        tool_calls=row.tool_calls,
        bad_tool_calls=row.bad_tool_calls,
        is_byok=row.is_byok,
        service_tier=row.service_tier,
        private=row.private,
        user_agent=row.user_agent,
        request_id=row.request_id,
        app_categories=row.app_categories,
        country=row.country,
        operation=usage_event_pb2.Operation.ValueType(_number(_OPERATION_NUMBERS, row.operation)),
    )
    if row.token_source != _SOURCE[token_usage_pb2.TOKEN_COUNT_SOURCE_UNSPECIFIED]:
        event.usage.CopyFrom(
            token_usage_pb2.TokenUsage(
                prompt_tokens=row.prompt_tokens,
                completion_tokens=row.completion_tokens,
                reasoning_tokens=row.reasoning_tokens,
                cached_tokens=row.cached_tokens,
                cache_write_tokens=row.cache_write_tokens,
                images=row.images,
                audio_milliseconds=row.audio_ms,
                characters=row.characters,
                search_units=row.search_units,
                source=token_usage_pb2.TokenCountSource.ValueType(_number(_SOURCE_NUMBERS, row.token_source)),
            )
        )
    if row.price_version:
        event.price.CopyFrom(
            token_usage_pb2.Price(
                version=row.price_version,
                prompt_pico_usd=row.prompt_pico_usd,
                completion_pico_usd=row.completion_pico_usd,
                reasoning_pico_usd=row.reasoning_pico_usd,
                cached_pico_usd=row.cached_pico_usd,
                cache_write_pico_usd=row.cache_write_pico_usd,
                request_pico_usd=row.request_pico_usd,
                image_pico_usd=row.image_pico_usd,
                second_pico_usd=row.second_pico_usd,
                character_pico_usd=row.character_pico_usd,
                search_unit_pico_usd=row.search_unit_pico_usd,
            )
        )
    return event


def unix_ms_from_proto(timestamp: Timestamp) -> UnixMs:
    """Cut a time to milliseconds."""
    return UnixMs(timestamp.seconds * 1_000 + timestamp.nanos // 1_000_000)


def _timestamp(at: UnixMs) -> Timestamp:
    return Timestamp(seconds=at // 1_000, nanos=at % 1_000 * 1_000_000)


def _word(words: Mapping[int, str], number: int) -> str:
    return words.get(number) or str(number)


def _number(numbers: Mapping[str, int], word: str) -> int:
    number = numbers.get(word)
    return int(word) if number is None else number
