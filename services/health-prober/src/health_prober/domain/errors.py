"""What can go wrong between the prober and the world.

HealthProberError
├── UnreachableError        the endpoint could not be connected to, or the connection broke
└── ProbeTimeoutError       the endpoint did not answer in time
"""

from __future__ import annotations


class HealthProberError(Exception):
    """Root of the service's errors."""


class UnreachableError(HealthProberError):
    """The endpoint could not be connected to, or the connection broke before the answer was whole."""


class ProbeTimeoutError(HealthProberError):
    """The endpoint did not answer in time."""
