"""Shares of rate limits that this edge has borrowed, one wallet for each limit that is in use."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Final

from opentelemetry.metrics import Meter

from contracts.rate_limits import RateInterval
from edge.borrowing import DEPENDENCY, Answer, Borrowing, Entry, ExhaustedError
from edge.domain.errors import DependencyError
from edge.domain.rate_limits import WINDOW_MS
from edge.domain.wallet import Ask, Ticket, WalletScope
from edge.domain.window_wallet import WindowWallet
from edge.lease_ports import Grant, LeaseLender
from servicekit.clock import Clock

# Questions in a row that had no answer, after which nobody waits for one.
_SILENT: Final = 3


@dataclass(frozen=True, slots=True)
class Overdrawn:
    """What became of a request that nothing was lent for.

    Attributes:
        ticket: what is set aside for it all the same; None when this edge has taken its part.
        left: of that part.
    """

    ticket: Ticket | None
    left: int


class WindowWallets(Borrowing[WindowWallet]):
    """Takes holds of rate limits."""

    name = "window-wallets"
    _kind = "limit"

    def __init__(
        self,
        lender: LeaseLender,
        clock: Clock,
        meter: Meter,
        random: Random,
        *,
        unused: timedelta,
        patience: timedelta,
        edges: int = 1,
    ) -> None:
        """Make it without any wallet.

        Args:
            lender: lends.
            clock: measures leases.
            meter: of the service.
            random: names leases; need not be secret.
            unused: how long a share should last at the present rate; what is left then goes back.
            patience: of a request that has to wait for a lease.
            edges: how many edges there are at least, which matters while accounts does not answer.
        """
        super().__init__(lender, clock, meter, random, patience)
        self._unused_s = unused.total_seconds()
        self._edges = edges

    def hold(self, name: Hashable, amount: int) -> Ticket | None:
        """Set an amount aside; None when no lease covers it.

        Args:
            name: of the wallet.
            amount: more than 0.
        """
        # Which of them was used last is noted where one asks: what is used asks every few seconds.
        entry = self._entries.get(name)
        return self._hold(entry, amount, self._clock.monotonic()) if entry is not None else None

    async def take(self, name: Hashable, scope: WalletScope, interval: RateInterval, amount: int) -> Ticket:
        """Set an amount aside, once it is lent.

        Args:
            name: of the wallet.
            scope: whose limit and which, with a key that it bounds.
            interval: of the limit.
            amount: more than 0.

        Raises:
            ExhaustedError: there is not so much.
            DependencyError: accounts does not answer, or has no such limit.
        """
        now = self._clock.monotonic()
        entry = self._entry(name, scope, interval, now)
        # Of several keys that it bounds accounts is told the last one, which it knows.
        entry.wallet.scope = scope
        refusal = entry.refusal
        if refusal is not None and now < min(entry.paced_until, entry.wallet.resets_at):
            available = entry.wallet.remaining + max(refusal.available, 0)
            if amount > available:
                raise ExhaustedError(refusal, available)
        return await self._wait(entry, amount, now)

    def overdraw(self, name: Hashable, amount: int, limit: int) -> Overdrawn:
        """Set an amount aside that is not lent, within this edge's equal part of a limit.

        Args:
            name: of a wallet that was asked before.
            amount: more than 0; where the part is less, all of it.
            limit: of all edges together.
        """
        entry = self._known(name)
        if entry is None:
            return Overdrawn(None, 0)
        wallet = entry.wallet
        share = max(1, limit // max(self._edges, wallet.edges))
        ticket = wallet.overdraw(min(amount, share), self._clock.monotonic(), share)
        return Overdrawn(ticket, share - wallet.taken)

    def resets_in(self, name: Hashable) -> float | None:
        """Seconds until a window is over; None for a wallet that is not there."""
        entry = self._entries.get(name)
        return None if entry is None else max(entry.wallet.resets_at - self._clock.monotonic(), 0.0)

    def _entry(self, name: Hashable, scope: WalletScope, interval: RateInterval, now: float) -> Entry[WindowWallet]:
        entry = self._known(name)
        if entry is not None:
            return entry
        length_s = WINDOW_MS[interval] / 1_000
        wallet = WindowWallet(
            name,
            scope,
            now,
            resets_at=now + length_s - self._clock.now().timestamp() % length_s,
            length_s=length_s,
            life_s=self._unused_s,
            on_close=self._closed,
        )
        return self._add(wallet)

    def _is_unreachable(self, entry: Entry[WindowWallet], now: float) -> bool:
        """Whether the last question had no answer, or the last few of others: then another is put, and nobody waits for it."""
        if not entry.is_down and self._silent < _SILENT:
            return False
        if now >= entry.paced_until:
            self._ask_soon(entry)
        return True

    def _hear(self, wallet: WindowWallet, grant: Grant, sent_at: float) -> None:
        left = None if grant.refusal is None else grant.refusal.available
        wallet.hear(sent_at, edges=grant.edges, window_ends_in=grant.window_ends_in, left=left)

    def _lost(self, entry: Entry[WindowWallet], ask: Ask, number: int) -> Answer:
        wallet = entry.wallet
        if ask.is_new:
            # This edge knows a limit that accounts does not have (any more).
            wallet.forget()
            return self._unanswered(entry, number, DependencyError(DEPENDENCY))
        if wallet.lease is ask.lease:
            wallet.lose()
        return Answer(number)
