"""What a caller owes that the last published balance does not show yet.

A balance travels from the ledger to the edge in about a second. Meanwhile the edge counts for itself: a *hold* for
each generation in flight, and a *pending cost* for each one that ended since.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

# The edge sees the end of a generation a little after the router, whose clock dates the settlement. While a cost is
# fresh the two are compared strictly, so that a settlement of an earlier generation does not pass for this one's.
FRESH_MS = 10_000
FRESH_TOLERANCE_MS = 100
# Later the answer must have come; a tolerance for clocks keeps the last cost before a pause from being counted twice.
SETTLED_TOLERANCE_MS = 2_000
# How long a cost that the edge could only estimate (the caller went away, the router died) is counted at most: there may
# be no settlement of it at all.
ESTIMATE_LIFE_MS = 30_000
_BUCKET_MS = 1_000


@dataclass(slots=True)
class _Pending:
    """Costs of generations that ended within the same second."""

    amount: int
    last_ended_ms: int
    expires_ms: int | None

    def is_settled(self, settled_until_ms: int, now_ms: int) -> bool:
        if self.expires_ms is not None and now_ms >= self.expires_ms:
            return True
        fresh = now_ms - self.last_ended_ms < FRESH_MS
        return settled_until_ms >= self.last_ended_ms - (FRESH_TOLERANCE_MS if fresh else SETTLED_TOLERANCE_MS)


class Tab:
    """Holds and pending costs of one organisation or key, in nano-dollars.

    It stays small however long no settlement comes: costs of one second are one entry.
    """

    __slots__ = ("_holds", "_looked_ms", "_pending", "_settled_until_ms", "held", "pending")

    def __init__(self) -> None:
        self.held = 0
        self._settled_until_ms = 0
        self._looked_ms = 0
        self.pending = 0
        self._holds = 0
        self._pending: deque[_Pending] = deque()

    @property
    def owed(self) -> int:
        """Holds and pending costs together."""
        return self.held + self.pending

    @property
    def is_clear(self) -> bool:
        """Whether there is nothing to remember."""
        return not self._holds and not self._pending

    def hold(self, amount: int) -> None:
        """Set an amount aside, which may be 0."""
        self._holds += 1
        self.held += amount

    def release(self, amount: int) -> None:
        """Take back what `hold` set aside."""
        self._holds -= 1
        self.held -= amount

    def charge(self, cost: int, ended_ms: int, *, estimated: bool = False) -> None:
        """Count a cost until a settlement shows it.

        Args:
            cost: nano-dollars, not negative.
            ended_ms: when the generation ended, by this process's clock.
            estimated: the true cost is not known; it is forgotten after a while even if nothing is ever settled.
        """
        if cost <= 0:
            return
        self.pending += cost
        expires = ended_ms + ESTIMATE_LIFE_MS if estimated else None
        last = self._pending[-1] if self._pending else None
        if (
            last is not None
            and (last.expires_ms is None) == (expires is None)
            and last.last_ended_ms // _BUCKET_MS == ended_ms // _BUCKET_MS
        ):
            last.amount += cost
            last.last_ended_ms = max(last.last_ended_ms, ended_ms)
            last.expires_ms = expires
            return
        self._pending.append(_Pending(cost, ended_ms, expires))

    def settle(self, settled_until_ms: int, now_ms: int) -> None:
        """Forget the costs that a balance shows which is settled until then."""
        if not self._pending:
            return
        # Called for each request: without news, once a second is enough.
        if settled_until_ms == self._settled_until_ms and 0 <= now_ms - self._looked_ms < _BUCKET_MS:
            return
        self._settled_until_ms = settled_until_ms
        self._looked_ms = now_ms
        kept = deque(entry for entry in self._pending if not entry.is_settled(settled_until_ms, now_ms))
        if len(kept) != len(self._pending):
            self._pending = kept
            self.pending = sum(entry.amount for entry in kept)
