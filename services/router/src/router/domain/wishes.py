"""Whether an endpoint is as fast as the caller prefers. What is not known misses nothing."""

from __future__ import annotations

from router.domain.demand import Demand
from router.domain.health_view import EndpointState
from router.domain.histogram import Distribution

# A percentile says what share of requests does at least as well: for a rate that is the opposite tail.
_RATE_TAILS = {"p50": "p50", "p75": "p25", "p90": "p10", "p99": "p01"}


def misses_wishes(state: EndpointState, demand: Demand) -> bool:
    """Say whether any threshold of the caller is known not to hold."""
    if not demand.min_throughput and not demand.max_latency:
        return False
    return _misses_throughput(state.throughput, demand) or _misses_latency(state.first_token, demand)


def _misses_throughput(seen: Distribution | None, demand: Demand) -> bool:
    if seen is None:
        return False
    return any(getattr(seen, _RATE_TAILS[name]) < least for name, least in demand.min_throughput.items())


def _misses_latency(seen: Distribution | None, demand: Demand) -> bool:
    if seen is None:
        return False
    return any(getattr(seen, name) > most for name, most in demand.max_latency.items())
