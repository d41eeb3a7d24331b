from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from servicekit.testing import RecordingTelemetry
from servicekit.tracing import attached, context_from_headers, inject_headers, is_sampled, span, span_link

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


def test_context_goes_out_of_one_process_and_into_the_next() -> None:
    here, there = RecordingTelemetry(), RecordingTelemetry()
    headers: dict[str, str] = {"other": "kept"}
    with span(here.tracer, "send", kind=SpanKind.PRODUCER):
        inject_headers(headers)
    with span(there.tracer, "receive", context=context_from_headers(headers)):
        pass
    sent, received = here.span("send"), there.span("receive")
    assert sent.context is not None
    assert received.context is not None
    assert received.parent is not None
    assert received.context.trace_id == sent.context.trace_id
    assert received.parent.span_id == sent.context.span_id
    assert headers["other"] == "kept"


def test_trace_state_travels_along() -> None:
    headers: dict[str, str] = {}
    inject_headers(headers, context_from_headers(SAMPLED | {"tracestate": "vendor=1"}))
    assert headers == SAMPLED | {"tracestate": "vendor=1"}


def test_without_a_trace_nothing_is_added() -> None:
    headers: dict[str, str] = {}
    inject_headers(headers)
    assert headers == {}


@pytest.mark.parametrize(
    "value", ["", "garbage", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{PARENT}-01"]
)
def test_malformed_context_is_no_context(value: str) -> None:
    assert span_link(context_from_headers({"traceparent": value})) is None


def test_headers_are_read_without_what_is_current() -> None:
    with span(RecordingTelemetry().tracer, "current"):
        assert span_link(context_from_headers({})) is None
        assert span_link(Context()) is None


def test_sampling_and_links() -> None:
    assert is_sampled(context_from_headers(SAMPLED))
    assert not is_sampled(context_from_headers({"traceparent": f"00-{TRACE}-{PARENT}-00"}))
    assert not is_sampled(Context())
    link = span_link(context_from_headers(SAMPLED))
    assert link is not None
    telemetry = RecordingTelemetry()
    with span(telemetry.tracer, "batch", links=[link], attributes={"size": 2}):
        pass
    recorded = telemetry.span("batch")
    assert [found.context.trace_id for found in recorded.links] == [int(TRACE, 16)]
    assert recorded.attributes is not None
    assert recorded.attributes["size"] == 2


def test_a_failed_span_names_the_kind_of_the_error_and_not_its_text() -> None:
    telemetry = RecordingTelemetry()
    with pytest.raises(ValueError), span(telemetry.tracer, "work"):
        raise ValueError("the prompt was: hunter2")
    recorded = telemetry.span("work")
    assert recorded.status.status_code is StatusCode.ERROR
    assert recorded.attributes is not None
    assert recorded.attributes["error.type"] == "ValueError"
    assert "hunter2" not in recorded.to_json()


def test_a_context_is_current_inside_its_block_only() -> None:
    with attached(context_from_headers(SAMPLED)):
        assert trace.get_current_span().get_span_context().trace_id == int(TRACE, 16)
    assert not trace.get_current_span().get_span_context().is_valid
