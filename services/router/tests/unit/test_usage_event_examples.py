"""The published usage events are ones that this router makes out of its own records."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest

from contracts import money
from contracts.ids import EndpointId, GenerationId, KeyId, OrgId
from contracts.operations import Operation
from contracts.testing.examples import iter_examples
from router.adapters.usage_events import usage_event_of
from router.domain.attempts import AttemptOutcome, AttemptRecord
from router.domain.settlement import Answered, Caller, GenerationRecord, Status
from router.domain.tokens import CountSource, Expense, Tokens
from router.testing.catalogs import Offer, catalog_of
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

EXAMPLES = Path(__file__).parents[4] / "protos" / "examples"
(ENDPOINT,) = catalog_of(Offer("a")).endpoints.values()
SOURCES = {
    token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER: CountSource.PROVIDER,
    token_usage_pb2.TOKEN_COUNT_SOURCE_ESTIMATE: CountSource.ESTIMATE,
}


def tokens_of(usage: token_usage_pb2.TokenUsage) -> Tokens:
    return Tokens(money.tokens_from_proto(usage), SOURCES[usage.source])


def attempt_of(attempt: usage_event_pb2.Attempt) -> AttemptRecord:
    outcome = usage_event_pb2.AttemptOutcome.Name(attempt.outcome).removeprefix("ATTEMPT_OUTCOME_").lower()
    expense = None
    if attempt.HasField("expense"):
        owed = attempt.expense
        cost = money.NanoUsd(owed.provider_cost_nano_usd)
        expense = Expense(money.price_from_proto(owed.price), tokens_of(owed.usage), cost)
    return AttemptRecord(
        endpoint_id=EndpointId(attempt.endpoint_id),
        provider=attempt.provider,
        outcome=AttemptOutcome(outcome),
        status=attempt.status_code,
        latency_ms=attempt.latency_ms,
        expense=expense,
    )


def answered_of(event: usage_event_pb2.UsageEvent) -> Answered:
    """What answered; the endpoint is one of a test under the example's names."""
    price, tokens = money.price_from_proto(event.price), tokens_of(event.usage)
    provider = replace(ENDPOINT.provider, slug=event.provider)
    endpoint = replace(ENDPOINT, id=EndpointId(event.endpoint_id), provider=provider, price=price)
    cost = money.cost(price, tokens.counts)
    return Answered(
        endpoint=replace(endpoint, model_id=type(ENDPOINT.model_id)(event.model)),
        price=price,
        tokens=tokens,
        cost=cost if event.cost_nano_usd else replace(cost, total=money.NanoUsd(0)),
        provider_cost=money.NanoUsd(event.provider_cost_nano_usd),
        finish_reason=event.finish_reason,
        native_finish_reason=event.native_finish_reason,
        upstream_id=event.upstream_id,
        first_token_ms=event.first_token_ms,
        generation_ms=event.generation_ms,
        service_tier=event.service_tier,
        tool_calls=event.tool_calls,
        bad_tool_calls=event.bad_tool_calls,
    )


@pytest.mark.parametrize(
    "event", [pytest.param(event, id=name) for name, event in iter_examples(usage_event_pb2.UsageEvent, EXAMPLES)]
)
def test_published_examples_are_what_the_router_writes(event: usage_event_pb2.UsageEvent) -> None:
    status = usage_event_pb2.GenerationStatus.Name(event.status).removeprefix("GENERATION_STATUS_").lower()
    record = GenerationRecord(
        generation_id=GenerationId(event.generation_id),
        caller=Caller(
            OrgId(event.org_id),
            KeyId(event.key_id),
            http_referer=event.http_referer,
            app_title=event.app_title,
            workspace_id=event.workspace_id,
            member_id=event.member_id,
            user_agent=event.user_agent,
            request_id=event.request_id,
            app_categories=tuple(event.app_categories),
            country=event.country,
            lease_id=event.lease_id,
            hold=money.NanoUsd(event.hold_nano_usd),
        ),
        requested_model=event.requested_model,
        status=Status(status),
        streamed=event.streamed,
        started_at=event.started_at.ToDatetime(UTC),
        ended_at=event.ended_at.ToDatetime(UTC),
        attempts=tuple(attempt_of(attempt) for attempt in event.attempts),
        answered=answered_of(event) if event.HasField("price") else None,
        session_id=event.session_id,
        error_type=event.error_type,
        external_user=event.external_user,
        private=event.private,
        operation=Operation(usage_event_pb2.Operation.Name(event.operation).removeprefix("OPERATION_").lower()),
    )
    assert usage_event_of(record, event.router_instance, event.region) == event
