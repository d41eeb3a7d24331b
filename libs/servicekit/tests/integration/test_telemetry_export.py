from __future__ import annotations

from typing import Any, Protocol

from opentelemetry.trace import NoOpTracer

from servicekit.metrics import CounterSpec
from servicekit.settings import TelemetrySettings
from servicekit.telemetry import Telemetry
from servicekit.tracing import context_from_headers, inject_headers, span

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SOLD = CounterSpec("shop.sales.count", "{sale}", "Sales.")


class Received(Protocol):
    endpoint: str
    spans: dict[str, Any]
    resources: list[dict[str, str]]
    metrics: set[str]


async def test_with_an_endpoint_spans_and_metrics_arrive_at_the_latest_with_the_shutdown(collector: Received) -> None:
    telemetry = Telemetry("shop", "shop-1", TelemetrySettings(otlp_endpoint=collector.endpoint))
    with span(telemetry.tracer, "sell", context=context_from_headers({"traceparent": f"00-{TRACE}-{'0' * 15}1-01"})):
        SOLD.create(telemetry.meter).add(1)
    await telemetry.shutdown()
    assert collector.spans["sell"].trace_id.hex() == TRACE
    assert collector.spans["sell"].parent_span_id.hex() == f"{1:016x}"
    assert "shop.sales.count" in collector.metrics
    assert collector.resources[0]["service.name"] == "shop"
    assert collector.resources[0]["service.instance.id"] == "shop-1"


async def test_the_share_that_is_sampled_is_for_traces_that_start_here(collector: Received) -> None:
    telemetry = Telemetry("shop", "shop-1", TelemetrySettings(otlp_endpoint=collector.endpoint, sample_ratio=0))
    with span(telemetry.tracer, "started here"):
        pass
    with span(telemetry.tracer, "wanted", context=context_from_headers({"traceparent": f"00-{TRACE}-{'0' * 15}1-01"})):
        pass
    await telemetry.shutdown()
    assert collector.spans.keys() == {"wanted"}


async def test_without_an_endpoint_the_context_of_a_caller_still_passes_through(collector: Received) -> None:
    telemetry = Telemetry("shop", "shop-1", TelemetrySettings())
    assert isinstance(telemetry.tracer, NoOpTracer)
    incoming = {"traceparent": f"00-{TRACE}-{'0' * 15}1-01"}
    outgoing: dict[str, str] = {}
    with span(telemetry.tracer, "sell", context=context_from_headers(incoming)):
        inject_headers(outgoing)
    SOLD.create(telemetry.meter).add(1)
    body, _ = telemetry.exposition()
    await telemetry.shutdown()
    assert outgoing == incoming
    assert b"shop_sales_count_total" in body
    assert not collector.spans


async def test_two_services_in_one_process_keep_their_metrics_apart() -> None:
    first, second = (Telemetry(name, "1", TelemetrySettings()) for name in ("first", "second"))
    SOLD.create(first.meter).add(1)
    assert b"shop_sales_count_total" in first.exposition()[0]
    assert b"shop_sales_count_total" not in second.exposition()[0]
    await first.shutdown()
    await second.shutdown()
