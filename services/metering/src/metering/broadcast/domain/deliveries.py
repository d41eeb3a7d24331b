"""What waits, what is sent, and what became of it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

MAX_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """A usage event that waits for a destination. `received_ms` in milliseconds of Unix time."""

    event_id: str
    rank: int
    ended_ms: int
    received_ms: int
    key_name: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that are sent together, again and again until the destination took them."""

    destination_id: str
    events: Sequence[WaitingEvent]

    @property
    def batch_id(self) -> str:
        """Follows from what is in it, so that a repeat has the same."""
        hashed = hashlib.sha256(self.destination_id.encode())
        for event in self.events:
            hashed.update(f"|{event.event_id}/{event.rank}".encode())
        return hashed.hexdigest()[:32]


class Verdict(Enum):
    """What a destination says of a batch."""

    TAKEN = "taken"
    FAILED = "failed"
    REFUSED = "refused"
    """It would never take it: sending the same again is useless."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt. `status` is 0 when there was no answer; `error` a word of ours, empty when taken."""

    verdict: Verdict
    status: int = 0
    error: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt, for the owner of the destination. Times in milliseconds."""

    at_ms: int
    events: int
    status: int
    duration_ms: int
    error: str


@dataclass(slots=True)
class Totals:
    """What was counted for one destination since the spool was made."""

    delivered: int = 0
    refused: int = 0
    dropped: int = 0
    failures: int = 0
    delivered_ms: int | None = None
    failing_since_ms: int | None = None


@dataclass(slots=True)
class Progress:
    """How one destination is doing: its totals, how many wait, and the latest attempts."""

    totals: Totals = field(default_factory=Totals)
    waiting: int = 0
    attempts: deque[Attempt] = field(default_factory=lambda: deque(maxlen=MAX_ATTEMPTS))


def outcome_of(status: int, retry_after_s: float | None) -> Outcome:
    """Judge the answer of a destination.

    Statuses that say that the request itself is wrong (400, 413, 415, 422) are refusals, as OTLP says of 400. What may be
    put right by the owner (a key, an address, a right) or by time is tried again.
    """
    if 200 <= status < 300:
        return Outcome(Verdict.TAKEN, status)
    if status in {400, 413, 415, 422}:
        return Outcome(Verdict.REFUSED, status, "refused")
    if 300 <= status < 400:
        return Outcome(Verdict.FAILED, status, "redirected")
    return Outcome(Verdict.FAILED, status, "status", retry_after_s)
