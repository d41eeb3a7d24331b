"""Usage events between the wire and the rows of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from contracts.apps import app_of
from contracts.usage import InvalidUsageEventError, validate_usage_event
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
_STATUS_NUMBERS = {word: number for number, word in _STATUS.items()}
_OUTCOME_NUMBERS = {word: number for number, word in _OUTCOME.items()}
_SOURCE_NUMBERS = {word: number for number, word in _SOURCE.items()}
_OPERATION_NUMBERS = {word: number for number, word in _OPERATION.items()}


def usage_event_from_bytes(value: bytes | None) -> usage_event_pb2.UsageEvent:
    """Read and check a record of the usage topic.

    Raises:
        InvalidUsageEventError: not a usage event, or it breaks a rule.
    """
    if value is None:
        raise InvalidUsageEventError("the record has no value")
    try:
        event = usage_event_pb2.UsageEvent.FromString(value)
    except DecodeError:
        raise InvalidUsageEventError("not a UsageEvent message") from None
    validate_usage_event(event)
    return event


def usage_row_from_proto(event: usage_event_pb2.UsageEvent) -> UsageRow:
    """Make the row of a checked event. Times are cut to milliseconds."""
    price = event.price
    usage = event.usage
    app_id, app = app_of(event.http_referer, event.app_title)
    hedge_cost = 0
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
        if attempt.HasField("expense"):
            hedge_cost += attempt.expense.provider_cost_nano_usd
    return UsageRow(
        event_id=event.event_id,
        rank=event.rank,
        generation_id=event.generation_id,
        org_id=event.org_id,
        key_id=event.key_id,
        model=event.model,
        requested_model=event.requested_model,
        provider=event.provider,
        endpoint_id=event.endpoint_id,
        price_version=price.version,
        prompt_pico_usd=price.prompt_pico_usd,
        completion_pico_usd=price.completion_pico_usd,
        reasoning_pico_usd=price.reasoning_pico_usd,
        cached_pico_usd=price.cached_pico_usd,
        cache_write_pico_usd=price.cache_write_pico_usd,
        request_pico_usd=price.request_pico_usd,
        image_pico_usd=price.image_pico_usd,
        second_pico_usd=price.second_pico_usd,
        character_pico_usd=price.character_pico_usd,
        search_unit_pico_usd=price.search_unit_pico_usd,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        images=usage.images,
        audio_ms=usage.audio_milliseconds,
        characters=usage.characters,
        search_units=usage.search_units,
        token_source=_word(_SOURCE, usage.source),
        cost_nano_usd=event.cost_nano_usd,
        provider_cost_nano_usd=event.provider_cost_nano_usd,
        hedge_cost_nano_usd=hedge_cost,
        status=_word(_STATUS, event.status),
        finish_reason=event.finish_reason,
        native_finish_reason=event.native_finish_reason,
        streamed=event.streamed,
        started_at=unix_ms_from_proto(event.started_at),
        ended_at=unix_ms_from_proto(event.ended_at),
        first_token_ms=event.first_token_ms,
        generation_ms=event.generation_ms,
        attempts=tuple(attempts),
        upstream_id=event.upstream_id,
        router_instance=event.router_instance,
        region=event.region,
        http_referer=event.http_referer,
        app_title=event.app_title,
        session_id=event.session_id,
        error_type=event.error_type,
        workspace_id=event.workspace_id,
        member_id=event.member_id,
        external_user=event.external_user,
        tool_calls=max(event.tool_calls, 0),
        bad_tool_calls=max(event.bad_tool_calls, 0),
        is_byok=event.is_byok,
        service_tier=event.service_tier,
        private=event.private,
        user_agent=event.user_agent,
        request_id=event.request_id,
        app_categories=tuple(event.app_categories),
        country=event.country,
        app_id=app_id,
        app=app,
        # Senders that know nothing but completions do not say it.
        operation=_word(_OPERATION, event.operation or usage_event_pb2.OPERATION_COMPLETION),
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
