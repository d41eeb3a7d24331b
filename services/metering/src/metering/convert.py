"""Usage events between the wire and the rows of the store."""

from __future__ import annotations

from operator import attrgetter
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


# Many fields of a message in one call take a third of the time that as many reads of one take.
_read_event = attrgetter(
    "event_id", "rank", "generation_id", "org_id", "key_id", "model", "requested_model", "provider", "endpoint_id",
    "cost_nano_usd", "provider_cost_nano_usd", "status", "finish_reason", "native_finish_reason", "streamed",
    "first_token_ms", "generation_ms", "upstream_id", "router_instance", "region", "http_referer",
    "app_title", "session_id", "error_type", "workspace_id", "member_id", "external_user", "tool_calls", "bad_tool_calls",
    "is_byok", "service_tier", "private", "user_agent", "request_id", "app_categories", "country", "operation",
)  # fmt: skip
_read_attempt = attrgetter("endpoint_id", "provider", "outcome", "status_code", "latency_ms")
_KNOWN = 16_384  # groups of texts that are remembered


class _Shared(dict[tuple[str, ...], tuple[str, ...]]):
    """Gives the texts that an earlier event had, where they are equal. Not for texts of any length that callers choose.

    Tens of thousands of rows wait in memory. With texts of their own they took half as much CPU again to write, because
    the processor found none of them in its caches.
    """

    def __missing__(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        if len(self) >= _KNOWN:
            self.clear()
        self[texts] = texts
        return texts


_shared = _Shared()


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
    tokens, price, started_ms, ended_ms, attempts, hedge_cost = checked or _read(event)
    prompt, completion, reasoning, cached, cache_write, source, images, audio_ms, characters, search_units = tokens
    (
        event_id, rank, generation_id, org_id, key_id, model, requested_model, provider, endpoint_id,
        cost, provider_cost, status, finish_reason, native_finish_reason, streamed,
        first_token_ms, generation_ms, upstream_id, router_instance, region, http_referer,
        app_title, session_id, error_type, workspace_id, member_id, external_user, tool_calls, bad_tool_calls,
        is_byok, service_tier, private, user_agent, request_id, categories, country, operation,
    ) = _read_event(event)  # fmt: skip
    # By position, because names cost a twentieth of what an event costs. The order is that of the fields.
    return UsageRow._make(
        (
            event_id,
            rank,
            generation_id,
            *_shared[org_id, key_id],
            *_shared[model, requested_model, provider, endpoint_id],
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
            cost,
            provider_cost,
            hedge_cost,
            _STATUS.get(status) or str(status),
            *_shared[finish_reason, native_finish_reason],
            streamed,
            started_ms,
            ended_ms,
            first_token_ms,
            generation_ms,
            tuple([_attempt(attempt) for attempt in attempts]),
            upstream_id,
            *_shared[router_instance, region],
            http_referer,
            app_title,
            session_id,
            error_type,
            *_shared[workspace_id, member_id],
            external_user,
            max(tool_calls, 0),
            max(bad_tool_calls, 0),
            is_byok,
            service_tier,
            private,
            user_agent,
            request_id,
            tuple(categories) if categories else (),
            country,
            *app_of(http_referer, app_title),
            # Senders that know nothing but completions do not say it.
            _OPERATION.get(operation or usage_event_pb2.OPERATION_COMPLETION) or str(operation),
        )
    )


def _attempt(attempt: usage_event_pb2.Attempt) -> AttemptRow:
    endpoint_id, provider, outcome, status_code, latency_ms = _read_attempt(attempt)
    return AttemptRow._make(
        (*_shared[endpoint_id, provider], _OUTCOME.get(outcome) or str(outcome), status_code, latency_ms)
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
        event.attempts[:],
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


def _number(numbers: Mapping[str, int], word: str) -> int:
    number = numbers.get(word)
    return int(word) if number is None else number
