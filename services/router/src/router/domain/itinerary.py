"""Which endpoint a generation goes to next. Pure: it is told what failed and how much time is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from contracts.catalog import Endpoint
from router.domain.attempts import FailureKind
from router.domain.customer_keys import CustomerKey
from router.domain.fallback import FailedAttempt, Move, move_after
from router.domain.key_pool import KEY_FAILURES
from router.domain.ranking import Candidate
from router.domain.selection import MAX_ATTEMPTS

# These may pass within moments, and the provider has made nothing that it would charge for.
_PASSING = frozenset({FailureKind.CONNECT, FailureKind.SERVER_ERROR, FailureKind.OVERLOADED})
# Full jitter, doubling: what AWS recommends, with its two bases of 2026.
BACKOFF_SECONDS = 0.05
OVERLOADED_BACKOFF_SECONDS = 1.0
MOST_BACKOFF_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Leg:
    """One attempt to make: where, and after how many seconds. Only an endpoint that is asked again is waited for."""

    endpoint: Endpoint
    share: float
    pause: float = 0.0
    customer_key: CustomerKey | None = None


class Itinerary:
    """The endpoints of one generation, in the order of attempts."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        random: Random,
        has_another_key: Callable[[Endpoint], bool] = lambda endpoint: False,
    ) -> None:
        """Make one.

        Args:
            candidates: in the order of attempts.
            random: spreads the pauses.
            has_another_key: whether an endpoint can be reached through another key than those that failed.
        """
        self._candidates = candidates
        self._random = random
        self._has_another_key = has_another_key
        self._visited = 0

    def next_leg(self, failed: Sequence[FailedAttempt], seconds_left: float) -> Leg | None:
        """Say where to go, None when there is nowhere to go.

        Args:
            failed: the attempts so far, all of which failed.
            seconds_left: until the caller's deadline.
        """
        if failed and move_after(failed[-1].failure) is Move.RETURN:
            return None
        while self._visited < len(self._candidates):
            candidate = self._candidates[self._visited]
            self._visited += 1
            if self._may_do(candidate.endpoint, failed) and _in_time(candidate, seconds_left):
                return Leg(candidate.endpoint, candidate.share, customer_key=candidate.customer_key)
        return self._again(failed, seconds_left)

    def _may_do(self, endpoint: Endpoint, failed: Sequence[FailedAttempt]) -> bool:
        """Whether an earlier failure does not already say that this endpoint would fail the same way."""
        for each in failed:
            move = move_after(each.failure)
            if move is Move.NEXT_MODEL and each.endpoint.model_id == endpoint.model_id:
                return False
            if move is Move.LARGER_CONTEXT and endpoint.context_length <= each.endpoint.context_length:
                return False
        return True

    def _again(self, failed: Sequence[FailedAttempt], seconds_left: float) -> Leg | None:
        """Ask an endpoint again whose failure may have passed, the one that failed longest ago."""
        for number, each in enumerate(failed):
            model = each.endpoint.model_id
            shared = each.customer_key is None
            other_key = shared and each.failure.kind in KEY_FAILURES and self._has_another_key(each.endpoint)
            if not (other_key or each.failure.kind in _PASSING) or not self._may_do(each.endpoint, failed):
                continue
            if sum(other.endpoint.model_id == model for other in failed) >= MAX_ATTEMPTS:
                continue
            if any(_is_same(later, each) for later in failed[number + 1 :]):
                continue
            if other_key:
                return Leg(each.endpoint, 0.0)
            tries = sum(_is_same(other, each) for other in failed)
            overloaded = each.failure.kind is FailureKind.OVERLOADED
            base = OVERLOADED_BACKOFF_SECONDS if overloaded else BACKOFF_SECONDS
            pause = self._random.random() * min(MOST_BACKOFF_SECONDS, base * 2 ** (tries - 1))
            if pause < seconds_left:
                return Leg(each.endpoint, 0.0, pause, each.customer_key)
        return None


def _is_same(one: FailedAttempt, other: FailedAttempt) -> bool:
    """Whether two attempts went the same way: to one endpoint, with one key of a customer or with the operator's."""
    return one.endpoint.id == other.endpoint.id and one.customer_key == other.customer_key


def _in_time(candidate: Candidate, seconds_left: float) -> bool:
    """Whether the caller would still be there for a first token that takes as long as usual."""
    usual = candidate.state.first_token_seconds
    return usual is None or usual < seconds_left
