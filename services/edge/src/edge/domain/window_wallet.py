"""What this edge has borrowed of one rate limit: a share of the window that is open, worth nothing when that is over.

Pure; times are monotonic seconds. Unlike credit, what is lent of a window counts as spent unless it is given back, so that a lease may be
used to the very end of its time, and nothing has to be said when it is over.

A share that is not used goes back: at least every `life` seconds an edge keeps no more than what it used in that time before. When accounts
is away, `overdraw` goes beyond what is lent, up to a part of the limit, and what was taken so is asked for as soon as accounts answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Final

from edge.domain.wallet import FORGOTTEN_AFTER_S, Ask, Lease, Ticket, Wallet, WalletScope, statement_of

# A lease that ends before its window does is extended when this part of its time is over.
_RENEWED_AFTER: Final = 1 / 4
# Requests of the usual size that are borrowed ahead of what is used at the present rate.
_REQUESTS_AHEAD: Final = 4


class WindowWallet(Wallet):
    """A share of one rate limit.

    Attributes:
        edges: how many edges borrow from the organisation, as accounts said last; 0 before.
        resets_at: when the window is over.
    """

    __slots__ = (
        "_before",
        "_carried",
        "_is_unheard",
        "_left",
        "_length_s",
        "_life_s",
        "_most",
        "_used",
        "_used_since",
        "edges",
        "resets_at",
    )

    def __init__(
        self,
        name: Hashable,
        scope: WalletScope,
        now: float,
        *,
        resets_at: float,
        length_s: float,
        life_s: float,
        on_close: Callable[[Wallet], None] | None = None,
    ) -> None:
        """Make one without a share.

        Args:
            name: among all wallets of windows.
            scope: whose limit, and which.
            now: seconds.
            resets_at: when the window is over by the clock of this edge, until accounts says so.
            length_s: of the window.
            life_s: how long a share should last at the present rate; what is left then goes back.
            on_close: is told of a lease of which something should go back.
        """
        super().__init__(scope, now, cover_s=life_s, on_close=on_close)
        self.name = name
        self.edges = 0
        self.resets_at = resets_at
        self._length_s = length_s
        self._life_s = life_s
        self._used = 0
        self._before = 0
        self._used_since = now
        # Taken in this window on leases that are no more.
        self._carried = 0
        # When accounts refused to lend more of the window: what it had left, and what may be taken here. None when it last lent.
        self._left: int | None = None
        # Whether a request did without accounts since it last answered.
        self._is_unheard = False
        self._most: int | None = None

    def hold(self, amount: int, now: float) -> Ticket | None:
        """Set an amount aside; None when the lease does not cover it."""
        lease = self.lease
        if lease is None or now >= lease.ends_at or amount > lease.remaining:
            return None
        return self._held(lease, amount, now)

    def close(self, lease: Lease, amount: int, cost: int) -> None:
        """A hold is over; called by its ticket."""
        lease.held -= amount
        lease.holds -= 1
        lease.spent += cost
        self._used += cost - amount
        if lease.is_scarce and lease is self.lease and self._on_close is not None:
            self._on_close(self)

    def overdraw(self, amount: int, now: float, most: int) -> Ticket | None:
        """Set an amount aside that nothing is lent for; None when this edge has taken too much of the window already.

        Args:
            amount: to set aside.
            now: seconds.
            most: what this edge may take of the window without being lent it.
        """
        self._turn(now)
        self._is_unheard = True
        lease = self.lease if self.lease is not None else self._pending()
        if self.taken + amount > (most if self._most is None else min(most, self._most)):
            return None
        return self._held(lease, amount, now)

    def _held(self, lease: Lease, amount: int, now: float) -> Ticket:
        lease.held += amount
        lease.holds += 1
        self._used += amount
        self._peak = amount
        self.used_at = now
        return Ticket(amount, self, lease)

    @property
    def taken(self) -> int:
        """Of the window by this edge."""
        lease = self.lease if self.lease is not None else self._made
        return self._carried + (lease.spent + lease.held if lease is not None else 0)

    @property
    def is_leftover(self) -> bool:
        """Never: a lease of which everything is used ends with its window, and says nothing before."""
        return False

    def is_over(self, now: float) -> bool:
        """Never: there is nothing to release."""
        return False

    def is_renewable(self, now: float) -> bool:
        """Whether something is to be given back, to be made good, or to be extended."""
        self._turn(now)
        kept, is_due = self._kept(now), now - self._asked_at >= self._life_s
        lease = self.lease if self.lease is not None else self._made
        if lease is None:
            return False
        if is_due and (lease.remaining < 0 or lease.remaining > kept):
            return True
        return (
            lease is self.lease
            and lease.ends_at < self.resets_at
            and now >= lease.renew_at
            and self.used_at >= self._asked_at
        )

    def is_forgotten(self, now: float) -> bool:
        """Whether there is nothing to keep in mind."""
        idle = not self.waiting and now - self.used_at > FORGOTTEN_AFTER_S
        return idle and (now >= self.resets_at or self.remaining == 0)

    def ask(self, now: float, lease_id: Callable[[], str]) -> Ask:
        """Say what to ask for now.

        Args:
            now: seconds.
            lease_id: names a new lease.
        """
        self._turn(now)
        kept, lease = self._kept(now), self.lease
        least, waiting = min(self.waiting.values(), default=0), sum(self.waiting.values())
        usual = max(least, self._peak, 1)
        target = max(kept + _REQUESTS_AHEAD * usual if waiting or kept else 0, waiting)
        if lease is None:
            made = self._pending()
            made.lease_id = made.lease_id or lease_id()
            taken = max(-made.remaining, 0)
            # Where nobody waits it is asked because accounts did not answer before, or not at all.
            is_wanted = taken > 0 or self._is_unheard
            needed = taken + least if least else self._within_left(taken + usual) if is_wanted else 0
            return Ask(made, True, needed, max(target + taken, needed), statement_of(made))
        remaining = lease.remaining
        if lease.is_scarce:
            # What is left over goes back in the same call that asks for the whole: see `Wallet.ask`.
            target = waiting
            lease.returned += max(remaining, 0)
            remaining = min(remaining, 0)
        elif now - self._asked_at >= self._life_s and remaining > kept and not waiting:
            lease.returned += remaining - kept
            target = remaining = kept
        wanted = max(target - remaining, 0)
        needed = max(least - remaining, 0) if waiting else self._within_left(max(min(usual, wanted), -remaining))
        # If there was nothing to say, the next time is when half of what is left is used.
        self._low_mark = remaining // 2
        return Ask(lease, False, needed, max(wanted, needed) if needed else 0, statement_of(lease))

    def take(self, ask: Ask, granted: int, sent_at: float, time_to_live: float, *, is_scarce: bool) -> None:
        """Note what was lent: see `Wallet.take`."""
        lease = ask.lease
        lease.granted = granted
        if ask.needed:
            lease.is_scarce = is_scarce
        if time_to_live > 0:
            lease.ends_at = max(lease.ends_at, sent_at + time_to_live)
            lease.renew_at = sent_at + time_to_live * _RENEWED_AFTER
        if ask.is_new:
            self.lease, self._made = lease, None
        self._low_mark = lease.remaining // 2

    def hear(self, sent_at: float, *, edges: int, window_ends_in: float | None, left: int | None) -> None:
        """Note what accounts says besides what it lends.

        Args:
            sent_at: when it was asked.
            edges: that borrow from the organisation.
            window_ends_in: seconds from then; None where it does not say.
            left: of the window, where it refused to lend; None otherwise.
        """
        self._asked_at = sent_at
        self._is_unheard = False
        self.edges = edges
        self._left = left
        self._most = None if left is None else self.taken + max(left, 0) // max(edges, 1)
        if window_ends_in is not None:
            resets_at = sent_at + window_ends_in
            if resets_at - self.resets_at > self._length_s / 2:
                # Another window than the one that was counted here.
                self._carried = 0
            self.resets_at = resets_at

    def lose(self) -> None:
        """Accounts knows the lease no more: what was lent by it counts as spent there."""
        lease, self.lease = self.lease, None
        if lease is not None:
            self._carry(lease)

    def forget(self) -> None:
        """Accounts did not lend: the next question is another one."""
        if self._made is not None:
            self._made.lease_id = ""

    def _within_left(self, amount: int) -> int:
        """What to make good where nobody waits: no more than there is, so that nobody else is lent that."""
        return amount if self._left is None else min(amount, max(self._left, 1))

    def _pending(self) -> Lease:
        """A lease that is not lent yet. It has a name once it is asked for."""
        if self._made is None:
            self._made = Lease("")
        return self._made

    def _turn(self, now: float) -> None:
        """Leave behind what is over."""
        if now >= self.resets_at:
            self.resets_at += (math.floor((now - self.resets_at) / self._length_s) + 1) * self._length_s
            self.lease = self._made = self._left = self._most = None
            self._carried = 0
        elif self.lease is not None and now >= self.lease.ends_at:
            self.lose()

    def _carry(self, lease: Lease) -> None:
        """Keep in mind what was taken on a lease that is no more, and ask anew for what was not lent."""
        taken = max(-lease.remaining, 0)
        self._carried += lease.spent + lease.held - taken
        if taken:
            self._pending().spent += taken

    def _kept(self, now: float) -> int:
        """What was used in `life` seconds, lately."""
        elapsed = now - self._used_since
        if elapsed >= self._life_s:
            self._before = int(self._used * self._life_s / elapsed)
            self._used, self._used_since = 0, now
        return max(self._before, self._used, 0)
