"""Customers' own provider keys that a provider has just refused: they rest, so that not every request tries them first.

Source of the times: the same failures of the operator's keys (`key_pool`); where a provider says not when to come back after a
429, half to the whole of 2, 4, 8, … seconds, one minute at most. A key that rests is used only where nothing else may serve, so a
rest changes who answers, and never whether somebody does. Known to one router, and forgotten with it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from random import Random
from typing import Final

from contracts.catalog import Endpoint
from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.customer_keys import CustomerKey
from router.domain.key_pool import KEY_FAILURES, MAX_COOLING_SECONDS, OUT_SECONDS

MAX_BACKOFF_SECONDS: Final = 60.0
# Keys that rest at the same time; the oldest rest ends early beyond that.
_MAX_RESTS: Final = 10_000
_FORBIDDEN: Final = 403


@dataclass(slots=True)
class _Rest:
    until: float
    strikes: int


# A key, by the secret that is stored in its place now, and an endpoint; an empty one stands for every endpoint of the provider.
_Place = tuple[str, int, str]


class CustomerKeyRests:
    """Which keys rest, and until when. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._rests: OrderedDict[_Place, _Rest] = OrderedDict()

    def rests(self, key: CustomerKey, endpoint: Endpoint, now: float) -> bool:
        """Whether a key rests at an endpoint."""
        if not self._rests:
            return False
        found = (self._rests.get(place) for place in _places(key, endpoint))
        return any(rest is not None and now < rest.until for rest in found)

    def failed(self, key: CustomerKey, endpoint: Endpoint, failure: AttemptFailure, now: float, random: Random) -> None:
        """Note a failure; one that is not the key's changes nothing.

        What a key may not do (403) and how much (429) providers decide by model; that they do not know it, or that its money is
        gone, is so everywhere.
        """
        if failure.kind not in KEY_FAILURES:
            return
        everywhere, here = _places(key, endpoint)
        limited = failure.kind is FailureKind.RATE_LIMITED
        place = here if limited or failure.status == _FORBIDDEN else everywhere
        known = self._rests.pop(place, None)
        strikes = 1 if known is None else known.strikes + 1
        seconds = OUT_SECONDS
        if limited and failure.retry_after is not None:
            seconds = min(MAX_COOLING_SECONDS, max(1.0, failure.retry_after))
        elif limited:
            seconds = random.uniform(0.5, 1.0) * min(MAX_BACKOFF_SECONDS, 2.0 ** min(strikes, 10))
        self._rests[place] = _Rest(now + seconds, strikes)
        if len(self._rests) > _MAX_RESTS:
            self._rests.popitem(last=False)

    def answered(self, key: CustomerKey, endpoint: Endpoint) -> None:
        """Note that a key served."""
        if self._rests:
            for place in _places(key, endpoint):
                self._rests.pop(place, None)


def _places(key: CustomerKey, endpoint: Endpoint) -> tuple[_Place, _Place]:
    return (key.byok_key_id, key.version, ""), (key.byok_key_id, key.version, str(endpoint.id))
