"""The service's metrics."""

from __future__ import annotations

from typing import Final

from servicekit.metrics import CounterSpec, GaugeSpec, HistogramSpec

PROBE_DURATION: Final = HistogramSpec(
    "health_prober.probe.duration", "s", "Time from sending a probe to the end of its answer, by provider and result."
)
PROBE_COST: Final = CounterSpec(
    "health_prober.probe.cost", "{nano_usd}", "What probes cost, in nano-dollars, by provider."
)
TICKS_MISSED: Final = CounterSpec(
    "health_prober.ticks.missed", "{tick}", "Probes that were due and could not start in time, by provider."
)
PROBES_SKIPPED: Final = CounterSpec(
    "health_prober.probes.skipped", "{probe}", "Probes that live traffic made needless, by provider."
)
ENDPOINTS_WATCHED: Final = GaugeSpec(
    "health_prober.endpoints.watched", "{endpoint}", "Endpoints that are probed, by what is said of them."
)
ENDPOINTS_PAUSED: Final = GaugeSpec(
    "health_prober.endpoints.paused", "{endpoint}", "Endpoints whose budget for probes is used up until midnight UTC."
)
VERDICTS_UNSENT: Final = GaugeSpec(
    "health_prober.verdicts.unsent", "{verdict}", "Verdicts that the bus has not acknowledged yet."
)
