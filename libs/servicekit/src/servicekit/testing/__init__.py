"""For tests: a clock, a broker, telemetry in memory, and real servers on free ports."""

from servicekit.testing.brokers import BrokerProcess, kafka_broker, keeps_records, new_broker, use_brokers
from servicekit.testing.clock import ManualClock
from servicekit.testing.components import make_runtime, run_servicer, running
from servicekit.testing.telemetry import RecordingTelemetry

__all__ = [
    "BrokerProcess",
    "ManualClock",
    "RecordingTelemetry",
    "kafka_broker",
    "keeps_records",
    "make_runtime",
    "new_broker",
    "run_servicer",
    "running",
    "use_brokers",
]
