"""How many requests a key may send a minute."""

from __future__ import annotations

from typing import Final

from edge.domain.errors import RateLimitError

_WINDOW_MS: Final = 60_000


class RequestRate:
    """Counts requests in windows of a minute of the clock. What it holds is bounded by the requests of one window."""

    def __init__(self, limit: int) -> None:
        """Make a counter.

        Args:
            limit: requests of one key a minute, at this process; 0 for any number.
        """
        self._limit = limit
        self._window = 0
        self._counts: dict[str, int] = {}

    def count(self, key_id: str, now_ms: int) -> None:
        """Count a request.

        Raises:
            RateLimitError: it is one too many.
        """
        if not self._limit:
            return
        window = now_ms // _WINDOW_MS
        if window != self._window:
            self._window, self._counts = window, {}
        count = self._counts.get(key_id, 0)
        if count >= self._limit:
            reset_ms = (window + 1) * _WINDOW_MS
            raise RateLimitError(
                f"Rate limit exceeded: {self._limit} requests per minute",
                limit=self._limit,
                reset_ms=reset_ms,
                retry_after_s=(reset_ms - now_ms) / 1_000,
            )
        self._counts[key_id] = count + 1
