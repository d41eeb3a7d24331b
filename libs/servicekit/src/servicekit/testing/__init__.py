"""For tests: a clock, a broker, telemetry in memory, and real servers on free ports."""

from servicekit.testing.broker import BrokerProcess, kafka_broker
from servicekit.testing.clock import ManualClock
from servicekit.testing.components import make_runtime, run_servicer, running
from servicekit.testing.telemetry import RecordingTelemetry

__all__ = [
    "BrokerProcess",
    "ManualClock",
    "RecordingTelemetry",
    "kafka_broker",
    "make_runtime",
    "run_servicer",
    "running",
]
