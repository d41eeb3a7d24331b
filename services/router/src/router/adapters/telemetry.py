"""Traces, metrics and log lines of generations. Every name from the GenAI conventions (v1.41) is in this module."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue
from yarl import URL

from contracts.catalog import Endpoint
from contracts.operations import Operation
from router.domain.attempts import AttemptFailure
from router.domain.ports import AttemptFacts
from router.domain.settlement import GenerationRecord
from router.domain.tokens import Tokens
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec, HistogramSpec
from servicekit.tracing import inject_headers

_log = get_logger(__name__)

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)

_DURATION = HistogramSpec("gen_ai.client.operation.duration", "s", "Duration of calls of providers.", _SECONDS)
_FIRST_CHUNK = HistogramSpec(
    "gen_ai.client.operation.time_to_first_chunk", "s", "Time from a call to the first piece of its answer.", _SECONDS
)
_TOKEN_USAGE = HistogramSpec("gen_ai.client.token.usage", "{token}", "Tokens of answers.", _TOKENS)
_RETRIES_REFUSED = CounterSpec(
    "router.retry.refused", "{attempt}", "Further attempts that were not made, because the budget for them was used up."
)
_HEDGED = CounterSpec(
    "router.hedge.sent", "{attempt}", "Copies of requests that were sent because an endpoint was slow."
)
_ENDED = CounterSpec("router.generation.ended", "{generation}", "Generations that ended, by how they ended.")


class GenerationTelemetry:
    """Reports to OpenTelemetry and to the log."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self._tracer = tracer
        self._duration = _DURATION.create(meter)
        self._first_chunk = _FIRST_CHUNK.create(meter)
        self._token_usage = _TOKEN_USAGE.create(meter)
        self._ended = _ENDED.create(meter)
        self._hedged = _HEDGED.create(meter)
        self._retries_refused = _RETRIES_REFUSED.create(meter)
        # Endpoints are few and live long; their attributes are made once.
        self._attributes: dict[tuple[str, Operation], tuple[Endpoint, dict[str, AttributeValue]]] = {}

    def trace_headers(self) -> Mapping[str, str]:
        """The trace context of the current request, as headers."""
        headers: dict[str, str] = {}
        inject_headers(headers)
        return headers

    def attempt_started(self, facts: AttemptFacts) -> AttemptSpan:
        """Begin the span of a call."""
        endpoint = facts.endpoint
        name = endpoint.id, facts.operation
        known = self._attributes.get(name)
        if known is None or known[0] is not endpoint:
            known = self._attributes[name] = (endpoint, _attributes(endpoint, facts.operation))
        span = self._tracer.start_span(
            f"{_NAMES[facts.operation]} {endpoint.upstream_model}", kind=SpanKind.CLIENT, attributes=known[1]
        )
        if span.is_recording():
            span.set_attributes(_request_attributes(facts))
        return AttemptSpan(self, span, known[1])

    def hedged(self, endpoint: Endpoint) -> None:
        """Count a copy that was sent."""
        self._hedged.add(1, {"model": endpoint.model_id})

    def retry_refused(self, endpoint: Endpoint) -> None:
        """Count an attempt that was not made."""
        self._retries_refused.add(1, {"model": endpoint.model_id})

    def generation_ended(self, record: GenerationRecord) -> None:
        """Write the one line that says everything about a generation, and count it."""
        self._ended.add(1, {"status": record.status.value})
        # Every field is masked and encoded on the path of every answer, so what is empty is left out. What the caller named its session is
        # for the usage event: it can be any text (S25).
        fields: dict[str, object] = {"error_type": record.error_type} if record.error_type else {}
        answered = record.answered
        if answered is not None:
            counts = answered.tokens.counts
            fields |= {
                "finish_reason": answered.finish_reason,
                "prompt_tokens": counts.prompt,
                "completion_tokens": counts.completion,
                "counted_by": answered.tokens.source.value,
                "cost_nano_usd": answered.cost.total,
                "first_token_ms": answered.first_token_ms,
                "generation_ms": answered.generation_ms,
            }
        _log.info(
            "generation.ended",
            generation_id=record.generation_id,
            org_id=record.caller.org_id,
            key_id=record.caller.key_id,
            status=record.status.value,
            requested_model=record.requested_model,
            streamed=record.streamed,
            attempts=" ".join(f"{each.endpoint_id}:{(each.failure or each.outcome).value}" for each in record.attempts),
            **fields,
        )

    def end(
        self, span: Span, attributes: Mapping[str, AttributeValue], seconds: float, error_type: str | None = None
    ) -> None:
        """End a span and record its duration."""
        if error_type is not None:
            attributes = {**attributes, "error.type": error_type}
            if span.is_recording():
                span.set_attribute("error.type", error_type)
                span.set_status(Status(StatusCode.ERROR))
        self._duration.record(seconds, attributes)
        span.end()

    def first_chunk(self, attributes: Mapping[str, AttributeValue], seconds: float) -> None:
        """Record the time to the first piece of an answer."""
        self._first_chunk.record(seconds, attributes)

    def tokens(self, attributes: Mapping[str, AttributeValue], tokens: Tokens) -> None:
        """Record the tokens of an answer."""
        self._token_usage.record(tokens.counts.prompt, {**attributes, "gen_ai.token.type": "input"})
        self._token_usage.record(tokens.counts.completion, {**attributes, "gen_ai.token.type": "output"})


class AttemptSpan:
    """The span and the metrics of one call."""

    __slots__ = ("_attributes", "_span", "_telemetry")

    def __init__(self, telemetry: GenerationTelemetry, span: Span, attributes: Mapping[str, AttributeValue]) -> None:
        self._telemetry = telemetry
        self._span = span
        self._attributes = attributes

    def first_token(self, seconds: float) -> None:
        """The first token came after so many seconds."""
        self._telemetry.first_chunk(self._attributes, seconds)
        if self._span.is_recording():
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def succeeded(self, seconds: float, tokens: Tokens, upstream_id: str, finish_reason: str) -> None:
        """The answer is complete."""
        if self._span.is_recording():
            counts = tokens.counts
            self._span.set_attributes(
                {
                    "gen_ai.response.id": upstream_id,
                    "gen_ai.response.finish_reasons": [finish_reason],
                    "gen_ai.usage.input_tokens": counts.prompt,
                    "gen_ai.usage.output_tokens": counts.completion,
                    "gen_ai.usage.cache_read.input_tokens": counts.cached,
                    "gen_ai.usage.cache_creation.input_tokens": counts.cache_write,
                    "gen_ai.usage.reasoning.output_tokens": counts.reasoning,
                }
            )
        self._telemetry.tokens(self._attributes, tokens)
        self._telemetry.end(self._span, self._attributes, seconds)

    def failed(self, seconds: float, failure: AttemptFailure) -> None:
        """The call failed. Its kind is recorded, not the provider's text."""
        if self._span.is_recording() and failure.status:
            self._span.set_attribute("http.response.status_code", failure.status)
        _log.debug("attempt.failed", kind=failure.kind.value, status=failure.status, detail=failure.detail)
        self._telemetry.end(self._span, self._attributes, seconds, failure.kind.value)

    def cancelled(self, seconds: float) -> None:
        """The caller went away."""
        self._telemetry.end(self._span, self._attributes, seconds, "cancelled")


# Where the conventions of OpenTelemetry have a word for it, theirs.
_NAMES: Final[Mapping[Operation, str]] = MappingProxyType(
    {
        Operation.COMPLETION: "chat",
        Operation.EMBEDDINGS: "embeddings",
        Operation.RERANK: "rerank",
        Operation.SPEECH: "speech",
        Operation.TRANSCRIPTION: "transcription",
        Operation.IMAGES: "generate_content",
    }
)


def _attributes(endpoint: Endpoint, operation: Operation) -> dict[str, AttributeValue]:
    url = URL(endpoint.provider.base_url)
    return {
        "gen_ai.operation.name": _NAMES[operation],
        "gen_ai.provider.name": endpoint.provider.slug,
        "gen_ai.request.model": endpoint.upstream_model,
        "server.address": url.host or "",
        "server.port": url.port or 0,
    }


def _request_attributes(facts: AttemptFacts) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.request.stream": facts.stream,
        "turnpike.generation.id": facts.generation_id,
        "turnpike.route.requested_model": facts.requested_model,
        "turnpike.route.endpoint_id": facts.endpoint.id,
        "turnpike.route.attempt": facts.number,
        "turnpike.route.candidates": facts.candidates,
        "turnpike.route.share": facts.share,
        "turnpike.route.strategy": facts.strategy,
    }
    optional = {
        "gen_ai.request.max_tokens": facts.max_tokens,
        "gen_ai.request.temperature": facts.temperature,
        "gen_ai.request.top_p": facts.top_p,
    }
    attributes.update({name: value for name, value in optional.items() if value is not None})
    return attributes
