"""When an endpoint is down, in terms of calls that anybody has made; the same rule for our own calls and for others'."""

from __future__ import annotations

WINDOW_SECONDS = 30
MIN_SAMPLES = 5
MIN_SUCCESS_RATE = 0.8
DOWN_SECONDS = 5.0
TRIALS_TO_RECOVER = 3


def is_outage(ok: int, failed: int) -> bool:
    """Whether so many good and bad calls within the window are an outage."""
    samples = ok + failed
    return samples >= MIN_SAMPLES and ok < MIN_SUCCESS_RATE * samples
