"""Limits by the address of callers (S7, S38).

How much comes from it, how much of that with keys that do not exist, how much at the same time, and what it has generated.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final

from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from edge.domain.errors import RateLimitError
from edge.domain.principal import Address
from edge.domain.rate_limits import Claim, LimitSet, RateLimits, Reservation

_NOUN: Final = "this address"
# One subscriber has a whole network of this many bits, so its addresses count as one.
_IPV6_HOST_BITS: Final = 64


class AddressLimits:
    """Counts by minute of the clock. An address that is not known counts for nothing, and so does a limit of 0."""

    def __init__(
        self, rates: RateLimits, *, requests: int, failures: int, tokens: int = 0, concurrency: int = 0
    ) -> None:
        """Make the limits.

        Args:
            rates: counts.
            requests: with a key, a minute; 0 for any number.
            failures: of them with a key that is good for nothing; 0 for any number.
            tokens: of prompts and answers, a minute; 0 for any number.
            concurrency: requests of any kind at the same time; 0 for any number.
        """
        self._rates = rates
        self._requests = _limits(requests)
        self._failures = _limits(failures)
        self._tokens = _limits(tokens, LimitedQuantity.TOKENS)
        self._places = _limits(concurrency, LimitedQuantity.CONCURRENCY, RateInterval.NONE)

    def count(self, address: Address | None, now_ms: int) -> None:
        """Count a request.

        Raises:
            RateLimitError: it is one too many.
        """
        self._reserve("address", self._requests, address, now_ms)

    def count_failure(self, address: Address | None, now_ms: int) -> None:
        """Count a request whose key is good for nothing.

        Raises:
            RateLimitError: it is one too many.
        """
        self._reserve("failures", self._failures, address, now_ms)

    def enter(self, address: Address | None, now_ms: int) -> Reservation | None:
        """Take a place among the requests of an address; whoever gets one closes it. None where there is no limit.

        Raises:
            RateLimitError: all are taken.
        """
        return self._reserve("places", self._places, address, now_ms)

    def of_generations(self, address: Address | None) -> tuple[LimitSet, ...]:
        """What holds for generations that are asked for from an address, besides what its keys say."""
        if address is None or not self._tokens:
            return ()
        return (LimitSet(f"tokens/{_name(address)}", _NOUN, self._tokens),)

    def has_failed_enough(self, address: Address | None, now_ms: int) -> bool:
        """Whether another failure would be one too many, so that no question is worth asking for it."""
        try:
            self._reserve("failures", self._failures, address, now_ms, release=True)
        except RateLimitError:
            return True
        return False

    def _reserve(
        self, kind: str, limits: tuple[RateLimit, ...], address: Address | None, now_ms: int, *, release: bool = False
    ) -> Reservation | None:
        if address is None or not limits:
            return None
        reserved = self._rates.reserve([LimitSet(f"{kind}/{_name(address)}", _NOUN, limits)], Claim(), now_ms)
        if release:
            reserved.release()
        return reserved


def _limits(
    amount: int,
    quantity: LimitedQuantity = LimitedQuantity.REQUESTS,
    interval: RateInterval = RateInterval.MINUTE,
) -> tuple[RateLimit, ...]:
    return (RateLimit(quantity, interval, amount),) if amount else ()


def _name(address: Address) -> str:
    if isinstance(address, IPv6Address):
        return f"{int(address) >> _IPV6_HOST_BITS:x}::/64"
    return str(address)
