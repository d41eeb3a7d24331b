"""Rate limits at one edge: requests, tokens and spending by minute and day of the clock, and requests in hand.

A request reserves what it could use when it starts, all of its limits or none of them; when it has ended, what it did not use
is given back. So requests that start together cannot pass a limit together. Limits that accounts knows are lent to edges
(`edge.lent_limits`); of the others, which are counted here, each of several edges has an equal part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from contracts.money import usd_text
from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from edge.domain.errors import RateLimitError
from edge.domain.wallet import Ticket
from edge.domain.windows import LimitOwner

WINDOW_MS: Final[Mapping[RateInterval, int]] = {RateInterval.MINUTE: 60_000, RateInterval.DAY: 86_400_000}
_TOKENS: Final = LimitedQuantity.TOKENS
_SPEND: Final = LimitedQuantity.SPEND

CONCURRENT: Final = RateInterval.NONE
"""Of a limit of requests in hand, which each edge counts for itself, whoever it is of."""

# When a place among the requests in hand is free again, nobody knows.
_CONCURRENCY_RETRY_MS: Final = 1_000

_Name = tuple[str, LimitedQuantity, str]


class Owned(NamedTuple):
    """Whose limits accounts has.

    Attributes:
        owner: who is limited.
        org_id: the organisation.
        key_id: the key, or one of those, that they bound; empty for an organisation's.
        guardrail_id: that states them; empty for the owner's own.
    """

    owner: LimitOwner
    org_id: str
    key_id: str = ""
    guardrail_id: str = ""


class LimitSet(NamedTuple):
    """The limits of one subject: a key, a member, an organisation, an address.

    Attributes:
        subject: names it among all subjects.
        noun: what it is, for the caller, such as `this API key`.
        limits: its limits.
        owned: how accounts knows them, which lends their windows to edges; None of those that only edges know.
    """

    subject: str
    noun: str
    limits: Collection[RateLimit]
    owned: Owned | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request could use.

    Attributes:
        models: every name of every model that may answer it.
        tokens: of prompt and answer.
        spend: nano-dollars.
    """

    models: frozenset[str] = frozenset()
    tokens: int = 0
    spend: int = 0

    def amount(self, quantity: LimitedQuantity) -> int:
        """What it could use of a quantity."""
        if quantity is _TOKENS:
            return self.tokens
        return self.spend if quantity is _SPEND else 1


class _Windows:
    """Counters of one window, minute or day. Forgotten as a whole when the next one begins, so they stay few."""

    __slots__ = ("length_ms", "number", "used")

    def __init__(self, length_ms: int) -> None:
        self.length_ms = length_ms
        self.number = 0
        self.used: dict[_Name, int] = {}

    def turn(self, now_ms: int) -> None:
        number = now_ms // self.length_ms
        if number > self.number:
            self.number, self.used = number, {}


@dataclass(frozen=True, slots=True)
class _Reserved:
    name: _Name
    interval: RateInterval
    window: int
    amount: int


class Reservation:
    """What one request holds of its limits. `settle` once it is known what it used; `close` when it is over."""

    __slots__ = ("_held", "_lent", "_limits", "_open")

    def __init__(self, limits: RateLimits, held: list[_Reserved]) -> None:
        self._limits = limits
        self._held = held
        self._lent: list[tuple[LimitedQuantity, Ticket]] = []
        self._open = True

    def add(self, quantity: LimitedQuantity, ticket: Ticket) -> None:
        """Hold something of a limit that is lent, too."""
        self._lent.append((quantity, ticket))

    def settle(self, tokens: int, spend: int) -> None:
        """Say what was used; what was reserved beyond it is given back. A second time changes nothing."""
        used = {LimitedQuantity.TOKENS: tokens, LimitedQuantity.SPEND: spend}
        kept = []
        for each in self._held:
            if each.name[1] in used:
                self._limits.give_back(each, each.amount - used[each.name[1]])
            else:
                kept.append(each)
        self._held = kept
        for quantity, ticket in self._lent:
            if quantity is _TOKENS:
                ticket.charge(tokens)
            elif quantity is _SPEND:
                ticket.charge(spend)

    def release(self) -> None:
        """Nothing was used: everything is given back."""
        if self._open:
            self._open = False
            for each in self._held:
                self._limits.give_back(each, each.amount)
            self._held = []
            for _, ticket in self._lent:
                ticket.release()

    def close(self) -> None:
        """The request is over: its place among those in hand is free, and what was not settled stays used."""
        if self._open:
            self._open = False
            for each in self._held:
                if each.interval is RateInterval.NONE:
                    self._limits.give_back(each, each.amount)
            self._held = []
            for _, ticket in self._lent:
                ticket.charge_estimate()


class RateLimits:
    """Counts for every subject what is not lent: see `LimitSet.owned`."""

    def __init__(self, edges: int = 1) -> None:
        """Make counters.

        Args:
            edges: how many edges there are; each has an equal share of every limit, 1 at least.
        """
        self._edges = edges
        self._windows = {interval: _Windows(length) for interval, length in WINDOW_MS.items()}
        self._in_hand: dict[_Name, int] = {}

    def reserve(self, sets: Iterable[LimitSet], claim: Claim, now_ms: int) -> Reservation:
        """Reserve what a request could use.

        A request that could use more than a limit has takes all of it, if nothing is taken yet: otherwise a limit below what
        one answer may have would refuse everything.

        Args:
            sets: whose limits hold.
            claim: what the request could use.
            now_ms: Unix milliseconds.

        Raises:
            RateLimitError: a limit does not allow it; nothing is reserved.
        """
        held: list[_Reserved] = []
        for windows in self._windows.values():
            windows.turn(now_ms)
        for each in sets:
            for limit in each.limits:
                if each.owned is not None and limit.interval is not CONCURRENT:
                    continue
                if not limit.model or limit.model in claim.models:
                    held.append(self._checked(each, limit, claim.amount(limit.quantity), now_ms))
        for reserved in held:
            counters = self._counters(reserved.interval)
            counters[reserved.name] = counters.get(reserved.name, 0) + reserved.amount
        return Reservation(self, held)

    def give_back(self, reserved: _Reserved, amount: int) -> None:
        """Take an amount, which may be negative, off a counter whose window is not over."""
        if reserved.interval is not RateInterval.NONE and self._windows[reserved.interval].number != reserved.window:
            return
        counters = self._counters(reserved.interval)
        left = counters.get(reserved.name, 0) - amount
        if left > 0:
            counters[reserved.name] = left
        else:
            counters.pop(reserved.name, None)

    def _checked(self, owner: LimitSet, limit: RateLimit, wanted: int, now_ms: int) -> _Reserved:
        share = max(1, limit.amount // self._edges)
        name = (owner.subject, limit.quantity, limit.model)
        used = self._counters(limit.interval).get(name, 0)
        amount = min(wanted, share)
        if used + amount > share:
            if limit.interval is RateInterval.NONE:
                reset_ms = now_ms + _CONCURRENCY_RETRY_MS
            else:
                reset_ms = (self._windows[limit.interval].number + 1) * WINDOW_MS[limit.interval]
            retry_after_s = (reset_ms - now_ms) / 1_000
            raise exceeded(owner, limit, most=share, left=share - used, reset_ms=reset_ms, retry_after_s=retry_after_s)
        window = 0 if limit.interval is RateInterval.NONE else self._windows[limit.interval].number
        return _Reserved(name, limit.interval, window, amount)

    def _counters(self, interval: RateInterval) -> dict[_Name, int]:
        return self._in_hand if interval is RateInterval.NONE else self._windows[interval].used


def exceeded(
    owner: LimitSet, limit: RateLimit, *, most: int, left: int, reset_ms: int, retry_after_s: float
) -> RateLimitError:
    """Say that a limit does not allow a request.

    Args:
        owner: whose limit.
        limit: itself.
        most: of the window, or of those in hand.
        left: of that, as far as it is known; what is negative counts as nothing.
        reset_ms: Unix milliseconds from which there is more.
        retry_after_s: seconds until then.
    """
    if limit.interval is RateInterval.NONE:
        what = f"{limit.amount} requests at the same time"
    else:
        dollars = limit.quantity is LimitedQuantity.SPEND
        amount = f"${usd_text(limit.amount)}" if dollars else f"{limit.amount} {limit.quantity.value}"
        what = f"{amount} per {limit.interval.value}"
    model = f" with {limit.model}" if limit.model else ""
    return RateLimitError(
        f"Rate limit exceeded: {what}{model} for {owner.noun}",
        limit=most,
        remaining=max(left, 0),
        reset_ms=reset_ms,
        retry_after_s=retry_after_s,
    )
