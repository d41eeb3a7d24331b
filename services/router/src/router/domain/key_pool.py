"""The keys through which one endpoint can be reached: which of them a call takes, and which are out.

Between two keys drawn at random the one with the lower load is taken (power of two choices). The load is the peak-sensitive
moving average of first-token times, times the calls in flight and one: Finagle's peak EWMA, with its decay of 10 s.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from contracts.catalog import Endpoint
from contracts.ids import EndpointId
from router.domain.attempts import FailureKind

DECAY_SECONDS = 10.0
# A key without history that has calls in flight is assumed to be slow, so that it is tried by one call and not by all.
_UNTRIED = 2.0**47
# A key that the provider refused, or that is out of money, stays so until somebody acts; asking again is only a probe.
OUT_SECONDS = 300.0
MAX_COOLING_SECONDS = 600.0
DEFAULT_COOLING_SECONDS = 1.0
KEY_FAILURES = frozenset({FailureKind.RATE_LIMITED, FailureKind.KEY_REJECTED, FailureKind.QUOTA_EXHAUSTED})


@dataclass(slots=True)
class PeakEwma:
    """A moving average of seconds that jumps up at once and comes down slowly. Times are monotonic seconds."""

    cost: float = 0.0
    _at: float = 0.0
    _seen: bool = False

    def observe(self, now: float, seconds: float) -> None:
        """Take a value in. A value of 0 lets the average decay."""
        weight = math.exp(-max(0.0, now - self._at) / DECAY_SECONDS) if self._seen else 0.0
        self.cost = seconds if seconds > self.cost else self.cost * weight + seconds * (1.0 - weight)
        self._at = now
        self._seen = True

    def load(self, now: float, in_flight: int) -> float:
        """What another call would meet here; only comparisons mean anything."""
        if self._seen:
            self.observe(now, 0.0)
        if self.cost == 0.0 and in_flight:
            return _UNTRIED + in_flight
        return self.cost * (in_flight + 1)


@dataclass(slots=True)
class _Key:
    latency: PeakEwma = field(default_factory=PeakEwma)
    in_flight: int = 0
    out_until: float = 0.0


class KeyPools:
    """The keys of every endpoint, by their place in the credentials."""

    def __init__(self, count_of: Callable[[Endpoint], int]) -> None:
        """`count_of` says how many keys an endpoint's provider has now."""
        self._count_of = count_of
        self._pools: dict[EndpointId, list[_Key]] = {}

    def take(self, endpoint: Endpoint, now: float, random: Random) -> int:
        """Choose the key of a call that starts, and return its place; `release` must follow.

        When all keys are out, it is the one that is back first.
        """
        pool = self._pool(endpoint)
        place = 0
        if len(pool) > 1:
            usable = [index for index, key in enumerate(pool) if key.out_until <= now]
            if not usable:
                place = min(range(len(pool)), key=lambda index: pool[index].out_until)
            elif len(usable) == 1:
                place = usable[0]
            else:
                one, other = random.sample(usable, 2)
                place = min(one, other, key=lambda index: pool[index].latency.load(now, pool[index].in_flight))
        pool[place].in_flight += 1
        return place

    def release(self, endpoint: Endpoint, place: int) -> None:
        """Note that the call is over."""
        key = self._key(endpoint, place)
        if key is not None:
            key.in_flight = max(0, key.in_flight - 1)

    def answered(self, endpoint: Endpoint, place: int, now: float, seconds: float) -> None:
        """Note how long a first token took."""
        key = self._key(endpoint, place)
        if key is not None:
            key.latency.observe(now, seconds)

    def failed(self, endpoint: Endpoint, place: int, now: float, kind: FailureKind, retry_after: float | None) -> None:
        """Note a failure that is the key's: it is out for as long as the provider says, or as such failures last."""
        key = self._key(endpoint, place)
        if key is None or kind not in KEY_FAILURES:
            return
        seconds = OUT_SECONDS
        if kind is FailureKind.RATE_LIMITED:
            named = DEFAULT_COOLING_SECONDS if retry_after is None else retry_after
            seconds = min(MAX_COOLING_SECONDS, max(1.0, named))
        key.out_until = max(key.out_until, now + seconds)

    def wait(self, endpoint: Endpoint, now: float) -> float:
        """Seconds until a key can be used, 0 when one can."""
        return max(0.0, min(key.out_until for key in self._pool(endpoint)) - now)

    def has_several(self, endpoint: Endpoint) -> bool:
        """Whether there is another key than the one that failed."""
        return len(self._pool(endpoint)) > 1

    def restart(self, endpoint_id: EndpointId) -> None:
        """Forget everything of an endpoint, because its keys have changed."""
        self._pools.pop(endpoint_id, None)

    def _pool(self, endpoint: Endpoint) -> list[_Key]:
        pool = self._pools.get(endpoint.id)
        if pool is None:
            pool = self._pools[endpoint.id] = [_Key() for _ in range(max(1, self._count_of(endpoint)))]
        return pool

    def _key(self, endpoint: Endpoint, place: int) -> _Key | None:
        """The key, unless the keys have changed since it was taken."""
        pool = self._pools.get(endpoint.id, [])
        return pool[place] if place < len(pool) else None
