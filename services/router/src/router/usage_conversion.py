"""Values of a usage event on the wire: they are the same in the event and in the answer of `Complete`."""

from __future__ import annotations

from contracts import money
from router.domain.attempts import AttemptOutcome, AttemptRecord
from router.domain.settlement import Status
from router.domain.tokens import CountSource, Tokens
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

STATUSES = {
    Status.COMPLETED: usage_event_pb2.GENERATION_STATUS_COMPLETED,
    Status.CANCELLED: usage_event_pb2.GENERATION_STATUS_CANCELLED,
    Status.FAILED: usage_event_pb2.GENERATION_STATUS_FAILED,
}
_OUTCOMES = {
    AttemptOutcome.SUCCESS: usage_event_pb2.ATTEMPT_OUTCOME_SUCCESS,
    AttemptOutcome.FAILURE: usage_event_pb2.ATTEMPT_OUTCOME_FAILURE,
    AttemptOutcome.RATE_LIMITED: usage_event_pb2.ATTEMPT_OUTCOME_RATE_LIMITED,
    AttemptOutcome.TIMEOUT: usage_event_pb2.ATTEMPT_OUTCOME_TIMEOUT,
    AttemptOutcome.CANCELLED: usage_event_pb2.ATTEMPT_OUTCOME_CANCELLED,
    AttemptOutcome.REJECTED: usage_event_pb2.ATTEMPT_OUTCOME_REJECTED,
}
_SOURCES = {
    CountSource.PROVIDER: token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER,
    CountSource.TOKENIZER: token_usage_pb2.TOKEN_COUNT_SOURCE_TOKENIZER,
    CountSource.ESTIMATE: token_usage_pb2.TOKEN_COUNT_SOURCE_ESTIMATE,
    CountSource.MEASURED: token_usage_pb2.TOKEN_COUNT_SOURCE_MEASURED,
}


def tokens_to_proto(tokens: Tokens) -> token_usage_pb2.TokenUsage:
    """Put token counts on the wire, with their source."""
    message = money.tokens_to_proto(tokens.counts)
    message.source = _SOURCES[tokens.source]
    return message


def attempt_to_proto(attempt: AttemptRecord) -> usage_event_pb2.Attempt:
    """Put an attempt on the wire."""
    message = usage_event_pb2.Attempt(
        endpoint_id=attempt.endpoint_id,
        provider=attempt.provider,
        outcome=_OUTCOMES[attempt.outcome],
        status_code=attempt.status,
        latency_ms=attempt.latency_ms,
    )
    if attempt.expense is not None:
        message.expense.CopyFrom(
            usage_event_pb2.HedgeExpense(
                price=money.price_to_proto(attempt.expense.price),
                usage=tokens_to_proto(attempt.expense.tokens),
                provider_cost_nano_usd=attempt.expense.cost,
            )
        )
    return message
