"""Credit for everybody who calls here: a wallet for an organisation, and one for each key that something else binds."""

from __future__ import annotations

from datetime import timedelta
from random import Random

from opentelemetry.metrics import Meter

from edge.borrowing import MAX_WALLETS, Answer, Borrowing, Entry, ExhaustedError, is_idle
from edge.domain.errors import InvalidKeyError
from edge.domain.principal import Org
from edge.domain.wallet import Ask, Ticket, Wallet, WalletScope
from edge.lease_ports import LeaseLender
from servicekit.clock import Clock

__all__ = ["ExhaustedError", "Wallets"]


class Wallets(Borrowing[Wallet]):
    """Sets credit aside."""

    name = "wallets"
    _kind = "credit"

    # Credit that other edges give back meanwhile is seen by the second question.
    _refusals = 2

    def __init__(
        self,
        lender: LeaseLender,
        clock: Clock,
        meter: Meter,
        random: Random,
        *,
        cover: timedelta,
        patience: timedelta,
        least: int = 0,
        most: int = MAX_WALLETS,
    ) -> None:
        """Make it without any wallet.

        Args:
            lender: lends.
            clock: measures leases.
            meter: of the service.
            random: names leases; need not be secret.
            cover: how long a lease should last at the rate at which its wallet spends.
            patience: of a request that has to wait for a lease.
            least: what a wallet borrows at least, in nano-dollars, where there is plenty.
            most: wallets that are kept; more only while none of them is without a hold.
        """
        super().__init__(lender, clock, meter, random, patience, most)
        self._cover_s = cover.total_seconds()
        self._least = least

    async def take(self, scope: WalletScope, amount: int) -> Ticket:
        """Set credit aside. Waits for nothing when a lease covers it.

        Args:
            scope: whose credit.
            amount: nano-dollars, more than 0.

        Raises:
            ExhaustedError: there is not so much.
            DependencyError: accounts does not answer, and nothing that is lent covers it.
        """
        now = self._clock.monotonic()
        entry = self._known(scope)
        if entry is None:
            entry = self._add(Wallet(scope, now, cover_s=self._cover_s, least=self._least, on_close=self._closed))
        ticket = self._hold(entry, amount, now)
        return ticket if ticket is not None else await self._wait(entry, amount, now)

    def heard(self, org: Org) -> None:
        """Give back what is lent to an organisation that may not spend any more."""
        if org.active:
            return
        for entry in list(self._entries.values()):
            if entry.wallet.scope.org_id == org.org_id and is_idle(entry):
                self._remove(entry.wallet.name)

    def _lost(self, entry: Entry[Wallet], ask: Ask, number: int) -> Answer:
        wallet = entry.wallet
        if ask.is_new:
            wallet.forget()
            return Answer(number, error=InvalidKeyError())
        if wallet.lease is ask.lease:
            wallet.drop()
        return Answer(number)
