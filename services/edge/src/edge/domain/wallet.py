"""What this edge has borrowed: holds are taken from it by arithmetic alone. Pure; times are monotonic seconds.

A wallet has one lease at a time. Figures of a lease are totals over its life, as accounts keeps them, so that a call whose
answer was lost is made good by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple

from edge.domain.windows import Window

# Nothing starts on a lease in its last moments: it could reach accounts after the end (billing.md 3.4).
MARGIN_S: Final = 2.0
# Spending is measured over windows of this length.
_WINDOW_S: Final = 10.0
# A lease that ends in a while is extended when this part of its time is over, so that what is known here works for nearly the
# whole of it from any moment at which accounts goes away.
_RENEWED_AFTER: Final = 1 / 16
# A wallet without a lease is kept for a while, for what is known of its rate.
FORGOTTEN_AFTER_S: Final = 60.0
# How many times the most that was on hold at the same time is borrowed ahead.
_HOLDS_AHEAD: Final = 4


class WalletScope(NamedTuple):
    """Whose spending a wallet pays for.

    Attributes:
        org_id: the organisation.
        key_id: the key that has a limit or a budget of its own to keep; empty for all other keys of the organisation. Of a
            window the key, or one of those, that it bounds.
        window: of a rate limit that is spent from; None for credit.
    """

    org_id: str
    key_id: str = ""
    window: Window | None = None


class Lease:
    """One lease, in nano-dollars, or in what the rate limit counts that it is lent from.

    Attributes:
        granted: lent since it was made.
        returned: given back of that.
        spent: known costs, and the holds of generations whose cost could not be learnt.
        held: holds of generations under way.
        holds: how many there are.
        ends_at: nothing starts from then on.
        renew_at: when it is to be extended.
        is_scarce: each request is lent for by itself; what it leaves over goes back at once.
    """

    __slots__ = ("ends_at", "granted", "held", "holds", "is_scarce", "lease_id", "renew_at", "returned", "spent")

    def __init__(self, lease_id: str) -> None:
        self.lease_id = lease_id
        self.granted = 0
        self.returned = 0
        self.spent = 0
        self.held = 0
        self.holds = 0
        self.ends_at = 0.0
        self.renew_at = 0.0
        self.is_scarce = False

    @property
    def remaining(self) -> int:
        """What may still be set aside; negative after a generation that cost more than its hold."""
        return self.granted - self.returned - self.spent - self.held

    @property
    def stated_spent(self) -> int:
        """What was spent, as far as it was lent: what went beyond it accounts learns from the usage event."""
        return max(min(self.spent, self.granted - self.returned - self.held), 0)

    @property
    def stated_held(self) -> int:
        """What is on hold, as far as it was lent."""
        return min(self.held, self.granted - self.returned)

    def extend(self, sent_at: float, time_to_live: float) -> None:
        """It may be used for so long from the moment at which the call was sent."""
        self.ends_at = max(self.ends_at, sent_at + time_to_live - MARGIN_S)
        self.renew_at = sent_at + time_to_live * _RENEWED_AFTER


class Ticket:
    """Credit that is set aside for one generation. Every way to end closes it once; later closes change nothing.

    Attributes:
        amount: nano-dollars.
    """

    __slots__ = ("_lease", "_open", "_wallet", "amount")

    def __init__(self, amount: int, wallet: Wallet | None = None, lease: Lease | None = None) -> None:
        self.amount = amount
        self._wallet = wallet
        self._lease = lease
        self._open = True

    @property
    def lease_id(self) -> str:
        """The lease that it is taken from; empty for a request that costs nothing."""
        return self._lease.lease_id if self._lease is not None else ""

    @property
    def is_open(self) -> bool:
        """Whether the generation has not ended yet, as far as credit goes."""
        return self._open

    def charge(self, cost: int) -> None:
        """The generation ended and cost this much, in nano-dollars."""
        self._close(cost)

    def charge_estimate(self) -> None:
        """The generation ended at an unknown cost: the hold stands in for it."""
        self._close(self.amount)

    def release(self) -> None:
        """Nothing was generated."""
        self._close(0)

    def _close(self, cost: int) -> None:
        if not self._open:
            return
        self._open = False
        if self._wallet is not None and self._lease is not None:
            self._wallet.close(self._lease, self.amount, cost)


@dataclass(frozen=True, slots=True)
class Statement:
    """How a lease stands, for accounts: see `Lease`."""

    lease_id: str
    spent: int
    in_flight: int
    returned: int


@dataclass(frozen=True, slots=True)
class Ask:
    """What to ask accounts for.

    Attributes:
        lease: to make, when `is_new`, or to extend.
        needed: the least to add that helps; 0 when it is only to be extended, or to give back.
        wanted: what to add, if there is so much.
    """

    lease: Lease
    is_new: bool
    needed: int
    wanted: int
    statement: Statement


class Wallet:
    """What is lent for one scope.

    Attributes:
        name: among all wallets of its kind.
        scope: whose spending it pays for.
        lease: that holds are taken from; None before the first and after a release.
        used_at: when the last hold was taken.
        waiting: amounts that requests wait for, by any name of theirs.
    """

    __slots__ = (
        "_asked_at",
        "_cover_s",
        "_least",
        "_low_mark",
        "_made",
        "_on_close",
        "_peak",
        "_rate",
        "_window_at",
        "_window_spent",
        "lease",
        "name",
        "scope",
        "used_at",
        "waiting",
    )

    def __init__(
        self,
        scope: WalletScope,
        now: float,
        *,
        cover_s: float,
        least: int = 0,
        on_close: Callable[[Wallet], None] | None = None,
    ) -> None:
        """Make an empty one.

        Args:
            scope: whose spending it pays for.
            now: seconds.
            cover_s: how long a lease should last at the present rate of spending.
            least: what is borrowed at least, in nano-dollars, where there is plenty.
            on_close: is told of a lease of which something should go back.
        """
        self.name: Hashable = scope
        self.scope = scope
        self.lease: Lease | None = None
        self.used_at = now
        self.waiting: dict[object, int] = {}
        self._cover_s = cover_s
        self._least = least
        self._on_close = on_close
        # A lease that was asked for and of which nothing is known yet: asked for again under the same id.
        self._made: Lease | None = None
        self._asked_at = now
        self._low_mark = 0
        self._peak = 0
        self._rate = 0.0
        self._window_at = now
        self._window_spent = 0

    def hold(self, amount: int, now: float) -> Ticket | None:
        """Set an amount aside; None when the lease does not cover it."""
        lease = self.lease
        if lease is None or now >= lease.ends_at or amount > lease.remaining:
            return None
        lease.held += amount
        lease.holds += 1
        if lease.held > self._peak:
            self._peak = lease.held
        self.used_at = now
        return Ticket(amount, self, lease)

    def close(self, lease: Lease, amount: int, cost: int) -> None:
        """A hold is over; called by its ticket."""
        lease.held -= amount
        lease.holds -= 1
        lease.spent += cost
        self._window_spent += cost
        if lease.is_scarce and lease is self.lease and self._on_close is not None:
            self._on_close(self)

    @property
    def is_low(self) -> bool:
        """Whether more is to be borrowed before somebody has to wait for it."""
        lease = self.lease
        return lease is not None and not lease.is_scarce and lease.remaining < self._low_mark

    @property
    def remaining(self) -> int:
        """What the lease still covers, 0 at least, whether or not it may be used."""
        return max(self.lease.remaining, 0) if self.lease is not None else 0

    def is_renewable(self, now: float) -> bool:
        """Whether the lease is in use and part of its time is over."""
        lease = self.lease
        return lease is not None and now >= lease.renew_at and (lease.holds > 0 or self.used_at >= self._asked_at)

    def is_over(self, now: float) -> bool:
        """Whether nobody uses the lease and its time is over, so that it is to be released."""
        lease = self.lease
        return lease is not None and now >= lease.ends_at and not lease.holds and not self.waiting

    def is_forgotten(self, now: float) -> bool:
        """Whether there is nothing to keep in mind."""
        return self.lease is None and not self.waiting and now - self.used_at > FORGOTTEN_AFTER_S

    @property
    def is_leftover(self) -> bool:
        """Whether the lease is to go back as a whole: little is left in the account, and nobody needs it here."""
        lease = self.lease
        return lease is not None and lease.is_scarce and not lease.holds and not self.waiting

    @property
    def has_leftover(self) -> bool:
        """Whether a part of the lease is to go back: little is left in the account, and nobody needs that part here."""
        lease = self.lease
        return lease is not None and lease.is_scarce and lease.remaining > 0 and not self.waiting

    def ask(self, now: float, lease_id: Callable[[], str]) -> Ask:
        """Say what to ask for now.

        Args:
            now: seconds.
            lease_id: names a new lease.
        """
        lease = self.lease
        needed = min(self.waiting.values(), default=0)
        waiting = sum(self.waiting.values())
        target = max(self._target(now), waiting, self._least)
        if lease is None:
            if self._made is None:
                self._made = Lease(lease_id())
            made = self._made
            return Ask(made, True, needed, max(target, needed), statement_of(made))
        remaining = lease.remaining
        if lease.is_scarce:
            # What is left over goes back in the same call that asks for the whole: if everybody kept a part of a hold while
            # they wait for the rest, nobody would be served although there is enough.
            if remaining > 0:
                lease.returned += remaining
                remaining = 0
            target = waiting
        elif remaining > 2 * target:
            lease.returned += remaining - target
            remaining = target
        wanted = max(target - remaining, 0)
        # Without anybody who waits, a hold of the usual size is what helps.
        needed = max(needed - remaining, 0) if waiting else min(self._peak, wanted)
        return Ask(lease, False, needed, max(wanted, needed) if needed else 0, statement_of(lease))

    def take(self, ask: Ask, granted: int, sent_at: float, time_to_live: float, *, is_scarce: bool) -> None:
        """Note what was lent.

        Args:
            ask: that was answered.
            granted: since the lease was made.
            sent_at: when the call was sent.
            time_to_live: seconds from then; 0 leaves the time as it was.
            is_scarce: each request is lent for by itself.
        """
        lease = ask.lease
        lease.granted = granted
        if ask.needed:
            # Where nothing is to be added, accounts does not look at what is left.
            lease.is_scarce = is_scarce
        if time_to_live > 0:
            lease.extend(sent_at, time_to_live)
        if ask.is_new:
            self.lease, self._made = lease, None
        self._low_mark = (lease.remaining + lease.held) // 2
        self._peak = lease.held
        self._asked_at = sent_at

    def drop(self) -> Lease | None:
        """Have no lease any more; gives the one that there was. Its tickets close all the same."""
        lease, self.lease = self.lease, None
        return lease

    def forget(self) -> None:
        """Accounts does not want the lease that was asked for: the next one gets another name."""
        self._made = None

    def _target(self, now: float) -> int:
        elapsed = now - self._window_at
        seen = self._window_spent / max(elapsed, 1.0)
        rate = max(self._rate, seen)
        if elapsed >= _WINDOW_S:
            self._rate, self._window_at, self._window_spent = seen, now, 0
        peak = max(self._peak, min(self.waiting.values(), default=0))
        return int(rate * self._cover_s) + _HOLDS_AHEAD * peak


def statement_of(lease: Lease) -> Statement:
    """Say how a lease stands."""
    return Statement(lease.lease_id, lease.stated_spent, lease.stated_held, lease.returned)
