"""What every service is made of: settings, lifecycle, logs, telemetry, Kafka, gRPC, admin port."""

from servicekit.lifecycle import Component, Readiness, Runtime, Service
from servicekit.process import run

__all__ = ["Component", "Readiness", "Runtime", "Service", "run"]
