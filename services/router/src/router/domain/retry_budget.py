"""How many further attempts a router makes: enough to save requests from one bad endpoint, never a storm.

A failover to an endpoint that is known to serve costs nothing: it moves load, it does not multiply it. Every other further
attempt needs two things: a place among at most 20 % of the attempts in flight for its model (three at least), and tokens
from a bucket that successes fill.

Sources: Finagle's and Envoy's retry budgets (20 %, at least 3); the AWS SDKs' retry quota of 2026 (500 tokens, 14 a retry,
1 back for each success).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

SHARE = 0.2
LEAST = 3
TOKENS = 500
RETRY_COST = 14
SUCCESS_REFUND = 1
# How long a further attempt waits for its place: many at once fail together when an endpoint dies, and the first of them to be
# served elsewhere shows that the others may follow. Places that fail are free at once, so that nobody waits long but for
# retries that are slow, as a first token or a whole answer may be, and may yet succeed.
WAIT_SECONDS = 10.0
LOOK_SECONDS = 0.02


@dataclass(slots=True)
class RetryBudget:
    """The budget of one router, over all models."""

    tokens: int = TOKENS
    _attempts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _retries: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def began(self, model_id: str) -> None:
        """Note that an attempt begins, of whatever kind."""
        self._attempts[model_id] += 1

    def ended(self, model_id: str) -> None:
        """Note that an attempt has ended."""
        self._lower(self._attempts, model_id)

    def take(self, model_id: str) -> bool:
        """Take what a further attempt needs; `give_back` must follow. False, and nothing is taken, when it is not there."""
        if self.tokens < RETRY_COST or self._retries[model_id] >= max(LEAST, SHARE * self._attempts[model_id]):
            return False
        self.tokens -= RETRY_COST
        self._retries[model_id] += 1
        return True

    def is_spent(self, model_id: str) -> bool:
        """Whether waiting is of no use: no tokens are left, and no further attempt is under way that could earn some."""
        return self.tokens < RETRY_COST and not self._retries.get(model_id)

    def give_back(self, model_id: str) -> None:
        """The further attempt is over: its place is free again."""
        self._lower(self._retries, model_id)

    def succeeded(self) -> None:
        """Note a whole answer."""
        self.tokens = min(TOKENS, self.tokens + SUCCESS_REFUND)

    @staticmethod
    def _lower(counts: defaultdict[str, int], model_id: str) -> None:
        counts[model_id] -= 1
        if counts[model_id] <= 0:
            # Models come and go with the catalogue.
            del counts[model_id]
