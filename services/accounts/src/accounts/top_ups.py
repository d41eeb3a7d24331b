"""Credit that is bought without asking, and notices that it runs low."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import uuid5

from accounts.domain.accounts import checked_id
from accounts.domain.errors import PaymentDeclinedError, PaymentProviderError, StoreUnavailableError
from accounts.domain.payment_ports import PaymentProvider, PaymentStore, TopUpStore
from accounts.domain.payments import PurchaseStatus
from accounts.domain.people import OPERATOR, TOP_UPS, Actor
from accounts.domain.top_ups import LOW_BALANCE, TOP_UP_FAILED, Due, Notice, TopUp, checked_rules, is_low, may_buy
from accounts.payments import Payments
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger

_log = get_logger(__name__)

MAX_NOTICES: Final = 100
_BATCH: Final = 100


class TopUps(Component):
    """Looks for organisations whose credit runs low, buys where that is wanted, and tells their owners."""

    name = "top-ups"

    def __init__(
        self,
        rules: TopUpStore,
        purchases: PaymentStore,
        payments: Payments,
        provider: PaymentProvider | None,
        clock: Clock,
        *,
        interval: timedelta,
    ) -> None:
        """Make the component.

        Args:
            rules: who wants what.
            purchases: keeps purchases.
            payments: makes orders.
            provider: charges; None where the installation sells no credit: then owners are told only.
            clock: source of times.
            interval: between two looks.
        """
        self._rules = rules
        self._purchases = purchases
        self._payments = payments
        self._provider = provider
        self._clock = clock
        self._interval_s = interval.total_seconds()
        self._stopping = asyncio.Event()

    async def get(self, org_id: str) -> TopUp:
        """Return the rules of an organisation."""
        return await self._rules.rules(checked_id("org_id", org_id))

    async def set(self, org_id: str, rules: TopUp, actor: Actor = OPERATOR) -> TopUp:
        """Change the rules of an organisation; the kept means of payment stays."""
        owner = checked_id("org_id", org_id)
        known = await self._rules.rules(owner)
        wanted = replace(rules, payer_ref=known.payer_ref, method_ref=known.method_ref)
        return await self._rules.set_rules(owner, checked_rules(wanted), actor, self._clock.now())

    async def notices(self, org_id: str) -> Sequence[Notice]:
        """Return the last notices of an organisation, newest first."""
        return await self._rules.notices(checked_id("org_id", org_id), MAX_NOTICES)

    async def run(self) -> None:
        """Look again and again until `stop`."""
        while not self._stopping.is_set():
            try:
                await self.look()
            except StoreUnavailableError as error:
                _log.warning("top_up.deferred", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        """Look no more."""
        self._stopping.set()

    async def look(self) -> None:
        """Look once. Doing it twice at the same time, or in two processes, buys and tells once."""
        for due in await self._rules.due(self._clock.now(), _BATCH):
            if self._provider is not None and may_buy(due):
                await self._buy(self._provider, due)
            if is_low(due):
                await self._tell(due, LOW_BALANCE, due.balance)

    async def _buy(self, provider: PaymentProvider, due: Due) -> None:
        order = self._payments.order(due.org_id, due.rules.amount, automatic=True)
        # The count makes it one purchase, whoever is first, until the provider is known to have it.
        purchase = await self._purchases.add(order, f"auto/{due.orders}", TOP_UPS)
        if purchase.status is not PurchaseStatus.PENDING:
            return
        try:
            payment_ref = await provider.charge(purchase, due.rules.payer_ref, due.rules.method_ref)
        except PaymentDeclinedError:
            await self._purchases.fail(purchase.purchase_id, self._clock.now())
            await self._tell(due, TOP_UP_FAILED, purchase.credit)
        except PaymentProviderError as error:
            # Nobody knows whether it was charged; the same order is tried again, and charges once.
            _log.warning("top_up.deferred", reason=str(error))
        else:
            await self._purchases.note_order(purchase.purchase_id, "", payment_ref)

    async def _tell(self, due: Due, kind: str, amount: int) -> None:
        now = self._clock.now()
        notice = Notice(uuid5(due.org_id, f"{kind}/{now.isoformat()}"), due.org_id, kind, amount, now)
        await self._rules.tell(notice)
        _log.info("notice.given", org_id=str(due.org_id), kind=kind)
