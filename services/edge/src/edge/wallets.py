"""Credit for everybody who calls here: a wallet for an organisation, and one for each key that something else binds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from random import Random
from types import MappingProxyType
from typing import Final

from opentelemetry.metrics import Meter

from edge.borrowing import MAX_WALLETS, Answer, Borrowing, Entry, ExhaustedError, is_idle
from edge.domain.errors import InvalidKeyError
from edge.domain.principal import Org
from edge.domain.wallet import Ask, Ticket, Wallet, WalletScope
from edge.lease_ports import LeaseLender
from servicekit.clock import Clock

__all__ = ["ExhaustedError", "Wallets"]

# For so long nothing is asked after an answer that there is no credit at all. Credit that is bought ends it at once, by the
# news of the organisation; a limit that is raised when it is over.
_EMPTY_S: Final = 1.0
# Organisations, and wallets of each, of which that is known. Of others accounts is asked again.
_MAX_EMPTY: Final = 1_000
_NONE: Final[Mapping[WalletScope, float]] = MappingProxyType({})


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
        # Until when nothing is asked for a wallet, because there is no credit at all, by organisation.
        self._empty: OrderedDict[str, dict[WalletScope, float]] = OrderedDict()

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
        if ticket is not None:
            return ticket
        self._recall(entry, amount, now)
        try:
            return await self._wait(entry, amount, now)
        except ExhaustedError as error:
            if error.refusal.is_final:
                self._note_empty(scope)
            raise

    def _note_empty(self, scope: WalletScope) -> None:
        wallets = self._empty.setdefault(scope.org_id, {})
        if len(wallets) >= _MAX_EMPTY:
            wallets.clear()
        wallets[scope] = self._clock.monotonic() + _EMPTY_S
        self._empty.move_to_end(scope.org_id)
        if len(self._empty) > _MAX_EMPTY:
            self._empty.popitem(last=False)

    def _recall(self, entry: Entry[Wallet], amount: int, now: float) -> None:
        """Refuse without asking what accounts has just refused because there is nothing, lent or not."""
        scope = entry.wallet.scope
        until = self._empty.get(scope.org_id, _NONE).get(scope, 0.0)
        refusal = entry.refusal
        if (
            now < until
            and refusal is not None
            and refusal.is_final
            and amount > refusal.available + entry.wallet.remaining
        ):
            raise ExhaustedError(refusal, entry.wallet.remaining + max(refusal.available, 0))

    def heard(self, org: Org) -> None:
        """Ask again for an organisation that had no credit; give back what is lent to one that may not spend any more."""
        self._empty.pop(org.org_id, None)
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
