"""When to probe next, and which probes never came. Pure: the caller brings the time and the chance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from health_prober.domain.verdict import Standing


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often to probe.

    Attributes:
        interval: between the probes of an endpoint that answers.
        unhealthy_interval: between the probes of one that does not, or whose last probe failed.
        confirm_after: until the probe after a refused connection. That costs nothing, and a stopped server is known
            for one after two of them instead of after a whole interval.
        jitter: largest share by which each is longer or shorter, so that many probers do not probe in step.
    """

    interval: timedelta
    unhealthy_interval: timedelta
    confirm_after: timedelta
    jitter: float


def first_delay(cadence: Cadence, draw: float) -> timedelta:
    """How long to wait with the first probe, so that not all are sent at once. `draw` is from 0 to 1."""
    return cadence.interval * (cadence.jitter * draw)


def next_delay(cadence: Cadence, standing: Standing, failures_to_unhealthy: int, draw: float) -> timedelta:
    """How long after the start of one probe the next is due. `draw` is from 0 to 1."""
    if not standing.in_doubt:
        delay = cadence.interval
    elif standing.unreachable and standing.consecutive_failures < failures_to_unhealthy:
        delay = min(cadence.confirm_after, cadence.unhealthy_interval)
    else:
        delay = cadence.unhealthy_interval
    return delay * (1 + cadence.jitter * (2 * draw - 1))


def missed_ticks(due_at: float, started_at: float, delay: timedelta) -> int:
    """How many whole delays passed while a probe was due and could not start. Times are monotonic seconds."""
    late = max(0.0, started_at - due_at)
    return int(late / delay.total_seconds()) if delay else 0
