"""How many requests a key may send a minute, whatever its own limits are: a bound of the installation."""

from __future__ import annotations

from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from edge.domain.rate_limits import Claim, LimitSet, RateLimits


class RequestRate:
    """Counts requests of keys when they come, before they are read: what makes no sense counts too."""

    def __init__(self, rates: RateLimits, limit: int) -> None:
        """Make the limit.

        Args:
            rates: counts.
            limit: requests of one key a minute; 0 for any number.
        """
        self._rates = rates
        self._limits = (RateLimit(LimitedQuantity.REQUESTS, RateInterval.MINUTE, limit),) if limit else ()

    def count(self, key_id: str, now_ms: int) -> None:
        """Count a request.

        Raises:
            RateLimitError: it is one too many.
        """
        if self._limits:
            self._rates.reserve([LimitSet(f"installation/{key_id}", "this API key", self._limits)], Claim(), now_ms)
