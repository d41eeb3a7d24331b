"""How the router names what it counts of its spool."""

from __future__ import annotations

from typing import Final

from servicekit.metrics import CounterSpec, GaugeSpec
from servicekit.spool import SpoolMetrics

METRICS: Final = SpoolMetrics(
    published=CounterSpec("router.usage_event.published", "{event}", "Usage events that Kafka has acknowledged."),
    size=GaugeSpec(
        "router.usage_spool.size", "By", "Bytes of the spool's files; new work is refused near its capacity."
    ),
    backlog=GaugeSpec(
        "router.usage_event.backlog", "{event}", "Usage events in the spool that Kafka does not have yet."
    ),
)
