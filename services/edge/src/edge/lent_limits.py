"""Rate limits that several edges keep together: of each window accounts lends them shares, which they spend without asking."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contracts.rate_limits import RateLimit
from edge.borrowing import ExhaustedError
from edge.domain.errors import DependencyError, EdgeError, FrozenOrgError
from edge.domain.exhaustion import RefusalReason
from edge.domain.rate_limits import CONCURRENT, WINDOW_MS, Claim, LimitSet, Owned, RateLimits, Reservation, exceeded
from edge.domain.wallet import Ticket, WalletScope
from edge.domain.windows import Window
from edge.window_wallets import WindowWallets

# Two clocks that are as far apart are taken for one.
_SAME_MS: Final = 2_000


class LentLimits:
    """Reserves what requests could use of their rate limits."""

    def __init__(self, rates: RateLimits, wallets: WindowWallets) -> None:
        """Make the use case.

        Args:
            rates: counts what is not lent.
            wallets: hold what is.
        """
        self._rates = rates
        self._wallets = wallets

    async def reserve(self, sets: Iterable[LimitSet], claim: Claim, now_ms: int) -> Reservation:
        """Reserve what a request could use, of all its limits or of none.

        A request that could use more than a limit has takes all of it, if nothing is taken yet: otherwise a limit below what
        one answer may have would refuse everything.

        Args:
            sets: whose limits hold.
            claim: what the request could use.
            now_ms: Unix milliseconds.

        Raises:
            FrozenOrgError: the organisation may not spend.
            RateLimitError: a limit does not allow it; nothing is reserved.
        """
        reserved = self._rates.reserve(sets, claim, now_ms)
        try:
            for each in sets:
                if each.owned is None:
                    continue
                for limit in each.limits:
                    if limit.interval is CONCURRENT or (limit.model and limit.model not in claim.models):
                        continue
                    amount = min(claim.amount(limit.quantity), limit.amount)
                    if not amount:
                        continue
                    ticket = self._wallets.hold((each.subject, limit), amount)
                    if ticket is None:
                        ticket = await self._borrowed(each, each.owned, limit, amount, now_ms)
                    reserved.add(limit.quantity, ticket)
        except BaseException:
            reserved.release()
            raise
        return reserved

    async def _borrowed(self, owner: LimitSet, owned: Owned, limit: RateLimit, amount: int, now_ms: int) -> Ticket:
        name = (owner.subject, limit)
        scope = WalletScope(owned.org_id, owned.key_id, Window(owned.owner, owned.guardrail_id, limit))
        try:
            return await self._wallets.take(name, scope, limit.interval, amount)
        except ExhaustedError as exhausted:
            if exhausted.refusal.reason is not RefusalReason.EXHAUSTED:
                raise FrozenOrgError from None
            left = min(exhausted.available, amount - 1)
        except DependencyError:
            # Requests do not wait for accounts: until it answers this edge keeps an equal part of the limit.
            overdrawn = self._wallets.overdraw(name, amount, limit.amount)
            if overdrawn.ticket is not None:
                return overdrawn.ticket
            left = overdrawn.left
        raise self._exceeded(owner, limit, left, now_ms)

    def _exceeded(self, owner: LimitSet, limit: RateLimit, left: int, now_ms: int) -> EdgeError:
        length_ms = WINDOW_MS[limit.interval]
        end_ms = (now_ms // length_ms + 1) * length_ms
        resets_in = self._wallets.resets_in((owner.subject, limit))
        if resets_in is None:
            resets_in = (end_ms - now_ms) / 1_000
        elif abs(now_ms + resets_in * 1_000 - end_ms) > _SAME_MS:
            # The clock of accounts, by which the window ends, is not that of this edge.
            end_ms = now_ms + int(resets_in * 1_000)
        return exceeded(owner, limit, most=limit.amount, left=left, reset_ms=end_ms, retry_after_s=resets_in)
