"""Names, units and buckets of metrics, declared as values and made with any meter.

SETTLED = CounterSpec("accounts.settlement.events", "{event}", "Usage events that were posted to the ledger.")
settled = SETTLED.create(runtime.meter)
settled.add(1)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.metrics import (
    CallbackOptions,
    Counter,
    Histogram,
    Meter,
    ObservableGauge,
    Observation,
    UpDownCounter,
)

CALL_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Buckets of the OpenTelemetry conventions for RPC and HTTP durations."""

STREAM_SECONDS: Final = (*CALL_SECONDS, 15, 20, 30, 45, 60, 120, 300)
"""The same, extended for streams."""


@dataclass(frozen=True)
class CounterSpec:
    """Something that only grows."""

    name: str
    unit: str
    description: str

    def create(self, meter: Meter) -> Counter:
        """Make the instrument."""
        return meter.create_counter(self.name, self.unit, self.description)


@dataclass(frozen=True)
class LevelSpec:
    """Something that goes up and down by known steps."""

    name: str
    unit: str
    description: str

    def create(self, meter: Meter) -> UpDownCounter:
        """Make the instrument."""
        return meter.create_up_down_counter(self.name, self.unit, self.description)


@dataclass(frozen=True)
class HistogramSpec:
    """A distribution; durations are in seconds."""

    name: str
    unit: str
    description: str
    buckets: Sequence[float] = CALL_SECONDS

    def create(self, meter: Meter) -> Histogram:
        """Make the instrument."""
        return meter.create_histogram(
            self.name, self.unit, self.description, explicit_bucket_boundaries_advisory=self.buckets
        )


@dataclass(frozen=True)
class GaugeSpec:
    """Something that is looked up when metrics are collected."""

    name: str
    unit: str
    description: str

    def create(
        self, meter: Meter, read: Callable[[], float | Iterable[tuple[float, Mapping[str, str]]]]
    ) -> ObservableGauge:
        """Make the instrument.

        Args:
            meter: that collects it.
            read: gives the value now, or several with their attributes. Called from the collecting thread: no I/O.
        """

        def observe(_: CallbackOptions) -> Iterable[Observation]:
            value = read()
            if isinstance(value, int | float):
                return [Observation(value)]
            return [Observation(number, dict(attributes)) for number, attributes in value]

        return meter.create_observable_gauge(self.name, [observe], self.unit, self.description)
