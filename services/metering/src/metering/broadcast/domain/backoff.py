"""How long to wait after a failure."""

from __future__ import annotations

from random import Random
from typing import Final

# What a destination may ask for; longer than that is nobody's Retry-After.
_LONGEST_ASKED_S: Final = 3_600.0


def pause_s(failures: int, random: Random, *, first_s: float, longest_s: float, asked_s: float | None = None) -> float:
    """Return the pause before the next attempt, in seconds.

    Exponential with full jitter, so that destinations that failed together do not come back together; never shorter than
    the destination asked for, within an hour.

    Args:
        failures: attempts that failed in a row, from 1.
        random: source of the jitter.
        first_s: longest pause after the first failure.
        longest_s: longest pause at all.
        asked_s: what the destination asked for (Retry-After).
    """
    ceiling = min(longest_s, first_s * 2.0 ** min(failures - 1, 60))
    pause = random.uniform(ceiling / 2, ceiling)
    return pause if asked_s is None else max(pause, min(asked_s, _LONGEST_ASKED_S))
