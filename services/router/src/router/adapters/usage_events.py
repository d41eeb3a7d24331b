"""Records of generations as usage events, and as the entries of the spool that carry them to Kafka."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from contracts import money, topics
from contracts.ids import usage_event_id
from contracts.operations import OPERATION_NUMBERS
from router.domain.settlement import GenerationRecord, Status
from router.usage_conversion import STATUSES, attempt_to_proto, tokens_to_proto
from servicekit.spool import SpoolEntry
from turnpike.usage.v1 import usage_event_pb2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def usage_event_of(record: GenerationRecord, instance: str, region: str) -> usage_event_pb2.UsageEvent:
    """Make the usage event of a record."""
    # The edge's start, where there is one: what the edge may state of the same generation is filed under it too.
    started = (
        record.started_at if not record.caller.started_ms else _EPOCH + timedelta(milliseconds=record.caller.started_ms)
    )
    event = usage_event_pb2.UsageEvent(
        event_id=usage_event_id(record.generation_id),
        rank=usage_event_pb2.USAGE_RANK_ROUTER_FINAL,
        generation_id=record.generation_id,
        org_id=record.caller.org_id,
        key_id=record.caller.key_id,
        requested_model=record.requested_model,
        status=STATUSES[record.status],
        streamed=record.streamed,
        started_at=_timestamp(started),
        ended_at=_timestamp(max(record.ended_at, started)),  # clocks differ
        attempts=[attempt_to_proto(attempt) for attempt in record.attempts],
        router_instance=instance,
        region=region,
        http_referer=record.caller.http_referer,
        app_title=record.caller.app_title,
        session_id=record.session_id,
        error_type=record.error_type,
        workspace_id=record.caller.workspace_id,
        member_id=record.caller.member_id,
        external_user=record.external_user,
        private=record.private,
        user_agent=record.caller.user_agent,
        request_id=record.caller.request_id,
        app_categories=record.caller.app_categories,
        country=record.caller.country,
        operation=OPERATION_NUMBERS[record.operation],
        lease_id=record.caller.lease_id,
        hold_nano_usd=record.caller.hold,
    )
    answered = record.answered
    if answered is not None:
        event.model = answered.endpoint.model_id
        event.provider = answered.endpoint.provider.slug
        event.endpoint_id = answered.endpoint.id
        event.price.CopyFrom(money.price_to_proto(answered.price))
        event.usage.CopyFrom(tokens_to_proto(answered.tokens))
        event.cost_nano_usd = answered.cost.total
        event.provider_cost_nano_usd = answered.provider_cost
        event.is_byok = bool(answered.byok_key_id)
        event.byok_key_id = answered.byok_key_id
        event.byok_fee_ppm = answered.byok_fee_ppm
        event.finish_reason = answered.finish_reason
        event.native_finish_reason = answered.native_finish_reason
        event.upstream_id = answered.upstream_id
        event.first_token_ms = answered.first_token_ms
        event.generation_ms = answered.generation_ms
        event.service_tier = answered.service_tier
        event.tool_calls = answered.tool_calls
        event.bad_tool_calls = answered.bad_tool_calls
    elif record.status is Status.FAILED:
        event.finish_reason = "error"
    return event


def spool_entries(instance: str, region: str) -> Callable[[GenerationRecord], SpoolEntry]:
    """Return the encoder of this router's records: key, CloudEvents and trace headers, protobuf."""
    source = f"/router/{instance}"

    def encode(record: GenerationRecord) -> SpoolEntry:
        event = usage_event_of(record, instance, region)
        headers = topics.cloud_event_headers(
            topics.USAGE,
            event_id=event.event_id,
            source=source,
            time=record.ended_at,
            subject=record.generation_id,
            extra=record.headers,
        )
        return SpoolEntry(record.caller.org_id.encode(), headers, event.SerializeToString())

    return encode


def _timestamp(moment: datetime) -> Timestamp:
    # Timestamp.FromDatetime does the same at ten times the cost, twice an event.
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)
